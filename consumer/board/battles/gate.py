"""How many may be at something at once, and how often in a minute: who is one too many is told when to come again."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

MINUTE_S: Final = 60.0


class TooManyError(Exception):
    """One too many.

    Args:
        why: in words.
        again_after_s: when it may be tried again, in whole seconds.
    """

    def __init__(self, why: str, again_after_s: int) -> None:
        super().__init__(why)
        self.again_after_s = again_after_s


class Gate:
    """Lets so many in. For one event loop.

    Args:
        at_once: how many may be inside.
        a_minute: how many may be counted within 60 s; None: any.
        clock: seconds, monotonic.
    """

    def __init__(self, at_once: int, a_minute: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_once = at_once
        self._a_minute = a_minute
        self._clock = clock
        self._inside = 0
        self._counted: deque[float] = deque()

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be inside for the block.

        Raises:
            TooManyError: there are as many already.
        """
        if self._inside >= self._at_once:
            raise TooManyError(f"{self._at_once} are under way already, as many as may be", 1)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    def count(self) -> None:
        """Count one.

        Raises:
            TooManyError: as many came within the last minute; this one is not counted.
        """
        if self._a_minute is None:
            return
        now = self._clock()
        while self._counted and self._counted[0] <= now - MINUTE_S:
            self._counted.popleft()
        if len(self._counted) >= self._a_minute:
            again_after_s = math.ceil(self._counted[0] + MINUTE_S - now)
            raise TooManyError(f"{self._a_minute} a minute are as many as may be", again_after_s)
        self._counted.append(now)
