"""Log lines that a bad producer could cause by the thousand: one a minute, with how many it stands for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

EVERY_S: Final = 60.0
"""Between two lines of one kind."""


class Sparingly:
    """Warns of one kind of thing.

    Args:
        event: the line.
        clock: monotonic seconds.
    """

    def __init__(self, event: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._event = event
        self._clock = clock
        self._due = float("-inf")
        self._untold = 0

    def warn(self, count: int, **facts: Any) -> None:
        """That it happened again.

        Args:
            count: how many times; 0 tells nothing.
            facts: of one of them; told where a line is due.
        """
        self._untold += count
        if count and self._clock() >= self._due:
            event = self._event
            log.warning(event, count=self._untold, **facts)
            self._due = self._clock() + EVERY_S
            self._untold = 0
