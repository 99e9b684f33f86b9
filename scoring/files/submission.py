"""Kaggle's submission format: CSV, an id and the three probabilities a row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Final

from prefstream.scoring.files.labelled import WINNER_COLUMNS
from prefstream.scoring.probabilities import Triples

SUBMISSION_COLUMNS: Final = ("id", *WINNER_COLUMNS)


def csv_line(cells: Iterable[str]) -> bytes:
    """One line; a cell with a comma, a quote or a line break in it is quoted."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()


def encode_submission(ids: Iterable[str], probabilities: Triples) -> bytes:
    """A whole file.

    Args:
        ids: of the battles.
        probabilities: shape (battles, 3), in the order of `schemas.OUTCOMES`; written so that they read back the same.
    """
    rows = zip(ids, probabilities.tolist(), strict=True)
    return b"".join([csv_line(SUBMISSION_COLUMNS), *(csv_line((name, *map(repr, row))) for name, row in rows)])
