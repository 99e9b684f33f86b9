"""Ends a process that hangs in a broker call: several of kafka-python's take no time-out and wait for ever."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

log = structlog.get_logger(__name__)

EXIT_STALLED: Final = 70
"""Exit code of a process that its watchdog ended (EX_SOFTWARE)."""


SLOW_S: Final = 10.0
"""A call that takes longer waits for brokers that are away: a coordinator's failover takes about 9 s."""

HANGS: Final = "a call to the brokers did not return"
"""What it means that one is ended."""

FRAMES: Final = 30
"""Innermost frames of a thread that are told."""


def end_process(what: str, message: str = HANGS) -> None:
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


@dataclass(frozen=True, slots=True)
class _Call:
    """A call that is watched: its name, and on the monotonic clock when it began and when it must have ended."""

    name: str
    began: float
    until: float


class Watchdog:
    """Bounds calls that can't bound themselves. One thread calls `guard`; another one watches.

    Of a call that takes longer than `SLOW_S` the log tells when it is noticed, and when it returns after all.

    Args:
        timeout_s: how long a guarded call may take, in seconds.
        on_stall: called with the name of the call that took longer, and what that means; does not return in
            production.
    """

    def __init__(self, timeout_s: float, on_stall: Callable[[str, str], None] = end_process) -> None:
        self._timeout_s = timeout_s
        self._on_stall = on_stall
        self._changed = threading.Condition()
        self._current: _Call | None = None
        self._slow: _Call | None = None
        self._asking = threading.Lock()
        self._why: Callable[[], str | None] = _unknown
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    @contextmanager
    def guard(self, call: str, *, bounded: bool = True) -> Iterator[None]:
        """The block must end within the time-out, or the process ends; one inside another gets no time of its own.

        Args:
            call: its name.
            bounded: False for what bounds itself: the log alone tells of it.
        """
        outer, now = self._current, time.monotonic()
        until = now + (self._timeout_s if bounded else math.inf)
        self._set(_Call(call, outer.began if outer else now, outer.until if outer else until))
        try:
            yield
        finally:
            slow = self._set(outer)
            if slow and not outer:
                log.info("waited for the brokers", call=slow.name, took_s=round(time.monotonic() - slow.began, 1))

    @contextmanager
    def meanwhile(self, why: Callable[[], str | None]) -> Iterator[None]:
        """While the block runs, ask this each second of a guarded call, in the watching thread.

        Args:
            why: tells why the brokers don't answer; None where that is not known. A call that is told of, or ended,
                is told with it.
        """
        self._why = why
        try:
            yield
        finally:
            with self._asking:  # no question that is being asked outlasts the block
                self._why = _unknown

    def close(self) -> None:
        """Stop watching."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _set(self, current: _Call | None) -> _Call | None:
        """Watch this call from now on; returns the one before it, if the log has told that it is slow."""
        # No notification: the watcher looks often enough, and a wake-up per call would cost more than the call.
        with self._changed:
            self._current, slow = current, self._slow
            if current is None:
                self._slow = None
            return slow

    def _watch(self) -> None:
        look_s = min(1.0, self._timeout_s / 4)
        while True:
            with self._changed:
                if not self._closed:
                    self._changed.wait(look_s)
                if self._closed:
                    return
                called = self._current is not None
            if called:
                with self._asking:  # not with the other lock: each guarded call would wait for the answer
                    why = self._why()
                self._look(why)

    def _look(self, why: str | None) -> None:
        with self._changed:
            call, now = self._current, time.monotonic()
            if call is None:
                return
            if now > call.until:
                self._on_stall(call.name, f"{HANGS}: {why}" if why else HANGS)
                self._current = None
            elif not self._slow and now - call.began > SLOW_S:
                self._slow = call
                log.warning("waiting for the brokers", call=call.name, **({"why": why} if why else {}))


def _unknown() -> None:
    return None
