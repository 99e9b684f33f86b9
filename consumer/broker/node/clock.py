"""Time, as something that a test can hold still."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the broker's state machines read the time."""

    def monotonic_s(self) -> float:
        """Seconds that never go backwards: for time-outs."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970: for timestamps that clients see."""


class ManualClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, *, wall_ms: int = 1_700_000_000_000) -> None:
        self._monotonic_s = 0.0
        self._wall_ms = wall_ms

    def monotonic_s(self) -> float:
        """Seconds moved so far."""
        return self._monotonic_s

    def wall_ms(self) -> int:
        """Milliseconds since 1970: the start and what was moved since."""
        return self._wall_ms + round(self._monotonic_s * 1000)

    def advance(self, seconds: float) -> None:
        """Let this much time pass."""
        self._monotonic_s += seconds


class SystemClock:
    """The machine's own clock."""

    def monotonic_s(self) -> float:
        """Seconds of the machine's monotonic clock."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Milliseconds since 1970 by the machine's clock."""
        return time.time_ns() // 1_000_000
