"""Kaggle's submission formats, both CSV: a row has an id, and three probabilities (LMSYS) or a winner (WSDM Cup)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Final

from prefstream.scoring.files.labelled import WINNER_COLUMNS
from prefstream.scoring.probabilities import Triples

SUBMISSION_COLUMNS: Final = ("id", *WINNER_COLUMNS)
WINNER_SUBMISSION_COLUMNS: Final = ("id", "winner")


def csv_line(cells: Iterable[str]) -> bytes:
    """One line; a cell with a comma, a quote, a line feed or a carriage return in it is quoted."""
    line = io.StringIO()
    # Before Python 3.11.9 a carriage return is quoted only where it ends lines.
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n").encode() + b"\n"


def encode_submission(ids: Iterable[str], probabilities: Triples) -> bytes:
    """A whole file.

    Args:
        ids: of the battles.
        probabilities: shape (battles, 3), in the order of `schemas.OUTCOMES`; written so that they read back the same.
    """
    rows = zip(ids, probabilities.tolist(), strict=True)
    return b"".join([csv_line(SUBMISSION_COLUMNS), *(csv_line((name, *map(repr, row))) for name, row in rows)])
