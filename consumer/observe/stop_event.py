"""An event that a signal handler may set."""

from __future__ import annotations

import threading
import time
from typing import Final

_LOOK_S: Final = 0.25
"""A handler that runs just before its thread begins to wait wakes nobody: the thread looks again after so long."""


class StopEvent(threading.Event):
    """As `threading.Event`, but for one thing: `set` never waits for the thread that it was called in.

    A handler runs in the main thread, between any two steps of it. Where that one holds the lock of a
    `threading.Event`, being about to wait for it, a handler that sets the event waits for the lock, and with it the
    whole process, for ever. The lock of this one may be taken twice by the same thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self._condition = threading.Condition(threading.RLock())
        self._asked = False

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._asked

    def set(self) -> None:
        """Set it, and wake those that wait; from any thread and from a signal handler."""
        self._asked = True
        with self._condition:
            self._condition.notify_all()

    def clear(self) -> None:
        """Take it back."""
        self._asked = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set.

        Args:
            timeout: seconds, at most; None for as long as it takes.

        Returns:
            Whether it was set.
        """
        until = None if timeout is None else time.monotonic() + timeout
        with self._condition:
            while not self._asked:
                left_s = _LOOK_S if until is None else until - time.monotonic()
                if left_s <= 0:
                    break
                self._condition.wait(min(left_s, _LOOK_S))
        return self._asked
