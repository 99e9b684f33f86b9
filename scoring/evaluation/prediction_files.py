"""Predictions from a file, matched by id with labelled battles.

Reads what `prefstream score` writes: Kaggle's submission format (CSV: an id and three probabilities), or preferences
(JSONL), which also say what each judge answered.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from prefstream.schemas import OUTCOMES, Battle, ContractError, Preference, Probabilities
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.content import opened
from prefstream.scoring.files.labelled import WINNER_COLUMNS
from prefstream.scoring.files.reading import read_file
from prefstream.scoring.files.rows import RejectedRow, RowParser
from prefstream.scoring.panel.predict import Forecast, Predictions, opinions_forecast, panel_forecast, triples

_HEADER_BYTES: Final = 4096

BAD_PREDICTION: Final = "bad_prediction"
"""Reason of a row that holds no usable prediction."""

_SYMMETRIC_KINDS: Final = frozenset({"pointwise", "features"})
"""Judges that are symmetric by construction; of others only swap could tell."""

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
class _Row:
    id: str
    probabilities: Probabilities
    preference: Preference | None


@dataclass(frozen=True, slots=True)
class _Rows:
    """The last row about each of the battles that were asked for, and what became of the others."""

    by_id: Mapping[str, _Row]
    unknown: int
    repeated: int
    rejected: Mapping[int, RejectedRow]


def read_probabilities(path: Path, ids: Collection[str]) -> KnownAnswers:
    """Read what is said of some battles, however many predictions the file holds.

    Args:
        path: as for `read_predictions`.
        ids: of the battles.

    Raises:
        FileError: the file can't be read, or is about none of the battles.
    """
    rows = _read_rows(path, frozenset(ids), judges=False)
    by_id = {name: row.probabilities for name, row in rows.by_id.items()}
    return KnownAnswers(by_id, rows.unknown, rows.repeated, rows.rejected)


def read_predictions(path: Path, battles: Sequence[Battle]) -> PredictionFile:
    """Read predictions and match them with battles by id.

    Args:
        path: CSV or JSONL, as `prefstream.scoring.files.content.opened` tells them apart.
        battles: any number; of one id, all get the same prediction.

    Raises:
        FileError: the file can't be read, or is about none of the battles.
    """
    rows = _read_rows(path, frozenset(battle.id for battle in battles), judges=True)
    positions = [position for position, battle in enumerate(battles) if battle.id in rows.by_id]
    matched = [rows.by_id[battles[position].id] for position in positions]
    judges, partial = _judges([row.preference for row in matched])
    predictions = Predictions(
        positions=np.array(positions, dtype=np.intp),
        ids=tuple(row.id for row in matched),
        panel=panel_forecast(triples([row.probabilities for row in matched]), () if partial else judges),
        judges=judges,
        unanswered={
            position: "the predictions leave it out"
            for position, battle in enumerate(battles)
            if battle.id not in rows.by_id
        },
    )
    of_one_panel = _of_one_panel(row.preference for row in matched)
    return PredictionFile(predictions, rows.unknown, rows.repeated, rows.rejected, partial, of_one_panel)


def _read_rows(path: Path, wanted: frozenset[str], *, judges: bool) -> _Rows:
    """Read what is wanted; without what judges said a row takes a small part of the memory."""
    _refuse_winners(path)
    rows: dict[str, _Row] = {}
    rejected: dict[int, RejectedRow] = {}
    unknown = repeated = 0
    for record in read_file(path, _PARSER):
        if isinstance(record.content, RejectedRow):
            rejected[record.line] = record.content
        elif record.content.id not in wanted:
            unknown += 1
        else:
            repeated += record.content.id in rows
            rows[record.content.id] = record.content if judges else replace(record.content, preference=None)
    if not rows and rejected and not unknown:
        line, first = next(iter(rejected.items()))
        raise FileError(f"{path}: none of its rows holds a prediction; the first one, line {line}: {first.detail}")
    if not rows:
        raise FileError(
            f"{path}: none of its predictions is about a labelled battle; they are matched by id, so score the very "
            "file that they are held against"
        )
    return _Rows(rows, unknown, repeated, rejected)


def _refuse_winners(path: Path) -> None:
    """Refuse a submission to the WSDM Cup by what it is, rather than by the columns that it lacks.

    Raises:
        FileError: it is one, or can't be read.
    """
    with opened(path, ()) as content:
        columns = content.readline(_HEADER_BYTES).removeprefix(BOM_UTF8).decode(errors="replace").strip().split(",")
    if content.format == "csv" and "winner" in columns and not set(columns) & set(WINNER_COLUMNS):
        raise FileError(
            f"{path} says who wins, without probabilities, as a submission to the WSDM Cup does; evaluate needs them: "
            "score again with --format lmsys, or into a .jsonl file"
        )


def _judges(preferences: Sequence[Preference | None]) -> tuple[tuple[Forecast, ...], tuple[str, ...]]:
    """The forecasts of the judges that answered every battle, and the names of those that did not."""
    known = [preference for preference in preferences if preference]
    by_name = [{opinion.name: opinion for opinion in preference.judges} for preference in known]
    names = list(dict.fromkeys(name for opinions in by_name for name in opinions))
    whole = [name for name in names if all(name in opinions for opinions in by_name)]
    if len(known) < len(preferences):
        whole = []
    # Each judge's weight is its share where most of them counted: elsewhere the others have a recused one's share.
    most = max(by_name, key=lambda opinions: sum(bool(one.weight) for one in opinions.values()), default={})
    weights = {name: one.weight for name, one in most.items() if one.weight is not None}
    forecasts = []
    for name in whole:
        opinions = [row[name] for row in by_name]
        symmetric = all(opinion.provenance.kind in _SYMMETRIC_KINDS for opinion in opinions)
        recused = [name in (preference.recused or ()) for preference in known]
        weight = weights.get(name, 1.0)
        forecasts.append(opinions_forecast(name, opinions, symmetric=symmetric, weight=weight, recused=recused))
    return tuple(forecasts), tuple(name for name in names if name not in whole)


def _of_one_panel(preferences: Iterable[Preference | None]) -> bool:
    """Whether the rows name the same judges, and each judge is the same one wherever it answered."""
    panels: set[frozenset[str]] = set()
    judges: dict[str, set[tuple[str | None, ...]]] = defaultdict(set)
    for preference in filter(None, preferences):
        panels.add(frozenset((*(judge.name for judge in preference.judges), *preference.left_out)))
        for judge in preference.judges:
            made_of = judge.provenance
            judges[judge.name].add((made_of.kind, made_of.base_hash, made_of.adapter_hash, made_of.template_hash))
    return len(panels) <= 1 and all(len(kinds) == 1 for kinds in judges.values())


def _from_object(fields: Mapping[str, Any], line: int) -> _Row | RejectedRow:
    del line
    try:
        preference = Preference.model_validate(fields)
    except ValidationError as error:
        return RejectedRow(BAD_PREDICTION, str(ContractError.of("preference as `prefstream score` writes it", error)))
    return _Row(preference.id, preference.probabilities, preference)


def _from_cells(cells: Mapping[str, str], line: int) -> _Row | RejectedRow:
    del line
    try:
        row = np.array([float(cells[name]) for name in WINNER_COLUMNS])
    except ValueError:
        return RejectedRow(BAD_PREDICTION, f"{', '.join(WINNER_COLUMNS)} must be numbers")
    total = row.sum()
    if not (np.isfinite(row).all() and (row >= 0).all() and abs(total - 1.0) <= SUM_TOLERANCE):
        return RejectedRow(BAD_PREDICTION, f"{', '.join(WINNER_COLUMNS)} must be from 0 to 1 and sum to 1")
    shares = dict(zip(OUTCOMES, (row / total).tolist(), strict=True))
    return _Row(cells["id"], Probabilities(**shares), None)


_PARSER: Final = RowParser(((("id",),), (WINNER_COLUMNS,)), (), from_object=_from_object, from_cells=_from_cells)
