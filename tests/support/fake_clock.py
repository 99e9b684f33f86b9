"""Time that stands still until a test moves it: what is a matter of seconds is none of tests."""

from __future__ import annotations


class FakeClock:
    """Stands for the module `time` where only its monotonic clock is asked."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now
