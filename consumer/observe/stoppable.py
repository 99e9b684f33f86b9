"""A service that runs until it is asked to stop: what ended it stands in its log, what holds it up in its health."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping

import structlog

from prefstream.consumer.observe.health import HealthState
from prefstream.consumer.observe.stop_event import StopEvent

log = structlog.get_logger(__name__)


class StoppableService(ABC):
    """Runs in the thread that calls `run`.

    Attributes:
        health: what probes are answered from.
    """

    def __init__(self) -> None:
        self.health = HealthState()
        self._stop = StopEvent()
        self._ended_by = "the caller"
        self._began = time.monotonic()
        self._told_end = False

    def stop(self, by: str = "the caller") -> None:
        """Ask the service to finish and return; callable from any thread and from a signal handler.

        Args:
            by: who asks, such as `SIGTERM`; the log tells it.
        """
        self._ended_by = by
        self._stop.set()

    def run(self) -> None:
        """Serve until `stop`.

        Raises:
            PrefstreamError: what can't be mended from inside; nothing is lost.
        """
        self._began = time.monotonic()
        try:
            self._serve()
        except Exception as error:
            self._ended_by = type(error).__name__
            raise
        finally:
            self.tell_end()

    def tell_end(self) -> None:
        """Log what ended the service. Once: `run` does it last; who ends the process before that does it first."""
        if not self._told_end:
            self._told_end = True
            after_s = round(time.monotonic() - self._began, 1)
            log.info("stopped", by=self._ended_by, after_s=after_s, **self._figures())

    @abstractmethod
    def _serve(self) -> None:
        """Build the parts, work until `_stop` is set, take them down."""

    def _figures(self) -> Mapping[str, object]:
        """What the log says at the end beside what ended it."""
        return {}

    def _on_obstacle(self, obstacle: str | None) -> None:
        """Show probes what holds the service up; None: nothing does."""
        if obstacle is None:
            self.health.set_ready()
        else:
            self.health.set_not_ready(obstacle)
