"""What is odd about rows that are used all the same: told once, with how many there are and the first lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

LINES_KEPT: Final = 5
"""Rows named by their lines: enough to look at what is meant, few enough for one line of text."""

MAX_IDS: Final = 4_000_000
"""Ids that are remembered, in about 90 bytes each: files larger than memory are read. Of those behind, only what
repeats one of these is noticed."""

REPEATED_ID: Final = (
    "an earlier row has the same id: answers are matched by id, and a submission to Kaggle needs each once"
)
"""Warning of a row."""


@dataclass(slots=True)
class RowsAlike:
    """Rows of one warning.

    Attributes:
        warning: what is odd, free of the rows' own text.
        rows: how many there are.
        lines: where the first `LINES_KEPT` of them start, counted from 1.
    """

    warning: str
    rows: int = 0
    lines: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        """How many and which, for people."""
        if self.rows == 1:
            return f"1 row, line {self.lines[0]}"
        lines = ", ".join(map(str, self.lines))
        return f"{self.rows:,} rows, " + (f"first lines {lines}" if self.rows > len(self.lines) else f"lines {lines}")


class RowWarnings:
    """Warnings by their words, of which there are few, in the order of their first rows."""

    def __init__(self) -> None:
        self._kinds: dict[str, RowsAlike] = {}

    def __iter__(self) -> Iterator[RowsAlike]:
        return iter(self._kinds.values())

    def add(self, line: int, warning: str) -> bool:
        """Count a row.

        Args:
            line: where it starts, from 1.
            warning: what is odd about it.

        Returns:
            Whether it is the first of its kind.
        """
        kind = self._kinds.setdefault(warning, RowsAlike(warning))
        kind.rows += 1
        if len(kind.lines) < LINES_KEPT:
            kind.lines.append(line)
        return kind.rows == 1


class SeenIds:
    """The ids of the rows so far, as hashes of 64 bits, of which two ids share one about never."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()

    def is_repeated(self, battle_id: str) -> bool:
        """Whether an earlier row has this id; from now on one has."""
        key = hash(battle_id)
        if key in self._hashes:
            return True
        if len(self._hashes) < MAX_IDS:
            self._hashes.add(key)
        return False
