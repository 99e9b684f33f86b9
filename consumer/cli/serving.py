"""How a command that serves begins and ends: its log, the signals that stop it, its exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import structlog

from prefstream.consumer.cli.exit_codes import exit_code_of, log_failure
from prefstream.consumer.cli.notes import notes_of
from prefstream.consumer.cli.signals import leave_within, stop_service_on_signals
from prefstream.consumer.early_signals import SignalForm
from prefstream.consumer.observe.logs import configure_logging, install_exception_hooks
from prefstream.consumer.service_settings import LogFormat, LogLevel

if TYPE_CHECKING:
    from prefstream.consumer.observe.stoppable import StoppableService

log = structlog.get_logger(__name__)


class LogSettings(Protocol):
    """How a service logs."""

    @property
    def log_level(self) -> LogLevel:
        """What."""

    @property
    def log_format(self) -> LogFormat:
        """In which form."""


def open_log(config: LogSettings, context: Any) -> None:
    """From now on what happens goes to the log; settings without effect are its first lines.

    Args:
        config: how to log.
        context: typer's, of the command.
    """
    configure_logging(config.log_level, config.log_format)
    install_exception_hooks()
    for note in notes_of(context):
        log.warning("setting without effect", detail=note)


def code_of_service(serve: Callable[[], None]) -> int:
    """Serve; an error of ours that ends it is a line of the log.

    Args:
        serve: returns once it was asked to stop.

    Returns:
        The exit code.
    """
    try:
        serve()
    except Exception as error:
        code = exit_code_of(error, log_failure)
        if code is None:
            raise
        return code
    return 0


def serve_until_signal(service: StoppableService, *, stop_s: float) -> NoReturn:
    """Run a service that loses nothing wherever it is ended, until SIGTERM or SIGINT, and end the process.

    Args:
        service: what to run; it computes, and serves, in one process.
        stop_s: how long it may take to end by itself once it was asked to.
    """
    from prefstream.consumer.board.one_blas_thread import one_blas_thread  # numpy comes along

    def ask(number: int, form: SignalForm) -> None:
        del form
        service.stop(signal.Signals(number).name)
        leave_within(stop_s, service.tell_end)

    stop_service_on_signals(ask, asked="stopping", ended="stopped at once, nothing is lost")
    with one_blas_thread():
        code = code_of_service(service.run)
    sys.exit(code)
