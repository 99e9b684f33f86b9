"""Ends a process that hangs in a broker call: several of kafka-python's take no time-out and wait for ever."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

log = structlog.get_logger(__name__)

EXIT_STALLED: Final = 70
"""Exit code of a process that its watchdog ended (EX_SOFTWARE)."""


SLOW_S: Final = 10.0
"""A call that takes longer waits for brokers that are away: a coordinator's failover takes about 9 s."""

FRAMES: Final = 30
"""Innermost frames of a thread that are told."""


def end_process(what: str, message: str = "a call to the brokers did not return") -> None:
    """Log where every thread stands (code only, no values) and end the process at once.

    Args:
        what: the call that hangs.
        message: what that means, and what to do.
    """
    log.critical(
        "stalled, ending the process",
        call=what,
        message=message,
        exit_code=EXIT_STALLED,
        threads=_where_threads_stand(),
    )
    os._exit(EXIT_STALLED)


def _where_threads_stand() -> dict[str, list[str]]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return {
        names.get(ident, str(ident)): [
            f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_stack(top)[-FRAMES:]
        ]
        for ident, top in sys._current_frames().items()  # noqa: SLF001 - public but for its name
    }


class Watchdog:
    """Bounds calls that can't bound themselves. One thread calls `guard`; another one watches.

    Of a call that takes longer than `SLOW_S` the log tells when it is noticed, and when it returns after all.

    Args:
        timeout_s: how long a guarded call may take, in seconds.
        on_stall: called with the name of the call that took longer; does not return in production.
    """

    def __init__(self, timeout_s: float, on_stall: Callable[[str], None] = end_process) -> None:
        self._timeout_s = timeout_s
        self._on_stall = on_stall
        self._changed = threading.Condition()
        self._current: tuple[str, float] | None = None
        self._slow: tuple[str, float] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    @contextmanager
    def guard(self, call: str) -> Iterator[None]:
        """The block must end within the time-out, or the process ends; one inside another gets no time of its own."""
        outer = self._current
        self._set((call, outer[1] if outer else time.monotonic() + self._timeout_s))
        try:
            yield
        finally:
            slow = self._set(outer)
            if slow and not outer:
                log.info("waited for the brokers", call=slow[0], took_s=round(self._taken_s(slow), 1))

    def close(self) -> None:
        """Stop watching."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _set(self, current: tuple[str, float] | None) -> tuple[str, float] | None:
        """Watch this call from now on; returns the one before it, if the log has told that it is slow."""
        # No notification: the watcher looks often enough, and a wake-up per call would cost more than the call.
        with self._changed:
            self._current, slow = current, self._slow
            if current is None:
                self._slow = None
            return slow

    def _taken_s(self, call: tuple[str, float]) -> float:
        return time.monotonic() - (call[1] - self._timeout_s)

    def _watch(self) -> None:
        look_s = min(1.0, self._timeout_s / 4)
        with self._changed:
            while not self._closed:
                self._changed.wait(look_s)
                if self._current and time.monotonic() > self._current[1]:
                    self._on_stall(self._current[0])
                    self._current = None
                elif self._current and not self._slow and self._taken_s(self._current) > SLOW_S:
                    self._slow = self._current
                    log.warning("waiting for the brokers", call=self._current[0])
