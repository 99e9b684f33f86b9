"""For how long records wait to be taken in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from prefstream.consumer.client.protocols import TopicPartition


class Behind:
    """Of each partition the end as it was at some moment: until it is reached, that moment's records wait.

    A number of records alone tells nothing: on a busy topic some are always under way. Looked at by one thread; `for_s`
    may be asked from any.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[TopicPartition, tuple[float, int]] = {}
        self._since: float | None = None

    def look(self, unread: Mapping[TopicPartition, range]) -> None:
        """Take note of how far reading is.

        Args:
            unread: of each partition the offsets that are not taken in; empty where nobody knows.
        """
        now = self._clock()
        for partition in self._waiting.keys() - unread.keys():
            del self._waiting[partition]
        for partition, offsets in unread.items():
            known = self._waiting.get(partition)
            if not offsets:
                self._waiting.pop(partition, None)
            elif known is None or offsets.start >= known[1]:
                self._waiting[partition] = (now, offsets.stop)
        self._since = min((since for since, _ in self._waiting.values()), default=None)

    @property
    def for_s(self) -> float:
        """Seconds for which the oldest record has been known to wait; 0 where none does."""
        since = self._since
        return 0.0 if since is None else self._clock() - since
