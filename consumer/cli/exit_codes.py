"""How commands end: exit codes, and the one line that an error becomes."""

from __future__ import annotations

import logging
import os
import sys
from typing import Final, NoReturn

from rich.console import Console
from rich.markup import escape

from prefstream.consumer import early_signals
from prefstream.consumer.errors import StreamError, UsageError
from prefstream.schemas import PrefstreamError
from prefstream.scoring.errors import ConfigError, FetchError, FileError, LoadError

EXIT_FAULT: Final = 1
"""A lasting fault that another start may find gone, or a check that failed."""

EXIT_USAGE: Final = 2
"""Wrong usage or configuration, judges that can't be loaded among it."""

EXIT_REJECTED: Final = 3
"""Every usable row was handled, and at least one was rejected."""

EXIT_INTERRUPTED: Final = early_signals.EXIT_INTERRUPTED
"""Ended by Ctrl-C or SIGTERM with work left; what is done is kept."""


def complain(error: PrefstreamError) -> int:
    """Print an error as one line on standard error.

    Returns:
        The exit code that goes with it.
    """
    Console(stderr=True, soft_wrap=True).print(f"[bold red]prefstream:[/] {escape(str(error))}", highlight=False)
    if isinstance(error, FetchError):
        return EXIT_FAULT
    return EXIT_USAGE if isinstance(error, UsageError | ConfigError | FileError | LoadError) else EXIT_FAULT


def exit_code_of(error: BaseException) -> int | None:
    """How the process ends by what a command raised; an error of ours, or of Kafka's client, is printed as one line.

    Returns:
        The exit code; None where it is a mistake of ours, whose traceback is needed.
    """
    from kafka.errors import KafkaError  # a tenth of a second, which only errors cost

    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    if isinstance(error, KafkaError):
        # Its own text may quote whole requests.
        return complain(StreamError(f"Kafka refused or did not answer: {type(error).__name__}"))
    return complain(error) if isinstance(error, PrefstreamError) else None


def leave_now(code: int) -> NoReturn:
    """End the process although a forward pass is under way: the interpreter would wait for its thread."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
