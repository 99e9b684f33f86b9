"""Battles from a file: CSV in Kaggle's format, or a JSON object a line (JSONL)."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Final

from prefstream.schemas import Battle, parse_battle, parse_row
from prefstream.scoring.files.rows import START, FilePosition, FileRecord, RowParser, check_file, read_file

REQUIRED_COLUMNS: Final = ("id", "prompt", "response_a", "response_b")
OPTIONAL_COLUMNS: Final = tuple(name for name in Battle.model_fields if name not in REQUIRED_COLUMNS)

_BATTLES: Final = RowParser(
    REQUIRED_COLUMNS,
    OPTIONAL_COLUMNS,
    from_object=lambda fields, _line: parse_battle(fields),
    from_cells=lambda cells, _line: parse_row(cells),
)


def check_battles_file(path: Path) -> None:
    """Find what makes the whole file unusable, before anything costly starts.

    Raises:
        FileError: the file can't be read, is UTF-16, or is CSV without the columns of a battle.
    """
    check_file(path, _BATTLES)


def read_battles(path: Path, *, start: FilePosition = START) -> Generator[FileRecord[Battle], None, None]:
    """Read a file row by row, with the promises of `prefstream.scoring.files.rows`.

    Args:
        path: CSV or JSONL, told apart by `prefstream.scoring.files.rows.file_format`.
        start: where to begin: the `end` of a record read from this very file before.

    Raises:
        FileError: as `check_battles_file`, when the first row is asked for.
    """
    return read_file(path, _BATTLES, start=start)
