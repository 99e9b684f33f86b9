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

    Args:
        timeout_s: how long a guarded call may take, in seconds.
        on_stall: called with the name of the call that took longer; does not return in production.
    """

    def __init__(self, timeout_s: float, on_stall: Callable[[str], None] = end_process) -> None:
        self._timeout_s = timeout_s
        self._on_stall = on_stall
        self._changed = threading.Condition()
        self._current: tuple[str, float] | None = None
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
            self._set(outer)

    def close(self) -> None:
        """Stop watching."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _set(self, current: tuple[str, float] | None) -> None:
        # No notification: the watcher looks often enough, and a wake-up per call would cost more than the call.
        with self._changed:
            self._current = current

    def _watch(self) -> None:
        look_s = min(1.0, self._timeout_s / 4)
        with self._changed:
            while not self._closed:
                self._changed.wait(look_s)
                if self._current and time.monotonic() > self._current[1]:
                    self._on_stall(self._current[0])
                    self._current = None
