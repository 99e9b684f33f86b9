"""SIGTERM and SIGINT, heard from the first moment on: imports nothing that takes time.

Imports take half a second and more, loading judges takes minutes. As process 1 of a container a signal that nobody
handles is dropped by the kernel: a `docker stop` in that time would wait, and then kill. Elsewhere it would end the
process without a word, or with the traceback of whatever was being imported.
"""

import os
import signal
import sys
import time
from types import FrameType
from typing import Final, Literal, NoReturn, TypeAlias

EXIT_STOPPED: Final = 0
"""What serves was stopped: nothing is wrong."""

EXIT_INTERRUPTED: Final = 130
"""Ended by Ctrl-C or SIGTERM with work left; what is done is kept."""

SignalForm: TypeAlias = Literal["plain", "console", "json"]
"""How a line about a signal looks: as a command speaks, or as one of a log in either of its forms."""

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def hear_signals() -> None:
    """Until a command handles them itself, both signals end the process at once, with a line and an exit code.

    A process that starts itself again blocks them meanwhile: here they come through again.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, _end_before_it_began)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def hold_signals_back() -> None:
    """Keep both signals for the program that takes the place of this one and hears them by `hear_signals`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def raise_interrupts() -> None:
    """From now on both signals raise KeyboardInterrupt, as Ctrl-C does in any Python program.

    Not before a command is imported: libraries swallow what is raised in the middle of their import. `run` handles
    signals itself, and a process that does not hear them by `hear_signals` is not ours to change.
    """
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is _end_before_it_began and not serves():
            signal.signal(number, signal.default_int_handler)


def serves() -> bool:
    """Whether the command is one that a signal is meant to stop: `run`, `recalibrate`, or `board` but for one look."""
    command, options = sys.argv[1:2], sys.argv[2:]
    looks = any(option.partition("=")[0] in {"--once", "--preferences"} for option in options)
    return command in (["run"], ["recalibrate"]) or (command == ["board"] and not looks)


def tell_signal(event: str, number: int, form: SignalForm) -> None:
    """Write one line about a signal to standard error.

    Past log and console: the signal may have come in the middle of their writing.

    Args:
        event: what comes of it.
        number: of the signal.
        form: of the line.
    """
    name = signal.Signals(number).name
    now = time.time()
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03}Z"
    if form == "json":
        line = f'{{"timestamp":"{stamp}","level":"info","logger":"prefstream","event":"{event}","signal":"{name}"}}'
    elif form == "console":  # as structlog lays its lines out
        line = f"{stamp} [info     ] {event:<30} [prefstream] signal={name}"
    else:
        line = f"prefstream: {event} ({name})"
    try:
        os.write(2, f"{line}\n".encode())
    except OSError:
        return  # standard error is closed: there is nobody to tell


def end_at_once(event: str, number: int, code: int, form: SignalForm) -> NoReturn:
    """Say so and end the process, whatever it is in the middle of: an exception could be swallowed there."""
    tell_signal(event, number, form)
    os._exit(code)


def _end_before_it_began(number: int, frame: FrameType | None) -> None:
    del frame
    code = EXIT_STOPPED if serves() else EXIT_INTERRUPTED
    end_at_once("stopped while it started, nothing was begun", number, code, _log_form() if serves() else "plain")


def _log_form() -> SignalForm:
    """As far as it can be told before the settings are read."""
    chosen = os.environ.get("PREFSTREAM_LOG_FORMAT") or "auto"
    for word, following in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        option, _, value = word.partition("=")
        if option == "--log-format":
            chosen = value or following
    return "json" if chosen == "json" or (chosen == "auto" and not os.isatty(2)) else "console"
