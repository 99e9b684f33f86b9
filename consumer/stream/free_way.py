"""What holds the stream up: told to probes at once, to the log where a person should hear it, at last an error."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from prefstream.consumer.errors import BrokersSilentError, StreamError, TopicMissingError

log = structlog.get_logger(__name__)

EVERYDAY_S: Final = 10.0
"""To be out of the group for a moment is everyday life: a rebalance takes seconds, a coordinator's failover 9 s. Of an
obstacle that may be no more than that, the log tells after so long; of brokers that are silent and of topics that are
gone, at once."""


class FreeWay:
    """One line in the log where an obstacle begins, and one where it ends. Belongs to the polling thread.

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
        self._free_until = clock()
        self._now: str | None = str(find())
        self._logged: type[StreamError] | None = None

    def require(self) -> None:
        """Look once more; to be called in every turn of the loop.

        Raises:
            StreamError: the obstacle, once it has lasted for too long.
        """
        now = self._clock()
        obstacle = self._find()
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
            return
        if self._is_news(obstacle, held_up_s):
            self._logged = type(obstacle)
            log.error("held up", why=told)
        if held_up_s > self._broker_timeout_s:
            raise obstacle

    def _is_news(self, obstacle: StreamError, held_up_s: float) -> bool:
        """Whether the log should hear of it: what follows from an obstacle that it has heard of is none."""
        if isinstance(obstacle, TopicMissingError | BrokersSilentError):
            return self._logged is not type(obstacle)
        return self._logged is None and held_up_s > EVERYDAY_S
