"""How commands end: exit codes, and the one line that an error becomes."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from rich.console import Console
from rich.markup import escape

from prefstream.consumer import early_signals
from prefstream.consumer.errors import StreamError, UsageError
from prefstream.consumer.words import escaped
from prefstream.schemas import PrefstreamError
from prefstream.scoring.errors import ConfigError, FetchError, FileError, LoadError, MissingExtraError
from prefstream.scoring.extras import explain

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
    return _code_of(error)


def log_failure(error: PrefstreamError) -> int:
    """Tell the error that ends a service, as a line of its log.

    Returns:
        The exit code that goes with it.
    """
    import structlog  # only services have it

    code = _code_of(error)
    structlog.get_logger(__name__).critical("failed", error=type(error).__name__, message=str(error), exit_code=code)
    return code


def exit_code_of(error: BaseException, tell: Callable[[PrefstreamError], int] = complain) -> int | None:
    """How the process ends by what a command raised; an error of ours, of Kafka or about a file is told in one line.

    Args:
        error: what was raised.
        tell: tells an error of ours, and returns its exit code.

    Returns:
        The exit code; None where it is a mistake of ours, whose traceback is needed.
    """
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    if _is_of_kafka(error):
        # Its own text may quote whole requests.
        return tell(StreamError(f"Kafka refused or did not answer: {type(error).__name__}"))
    if missing := explain(error, "what was asked for"):
        return tell(missing)
    if isinstance(error, OSError) and (told := _from_system(error)):
        return tell(told)
    return tell(error) if isinstance(error, PrefstreamError) else None


def _from_system(error: OSError) -> StreamError | None:
    """What the system refuses wherever it happens: a name that is too long, a folder without rights, a full disk."""
    if error.filename is None:
        if error.errno not in _OF_DISK:
            return None
        return StreamError(f"can't write to standard output, or to a file: {error.strerror}")
    names = " and ".join(escaped(os.fsdecode(name)) for name in (error.filename, error.filename2) if name is not None)
    kind = StreamError if error.errno in _PASSING else UsageError
    return kind(f"can't use {names}: {error.strerror}")


_OF_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Of a descriptor that is open, the system does not say which: it is mostly standard output, files have own errors."""

_PASSING: Final = _OF_DISK | {errno.EMFILE, errno.ENFILE}
"""What has nothing to do with the path, and may be gone at another start."""


def _is_of_kafka(error: BaseException) -> bool:
    client = sys.modules.get("kafka.errors")  # where nobody imported it, nothing of it was raised
    return client is not None and isinstance(error, client.KafkaError)


_USAGE: Final = UsageError | ConfigError | FileError | LoadError | MissingExtraError


def _code_of(error: PrefstreamError) -> int:
    if isinstance(error, FetchError):
        return EXIT_FAULT
    return EXIT_USAGE if isinstance(error, _USAGE) else EXIT_FAULT


def leave_now(code: int) -> NoReturn:
    """End the process although a forward pass is under way: the interpreter would wait for its thread."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # whoever read it may be gone
            stream.flush()
    os._exit(code)
