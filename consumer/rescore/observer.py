"""What is told to whoever watches how far a range of a topic is read: a bar on a terminal, a test, nobody."""

from __future__ import annotations

from typing import Protocol


class RangeObserver(Protocol):
    """Told by those who go through a range what happens, on the thread that called them unless it says otherwise."""

    def began(self, what: str, offsets: int) -> None:
        """So many offsets are read from now on."""

    def advanced(self, done: int) -> None:
        """So many of them are done in all."""

    def rejected(self, place: str, why: str) -> None:
        """The record at this place holds nothing that could be used."""

    def deleted(self, place: str, offsets: int) -> None:
        """So many offsets of this partition were deleted before they were read; on whichever thread reads."""


class Unobserved:
    """Nobody looks on."""

    def began(self, what: str, offsets: int) -> None:
        """Nobody hears it."""

    def advanced(self, done: int) -> None:
        """Nobody hears it."""

    def rejected(self, place: str, why: str) -> None:
        """Nobody hears it."""

    def deleted(self, place: str, offsets: int) -> None:
        """Nobody hears it."""
