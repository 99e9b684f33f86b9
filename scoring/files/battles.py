"""Battles from a file: in the contract's spelling, in Kaggle's, or in LMArena's."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final

from prefstream.schemas import Battle, parse_battle, parse_row
from prefstream.scoring.files.arena import CONVERSATIONS, QUESTION_ID, contract_fields
from prefstream.scoring.files.reading import check_file, read_file
from prefstream.scoring.files.rows import NOT_CSV, START, Columns, FilePosition, FileRecord, RejectedRow, RowParser

TEXTS: Final = ("prompt", "response_a", "response_b")

REQUIRED_COLUMNS: Final[tuple[tuple[Columns, ...], ...]] = ((("id",), (QUESTION_ID,)), (TEXTS, CONVERSATIONS))
OPTIONAL_COLUMNS: Final = tuple(name for name in Battle.model_fields if name not in ("id", *TEXTS))

_LIKE_TURNS: Final = re.compile(r"\s*\[\s*(?:[\"'\]]|null\b|None\b)")


def check_battles_file(path: Path) -> None:
    """Find what makes the whole file unusable, before anything costly starts.

    Raises:
        FileError: the file can't be read, is of another kind, or lacks the columns of a battle.
    """
    check_file(path, _BATTLES)


def read_battles(path: Path, *, start: FilePosition = START) -> Generator[FileRecord[Battle], None, None]:
    """Read a file row by row, with the promises of `prefstream.scoring.files.reading`.

    Args:
        path: CSV, JSONL or Parquet, as `prefstream.scoring.files.content.opened` tells them apart.
        start: where to begin: the `end` of a record read from this very file before.

    Raises:
        FileError: as `check_battles_file`, when the first row is asked for; later, where a compressed file is damaged.
    """
    return read_file(path, _BATTLES, start=start)


def battle_of_cells(cells: Mapping[str, str]) -> Battle | RejectedRow:
    """A battle from a row of CSV, or why it is none.

    Raises:
        InvalidEventError: as `parse_row`.
    """
    if any("\0" in cells.get(name, "") for name in (*TEXTS, *CONVERSATIONS)):
        return RejectedRow(NOT_CSV, "the row holds a NUL byte, which no text has")
    if "prompt" in cells:
        return parse_row(contract_fields(cells))
    return parse_battle(contract_fields({name: cell for name, cell in cells.items() if cell}))


def misread_turns(cells: Mapping[str, str], battle: Battle) -> str | None:
    """Which texts of a row of cells begin like lists of turns and were taken as they stand; None where none does."""
    names = [
        name
        for name in TEXTS
        if name in cells and _LIKE_TURNS.match(cells[name]) and getattr(battle, name) == (cells[name],)
    ]
    if not names:
        return None
    return (
        f"{', '.join(names)}: read as text though it begins like a list of turns; where it is one, prompt and both "
        "responses must be JSON lists"
    )


def cell_warnings(cells: Mapping[str, str], battle: Battle) -> tuple[str, ...]:
    """What a row of CSV may have meant otherwise.

    A cell that is empty is an empty text, as an answer may well be, though a missing one is written the same: where
    other formats have null, which is refused, CSV has nothing.
    """
    empty = ", ".join(name for name in TEXTS if cells.get(name) == "")
    told = (
        empty and f"{empty}: read as an empty text, though an empty cell may stand for one that is missing",
        misread_turns(cells, battle),
    )
    return tuple(warning for warning in told if warning)


_BATTLES: Final = RowParser(
    REQUIRED_COLUMNS,
    OPTIONAL_COLUMNS,
    from_object=lambda fields, _line: parse_battle(contract_fields(fields)),
    from_cells=lambda cells, _line: battle_of_cells(cells),
    warnings=cell_warnings,
)

BATTLE_COLUMNS: Final = _BATTLES.known_columns
"""All columns that a battle is read from."""
