"""Predictions from a file, matched by id with labelled battles.

Reads what `prefstream score` writes: Kaggle's submission format (CSV: an id and three probabilities), or preferences
(JSONL), which also say what each judge answered.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from prefstream.schemas import OUTCOMES, ContractError, Preference, Probabilities
from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation.said import Said
from prefstream.scoring.files.content import opened
from prefstream.scoring.files.labelled import WINNER_COLUMNS
from prefstream.scoring.files.reading import read_file
from prefstream.scoring.files.rows import FileRecord, RejectedRow, RowParser
from prefstream.scoring.panel.predict import Predictions, panel_forecast

_HEADER_BYTES: Final = 4096

BAD_PREDICTION: Final = "bad_prediction"
"""Reason of a row that holds no usable prediction."""

SUM_TOLERANCE: Final = 0.01
"""A submission's rows may be rounded to a few digits; they are divided by their sum. Farther from 1, columns are mixed
up or something else than a probability stands there."""


@dataclass(frozen=True, slots=True)
class PredictionFile:
    """What a file of predictions says about a list of battles.

    Attributes:
        predictions: for the battles that it knows; the others are left out.
        unknown_ids: how many of its rows are about none of the battles.
        repeated_ids: how many of its rows were replaced by a later one of the same id.
        rejected: rows that hold no prediction, by line.
        partial_judges: judges that did not answer every battle, and are left out for it.
        of_one_panel: whether all rows were answered by the same judges, those that failed counted in.
    """

    predictions: Predictions
    unknown_ids: int
    repeated_ids: int
    rejected: Mapping[int, RejectedRow]
    partial_judges: tuple[str, ...]
    of_one_panel: bool


@dataclass(frozen=True, slots=True)
class KnownAnswers:
    """What a file of predictions says, by id of the battle, without what each judge said.

    Attributes:
        by_id: probabilities of the outcomes.
        unknown_ids: how many of its rows are about other battles.
        repeated_ids: how many of its rows were replaced by a later one of the same id.
        rejected: rows that hold no prediction, by line.
    """

    by_id: Mapping[str, Probabilities]
    unknown_ids: int
    repeated_ids: int
    rejected: Mapping[int, RejectedRow]


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """One row of a file of predictions.

    Attributes:
        id: of the battle.
        probabilities: of its outcomes.
        preference: all that is said; None of a row of CSV.
    """

    id: str
    probabilities: Probabilities
    preference: Preference | None


@dataclass(slots=True)
class _Counts:
    """What became of the rows that say nothing of the battles that were asked for."""

    unknown: int = 0
    repeated: int = 0
    rejected: dict[int, RejectedRow] = field(default_factory=dict)


def read_probabilities(path: Path, ids: Collection[str]) -> KnownAnswers:
    """Read what is said of some battles, however many predictions the file holds.

    Args:
        path: as for `read_predictions`.
        ids: of the battles.

    Raises:
        FileError: the file can't be read, or is about none of the battles.
    """
    counts = _Counts()
    by_id = {row.id: row.probabilities for row in _rows(path, frozenset(ids), counts)}
    return KnownAnswers(by_id, counts.unknown, counts.repeated, counts.rejected)


def read_predictions(path: Path, ids: Sequence[str]) -> PredictionFile:
    """Read predictions and match them with battles by id; of a row only numbers stay.

    Args:
        path: CSV or JSONL, as `prefstream.scoring.files.content.opened` tells them apart.
        ids: of the battles, any number; of one id, all get the same prediction.

    Raises:
        FileError: the file can't be read, or is about none of the battles.
    """
    counts, said = _Counts(), Said()
    number_of = {row.id: said.add(row.probabilities, row.preference) for row in _rows(path, frozenset(ids), counts)}
    positions = np.array([position for position, name in enumerate(ids) if name in number_of], dtype=np.intp)
    rows = np.array([number_of[ids[position]] for position in positions.tolist()], dtype=np.intp)
    found = said.judges(rows)
    predictions = Predictions(
        positions=positions,
        panel=panel_forecast(said.panel(rows), () if found.partial else found.judges),
        judges=found.judges,
        unanswered={
            position: "the predictions leave it out" for position, name in enumerate(ids) if name not in number_of
        },
    )
    return PredictionFile(
        predictions, counts.unknown, counts.repeated, counts.rejected, found.partial, found.of_one_panel
    )


def read_prediction_rows(path: Path) -> Generator[FileRecord[PredictionRow], None, None]:
    """Read a file of predictions row by row, with the promises of `prefstream.scoring.files.reading`.

    Args:
        path: as for `read_predictions`.

    Raises:
        FileError: the file can't be read, or says who wins without probabilities.
    """
    _refuse_winners(path)
    return read_file(path, _PARSER)


def _rows(path: Path, wanted: frozenset[str], counts: _Counts) -> Iterator[PredictionRow]:
    """The rows about what is wanted, the last one of each id last; what the others are is counted.

    Raises:
        FileError: the file can't be read, or, at its end, there was none.
    """
    seen: set[str] = set()
    for record in read_prediction_rows(path):
        if isinstance(record.content, RejectedRow):
            counts.rejected[record.line] = record.content
        elif record.content.id not in wanted:
            counts.unknown += 1
        else:
            counts.repeated += record.content.id in seen
            seen.add(record.content.id)
            yield record.content
    if not seen and counts.rejected and not counts.unknown:
        line, first = next(iter(counts.rejected.items()))
        raise FileError(f"{path}: none of its rows holds a prediction; the first one, line {line}: {first.detail}")
    if not seen:
        raise FileError(
            f"{path}: none of its predictions is about a labelled battle; they are matched by id, so score the very "
            "file that they are held against"
        )


def _refuse_winners(path: Path) -> None:
    """Refuse a submission to the WSDM Cup by what it is, rather than by the columns that it lacks.

    Raises:
        FileError: it is one, or can't be read.
    """
    with opened(path, ()) as content:
        columns = content.readline(_HEADER_BYTES).removeprefix(BOM_UTF8).decode(errors="replace").strip().split(",")
    if content.format == "csv" and "winner" in columns and not set(columns) & set(WINNER_COLUMNS):
        raise FileError(
            f"{path} says who wins, without probabilities, as a submission to the WSDM Cup does, and they are needed: "
            "score again with --format lmsys, or into a .jsonl file"
        )


def _from_object(fields: Mapping[str, Any], line: int) -> PredictionRow | RejectedRow:
    del line
    try:
        preference = Preference.model_validate(fields)
    except ValidationError as error:
        return RejectedRow(BAD_PREDICTION, str(ContractError.of("preference as `prefstream score` writes it", error)))
    return PredictionRow(preference.id, preference.probabilities, preference)


def _from_cells(cells: Mapping[str, str], line: int) -> PredictionRow | RejectedRow:
    del line
    try:
        row = np.array([float(cells[name]) for name in WINNER_COLUMNS])
    except ValueError:
        return RejectedRow(BAD_PREDICTION, f"{', '.join(WINNER_COLUMNS)} must be numbers")
    total = row.sum()
    if not (np.isfinite(row).all() and (row >= 0).all() and abs(total - 1.0) <= SUM_TOLERANCE):
        return RejectedRow(BAD_PREDICTION, f"{', '.join(WINNER_COLUMNS)} must be from 0 to 1 and sum to 1")
    shares = dict(zip(OUTCOMES, (row / total).tolist(), strict=True))
    return PredictionRow(cells["id"], Probabilities(**shares), None)


_PARSER: Final = RowParser(((("id",),), (WINNER_COLUMNS,)), (), from_object=_from_object, from_cells=_from_cells)
