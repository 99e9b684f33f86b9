"""kafka-python's consumer, which here tells what it knows of topic, brokers and its group, and bounds its memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

from prefstream.consumer.client.patches.unbounded_unpacking import MAX_UNPACKED_BYTES
from prefstream.consumer.client.patches.unfair_polls import MAX_POLL_BYTES

COMMIT_TIMEOUT_MS: Final = 10_000
"""A coordinator fails over in about 9 s."""

JOIN_WAIT_MS: Final = 100
"""A join that ends takes milliseconds; between two waits of this length we look whether our time is up."""

_NO_ID = UUID(int=0)
"""What brokers say that have no ids for topics."""


class TopicAwareConsumer(KafkaConsumer):  # type: ignore[misc]  # kafka-python has no types
    """A consumer that tells what it knows of a topic, of the brokers, and of its place in the group.

    Args:
        max_unpacked_bytes: bound of a record batch that is unpacked; one that is larger comes out as records that are
            `Withheld`.
        max_poll_bytes: a poll ends with the record that reaches this weight.
        settings: kafka-python's.
    """

    _heard_at = 0.0

    def __init__(
        self, *, max_unpacked_bytes: int = MAX_UNPACKED_BYTES, max_poll_bytes: int = MAX_POLL_BYTES, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self._fetcher.max_unpacked_bytes = max_unpacked_bytes
        self._fetcher.max_poll_bytes = max_poll_bytes

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], timeout_ms: int = COMMIT_TIMEOUT_MS) -> None:
        """Commit offsets; a member commits those of its own partitions, once it has joined."""
        self.see_join_through(timeout_ms)
        if self._subscription.partitions_auto_assigned():
            ours = self.assignment()
            offsets = {partition: offset for partition, offset in offsets.items() if partition in ours}
        super().commit(dict(offsets), timeout_ms=timeout_ms)

    def see_join_through(self, timeout_ms: int = COMMIT_TIMEOUT_MS) -> None:
        """Wait until a join that is under way, or due, has ended; a member commits nothing before."""
        deadline = time.monotonic() + timeout_ms / 1000
        while self._coordinator.need_rejoin() and time.monotonic() < deadline:
            self._coordinator.ensure_active_group(timeout_ms=JOIN_WAIT_MS)

    def assigned_generation(self) -> int:
        """The group's generation, if our partitions are those that we have in it; -1 where that is not known."""
        return int(self._coordinator.assigned_generation())

    def has_topic(self, topic: str) -> bool:
        """Whether the brokers knew the topic when they were asked last."""
        return self._cluster.partitions_for_topic(topic) is not None

    def known_position(self, partition: TopicPartition) -> int | None:
        """The offset that is read next, as far as it is known now; asks nobody, unlike `position`."""
        state = self._subscription.assignment.get(partition)
        if state is None or state.awaiting_validation or state.position is None:
            return None
        position: int = state.position.offset
        return position

    def heard_at(self) -> float:
        """When a broker has answered anything last, on the monotonic clock; 0 where none has. Asks nobody.

        A connection counts once its broker has answered on it: who is frozen lets connections be made all the same.
        """
        for connection in list(self._manager._conns.values()):  # noqa: SLF001 - nothing public tells
            transport = connection.transport  # the client's own thread may take it away any moment
            if connection.connected and transport is not None:
                self._heard_at = max(self._heard_at, transport.last_read)
        return self._heard_at

    def ask_for_topics(self) -> None:
        """Ask the brokers again; does not wait for the answer."""
        self._cluster.request_update()

    def forget_fetched(self) -> None:
        """Drop what was fetched and not handed out yet: it may be of a topic that had this one's name before."""
        self._fetcher.forget()

    def topic_id(self, topic: str) -> UUID | None:
        """What tells a topic from another one of the same name; None where nobody says."""
        found: UUID | None = self._cluster.topic_id(topic)
        return None if found == _NO_ID else found
