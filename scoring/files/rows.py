"""Rows of a file: what one is, and what it is parsed to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeAlias, TypeVar

RowT_co = TypeVar("RowT_co", covariant=True)

NOT_CSV: Final = "not_csv"
"""Reason of a row that breaks CSV itself; most other reasons are those of dead letters."""


@dataclass(frozen=True, slots=True)
class FilePosition:
    """A place between two rows of a file's content, which is the file itself unless that is compressed or Parquet.

    Attributes:
        offset: bytes of the content before it.
        line: number of the line that begins there.
    """

    offset: int
    line: int


START: Final = FilePosition(offset=0, line=1)


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that can't be used: why it is no battle.

    Attributes:
        reason: a `schemas.Reason`, `not_csv`, or `bad_label` of a row whose battle is good but not its label.
        detail: what was wrong, free of the row's own text.
    """

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True, slots=True)
class FileRecord(Generic[RowT_co]):
    """One row of a file.

    Attributes:
        line: number of the line where the row starts, from 1. A row of CSV may span several; one of Parquet is a line.
        content: the battle, or why the row is none.
        raw: the row's bytes without the line end (of a row over `MAX_ROW_BYTES` only the beginning).
        end: where the next row begins; reading can start there again.
        done_bytes: bytes of the file that are read behind this row, as far as can be told where it is compressed.
        warnings: what may be meant otherwise than it was read, free of the row's own text.
    """

    line: int
    content: RowT_co | RejectedRow
    raw: bytes = field(repr=False)
    end: FilePosition
    done_bytes: int
    warnings: tuple[str, ...] = ()

    @property
    def battle(self) -> RowT_co | None:
        """The battle as the reader gives it, plain or labelled; None when the row is none."""
        return None if isinstance(self.content, RejectedRow) else self.content

    @property
    def rejected(self) -> RejectedRow | None:
        """Why the row is no battle, None when it is one."""
        return self.content if isinstance(self.content, RejectedRow) else None


Columns: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RowParser(Generic[RowT_co]):
    """What the rows of a file are parsed to.

    The functions that parse may raise `InvalidEventError`, which becomes a `RejectedRow`.

    Attributes:
        columns: what CSV and Parquet must have: of each entry, all columns of one of its alternatives.
        optional_columns: further ones that are read; no column that is read may stand twice.
        from_object: for JSONL and Parquet; gets the row as an object and the number of its line.
        from_cells: for CSV; gets the cells by column and the number of the row's first line.
        warnings: for CSV; what the row's cells may have meant otherwise.
    """

    columns: tuple[tuple[Columns, ...], ...]
    optional_columns: Columns
    from_object: Callable[[Mapping[str, Any], int], RowT_co | RejectedRow]
    from_cells: Callable[[Mapping[str, str], int], RowT_co | RejectedRow]
    warnings: Callable[[Mapping[str, str], Any], tuple[str, ...]] = lambda _cells, _row: ()

    @property
    def known_columns(self) -> frozenset[str]:
        """All columns that are read, where they are there."""
        return frozenset(self.optional_columns).union(*(names for entry in self.columns for names in entry))

    @property
    def needed(self) -> str:
        """The columns that a file must have, for people."""
        return ", ".join(" (or ".join(map(", ".join, entry)) + ")" * (len(entry) - 1) for entry in self.columns)

    def missing(self, columns: Collection[str]) -> list[str]:
        """What is missing among the columns of a file: of each entry, what its nearest alternative lacks."""
        there = set(columns)
        nearest = [max(entry, key=lambda names: len(there.intersection(names))) for entry in self.columns]
        unmet = [names for names, entry in zip(nearest, self.columns, strict=True) if not _is_met(entry, there)]
        return [name for names in unmet for name in names if name not in there]


def _is_met(entry: tuple[Columns, ...], columns: Collection[str]) -> bool:
    return any(set(names) <= set(columns) for names in entry)
