"""A wall clock that a file puts forward or back; the monotonic clock goes on as it does."""

from __future__ import annotations

import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final

ENV_CLOCK: Final = "CHAOS_CLOCK"
"""Names the file, which holds seconds. No file: the clock is right."""


class Clock:
    """The wall clock of a process.

    Args:
        file: where the seconds are written that it is ahead.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def put(self, ahead_s: float) -> None:
        """Put the process's clock ahead of the machine's, or behind it where negative."""
        part = self._file.with_suffix(".put")
        part.write_text(repr(ahead_s))
        part.rename(self._file)

    def put_right(self) -> None:
        """Let the process see the machine's clock again."""
        self._file.unlink(missing_ok=True)

    @property
    def ahead_s(self) -> float:
        """What was put."""
        try:
            return float(self._file.read_text())
        except FileNotFoundError:
            return 0.0


def install(clock: Clock) -> None:
    """Have this process see the clock. To be called before kafka is imported, which keeps `time.time` for itself."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + clock.ahead_s
    time.time_ns = lambda: real_ns() + int(clock.ahead_s * 1e9)

    class ShiftedDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> ShiftedDatetime:
            return cls.fromtimestamp(time.time(), tz)

    from prefstream.consumer.stream import pipeline

    pipeline.datetime = ShiftedDatetime  # type: ignore[attr-defined]  # datetime reads the machine's clock in C
