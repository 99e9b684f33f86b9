"""kafka-python's consumer, which here tells what it knows of topic, brokers and its group, and bounds its memory."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from kafka import KafkaConsumer, TopicPartition

from prefstream.consumer.client.patches.unbounded_unpacking import MAX_UNPACKED_BYTES
from prefstream.consumer.client.patches.unfair_polls import MAX_POLL_BYTES

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
