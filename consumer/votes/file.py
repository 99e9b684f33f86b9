"""Votes from a file: what people said of battles, with the battles beside it or without.

A row has `id` (or LMArena's `question_id`) and what was said, as in a labelled file: `winner`, Kaggle's three columns,
or `votes`, of which the verdict counts, as one vote. Where a row holds the battle, or who wrote its answers, that is
read, too.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from prefstream.schemas import Battle, parse_battle
from prefstream.schemas.battle import explain
from prefstream.schemas.vote import BOTH_BAD, Vote
from prefstream.scoring.files.arena import CONVERSATIONS, QUESTION_ID, contract_fields
from prefstream.scoring.files.battles import BATTLE_COLUMNS, TEXTS, battle_of_cells
from prefstream.scoring.files.labelled import WINNER_COLUMNS, label_fields, label_of
from prefstream.scoring.files.reading import check_file, read_file
from prefstream.scoring.files.rows import FileRecord, RejectedRow, RowParser


@dataclass(frozen=True, slots=True)
class FileVote:
    """A vote of a file, and what its row says of the battle.

    Attributes:
        vote: what was said.
        battle: what it was said of; None where the row has no texts.
        model_a: who wrote response A, where the row says it.
        model_b: likewise.
        language: of the prompt, likewise.
        counts: how many people said what, in the order of `schemas.OUTCOMES`; None where one did.
    """

    vote: Vote
    battle: Battle | None
    model_a: str | None
    model_b: str | None
    language: str | None
    counts: tuple[float, float, float] | None = None


def check_votes_file(path: Path) -> None:
    """Find what makes the whole file unusable, before anything costly starts.

    Raises:
        FileError: the file can't be read, is of another kind, or lacks the columns of a vote.
    """
    check_file(path, _VOTES)


def read_votes(path: Path) -> Generator[FileRecord[FileVote], None, None]:
    """Read a file row by row, with the promises of `prefstream.scoring.files.reading`.

    Args:
        path: CSV, JSONL or Parquet, as `prefstream.scoring.files.content.opened` tells them apart.

    Raises:
        FileError: as `check_votes_file`, when the first row is asked for; later, where a compressed file is damaged.
    """
    return read_file(path, _VOTES)


def _from_object(fields: Mapping[str, Any], line: int) -> FileVote | RejectedRow:
    del line
    if QUESTION_ID in fields and "id" not in fields:
        fields = {**fields, "id": fields[QUESTION_ID]}
    battle = parse_battle(contract_fields(fields)) if _has_texts(fields) else None
    return _file_vote(fields, fields, battle)


def _from_cells(cells: Mapping[str, str], line: int) -> FileVote | RejectedRow:
    del line
    filled = {name: cell for name, cell in cells.items() if cell}
    if QUESTION_ID in filled and "id" not in filled:
        filled["id"] = filled[QUESTION_ID]
    battle = battle_of_cells(cells) if _has_texts(cells) else None
    return battle if isinstance(battle, RejectedRow) else _file_vote(filled, label_fields(cells), battle)


def _has_texts(fields: Mapping[str, Any]) -> bool:
    return all(name in fields for name in TEXTS) or all(name in fields for name in CONVERSATIONS)


def _file_vote(fields: Mapping[str, Any], said: Mapping[str, Any], battle: Battle | None) -> FileVote | RejectedRow:
    label = label_of(said)
    if isinstance(label, RejectedRow):
        return label
    voted = {name: fields.get(name) for name in ("id", "occurred_at", "voter")}
    try:
        vote = Vote.model_validate({**voted, "winner": BOTH_BAD if label.both_bad else label.outcome})
    except ValidationError as error:
        raise explain(error) from None
    model_a, model_b, language = (
        getattr(battle, name) if battle else _name(fields.get(name)) for name in ("model_a", "model_b", "language")
    )
    return FileVote(vote, battle, model_a, model_b, language, label.votes)


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


_VOTES: Final = RowParser(
    ((("id",), (QUESTION_ID,)), (WINNER_COLUMNS, ("winner",), ("votes",))),
    (*sorted(BATTLE_COLUMNS - {"id", QUESTION_ID}), "voter", "weight", "ties_possible", "source", "tier"),
    from_object=_from_object,
    from_cells=_from_cells,
)
