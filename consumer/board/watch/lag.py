"""How many battles wait for the stream: the lag of its group, by partition."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from prefstream.consumer.board.report.stream_payloads import GroupLag, PartitionLag
from prefstream.consumer.client.acl import acls_of_lag
from prefstream.consumer.client.clients import admin_client
from prefstream.consumer.client.kafka_errors import Translator
from prefstream.consumer.client.offsets import lag_by_partition, read_bounds, read_committed_offsets
from prefstream.consumer.client.protocols import TopicPartition
from prefstream.consumer.client.topics import describe_topics
from prefstream.consumer.config import TopicNames
from prefstream.consumer.errors import StreamError, TopicMissingError

LOOK_S: Final = 5.0
"""Between two looks: four small requests, and an operator hears of a stream that stands still after a minute."""


class LagWatch:
    """Looks every `LOOK_S`. Its thread calls `watch`; the rest is for any.

    Args:
        names: the topics, and where they are.
        group_id: the stream's group.
        clock: monotonic seconds.
    """

    def __init__(self, names: TopicNames, group_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._names = names
        self._group_id = group_id
        self._topic = names.battles_topic
        self._unanswered = Unanswered(clock)
        self._lag: GroupLag | None = None
        self._translator = Translator(f"asking for the lag of group {group_id}", acls=acls_of_lag(names, group_id))

    @property
    def lag(self) -> GroupLag | None:
        """What was found last; None before that."""
        return self._lag

    @property
    def unanswered_s(self) -> float:
        """For how long battles have waited and none was answered, in seconds; as of now."""
        return self._unanswered.for_s

    def watch(self, stop: threading.Event, tell: Callable[[StreamError | None], None]) -> None:
        """Look until a stop is asked for.

        Raises:
            StreamError: it is not known now.
        """
        with self._translator.translating(), admin_client(self._names) as admin:
            while not stop.is_set():
                tell(self._look(admin))
                stop.wait(LOOK_S)

    def _look(self, admin: Any) -> StreamError | None:
        """Ask once; what is amiss, where there is nothing to be told."""
        [topic] = describe_topics(admin, [self._topic])
        if topic.absent:
            raise TopicMissingError(f"there is no topic {self._topic}: check its name (--battles-topic)")
        if topic.error is not None:
            raise topic.error
        committed = read_committed_offsets(admin, self._group_id, self._topic)
        if not committed:
            self._unanswered.look({}, 0)
            return StreamError(
                f"group {self._group_id} has committed nothing of {self._topic}: has prefstream run begun, and is this "
                "its group (--group-id)?"
            )
        found = lag_by_partition(committed, read_bounds(admin, topic.topic_partitions()))
        total = sum(found.values())
        self._unanswered.look(committed, total)
        self._lag = GroupLag(
            total=total,
            partitions=tuple(
                PartitionLag(topic=one.topic, partition=one.partition, lag=lag) for one, lag in sorted(found.items())
            ),
        )
        return None


class Unanswered:
    """For how long battles have waited while nothing was answered: what a group commits are answers.

    A number alone tells nothing: a busy stream always lags by some, and who is quiet publishes nothing. One thread
    looks; `for_s` may be asked from any.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._committed: Mapping[TopicPartition, int] = {}
        self._since: float | None = None

    def look(self, committed: Mapping[TopicPartition, int], lag: int) -> None:
        """Take note of where the group is.

        Args:
            committed: what it has committed.
            lag: battles that wait.
        """
        if not lag:
            self._since = None
        elif self._since is None or committed != self._committed:
            self._since = self._clock()
        self._committed = committed

    @property
    def for_s(self) -> float:
        """Seconds since the last answer, or since battles wait; 0 where none does."""
        since = self._since
        return 0.0 if since is None else self._clock() - since
