"""How Ctrl-C and SIGTERM ask a command to stop in good order."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from prefstream.consumer.cli.exit_codes import leave_now
from prefstream.consumer.early_signals import (
    EXIT_INTERRUPTED,
    STOP_SIGNALS,
    SignalForm,
    end_at_once,
    tell_signal,
)
from prefstream.consumer.observe.logs import logs_are_json
from prefstream.consumer.observe.stop_event import StopEvent


@contextmanager
def stop_signals_handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """SIGINT and SIGTERM go to the handler; afterwards to where they went before."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def stop_service_on_signals(ask: Callable[[int, SignalForm], None], *, asked: str, ended: str) -> None:
    """From now on SIGTERM and SIGINT ask a service to finish; a second one ends the process at once.

    Args:
        ask: asks; gets the signal's number, and the form of the log's lines.
        asked: what the log says then.
        ended: what it says of the second one.
    """
    form: SignalForm = "json" if logs_are_json() else "console"

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        end_at_once(ended, number, EXIT_INTERRUPTED, form)

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        ask(number, form)
        for each in STOP_SIGNALS:
            signal.signal(each, end)
        tell_signal(asked, number, form)

    for number in STOP_SIGNALS:
        signal.signal(number, handle)


def leave_within(seconds: float, tell: Callable[[], None]) -> None:
    """End the process with 0 after so long, in whatever it hangs then; not where it has ended by itself.

    Args:
        seconds: how long it may take to end by itself.
        tell: what the log is to say is told before.
    """

    def leave() -> None:
        tell()
        leave_now(0)

    deadline = threading.Timer(seconds, leave)
    deadline.daemon = True
    deadline.start()


@contextmanager
def stop_on_signals(notice: str) -> Iterator[threading.Event]:
    """SIGINT and SIGTERM set the event; a second one ends the process at once, for work that loses nothing by that.

    Args:
        notice: what the first one says, on standard error.
    """
    stop = StopEvent()

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        if stop.is_set():
            os._exit(EXIT_INTERRUPTED)
        stop.set()
        # Not through the console: the signal may have come in the middle of its writing.
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\n{notice}\n".encode())

    with stop_signals_handled_by(handle):
        yield stop
