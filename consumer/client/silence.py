"""Whether the brokers are away: nobody answers, although somebody is asked again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

LONGEST_TURN_S: Final = 2.0
"""What counts of the time between two looks: who looks more rarely was frozen itself, and could hear nobody
meanwhile."""


class Silence:
    """How long no broker has answered. May be asked from any thread; somebody looks at least every second.

    Args:
        heard_at: when a broker has answered last, on the same clock; 0 where none has.
        clock: monotonic seconds.
    """

    def __init__(self, heard_at: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self._heard_at = heard_at
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at = clock()
        self._lasts_s = 0.0

    def lasts_s(self) -> float:
        """Seconds for which we have listened in vain."""
        with self._lock:
            now = self._clock()
            listened_s = min(now - self._looked_at, LONGEST_TURN_S)
            self._looked_at = now
            self._lasts_s = min(self._lasts_s + listened_s, now - self._heard_at())
            return self._lasts_s
