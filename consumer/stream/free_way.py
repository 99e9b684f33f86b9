"""What holds the stream up: told to probes at once, to the log where a person should hear it, at last an error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from prefstream.consumer.errors import BrokersSilentError, GoldenFaultError, StreamError, TopicMissingError

log = structlog.get_logger(__name__)

EVERYDAY_S: Final = 10.0
"""To be out of the group for a moment is everyday life: a rebalance takes seconds, a coordinator's failover 9 s. Of an
obstacle that may be no more than that, the log tells after so long; of brokers that are silent, of topics that are
gone, and of a panel that answers wrongly, at once."""


class FreeWay:
    """One line in the log where an obstacle begins, and one where it ends.

    The polling thread requires it in every turn; while that thread is held up in a call, another one may `look`.

    Args:
        find: what holds us up now, as the error that it becomes if it lasts; None where nothing does.
        broker_timeout_s: an obstacle that lasts for longer ends the stream.
        on_obstacle: called with what it is, or with None, each time that it changes.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        find: Callable[[], StreamError | None],
        broker_timeout_s: float,
        on_obstacle: Callable[[str | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._broker_timeout_s = broker_timeout_s
        self._on_obstacle = on_obstacle
        self._clock = clock
        self._lock = threading.Lock()
        self._free_until = clock()
        self._now: str | None = str(find())
        self._logged: type[StreamError] | None = None

    def require(self) -> None:
        """Look once more; to be called in every turn of the loop.

        Raises:
            StreamError: the obstacle, once it has lasted for too long.
        """
        with self._lock:
            obstacle = self._find()
            held_up_s = self._tell(obstacle)
        if obstacle is not None and held_up_s > self._broker_timeout_s:
            raise obstacle

    def look(self, find: Callable[[], StreamError | None]) -> str | None:
        """Tell of an obstacle while the polling thread is held up in a call; only that thread says that it is over.

        Args:
            find: finds an obstacle; in this thread, so that it asks nothing that belongs to the polling one.

        Returns:
            What it is; None where nothing is found.
        """
        with self._lock:  # around the search, too: who has found less lately must not be the last to tell
            obstacle = find()
            if obstacle is None:
                return None
            self._tell(obstacle)
            return self._now

    @property
    def obstacle(self) -> str | None:
        """What holds us up, as it was told last."""
        return self._now

    def _tell(self, obstacle: StreamError | None) -> float:
        """Tell probes and log what is new; returns for how many seconds we have been held up."""
        now = self._clock()
        told = None if obstacle is None else str(obstacle)
        if told != self._now:
            self._now = told
            self._on_obstacle(told)
        held_up_s = now - self._free_until
        if obstacle is None:
            if self._logged is not None:
                log.info("going on", held_up_s=round(held_up_s, 1))
                self._logged = None
            self._free_until = now
        elif self._is_news(obstacle, held_up_s):
            self._logged = type(obstacle)
            log.error("held up", why=told)
        return held_up_s

    def _is_news(self, obstacle: StreamError, held_up_s: float) -> bool:
        """Whether the log should hear of it: what follows from an obstacle that it has heard of is none."""
        if isinstance(obstacle, TopicMissingError | BrokersSilentError | GoldenFaultError):
            return self._logged is not type(obstacle)
        return self._logged is None and held_up_s > EVERYDAY_S
