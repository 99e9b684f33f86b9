"""How Ctrl-C and SIGTERM ask a command to stop in good order."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from prefstream.consumer.cli.exit_codes import EXIT_INTERRUPTED


@contextmanager
def stop_signals_handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """SIGINT and SIGTERM go to the handler; afterwards to where they went before."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def stop_on_signals(notice: str) -> Iterator[threading.Event]:
    """SIGINT and SIGTERM set the event; a second one ends the process at once, for work that loses nothing by that.

    Args:
        notice: what the first one says, on standard error.
    """
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        if stop.is_set():
            os._exit(EXIT_INTERRUPTED)
        stop.set()
        # Not through the console: the signal may have come in the middle of its writing.
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\n{notice}\n".encode())

    with stop_signals_handled_by(handle):
        yield stop
