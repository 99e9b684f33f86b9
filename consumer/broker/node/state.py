"""Everything a broker remembers: topics, groups, transactions. It outlives a stop and a start."""

from __future__ import annotations

from typing import Final

from prefstream.consumer.broker.node.clock import Clock, SystemClock
from prefstream.consumer.broker.node.groups import GroupCoordinator
from prefstream.consumer.broker.node.offsets import TopicPartition
from prefstream.consumer.broker.node.settings import BrokerSettings
from prefstream.consumer.broker.node.topics import Topic, TopicRegistry
from prefstream.consumer.broker.node.transactions import TransactionCoordinator

NODE_ID: Final = 0
# 22 characters of url-safe base64, as Kafka's cluster ids are.
CLUSTER_ID: Final = "cHJlZnN0cmVhbSBicm9rZQ"


class BrokerState:
    """The state machines of a broker and what one of them makes another do. Belongs to one thread."""

    def __init__(self, settings: BrokerSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = SystemClock() if clock is None else clock
        self.topics = TopicRegistry(settings)
        self.groups = GroupCoordinator(self.clock, settings)
        self._records_due_s = self.clock.monotonic_s() + settings.log_retention_check_interval_ms / 1000
        self.transactions = TransactionCoordinator(self.clock, self, max_timeout_ms=settings.transaction_max_timeout_ms)

    def write_marker(self, partition: TopicPartition, *, producer_id: int, producer_epoch: int, commit: bool) -> None:
        """Write a transaction's marker, unless its topic was deleted meanwhile."""
        if self.topics.has(*partition):
            self.topics.log(*partition).end_transaction(
                producer_id=producer_id,
                producer_epoch=producer_epoch,
                commit=commit,
                timestamp_ms=self.clock.wall_ms(),
            )

    def settle_offsets(self, group_id: str, *, producer_id: int, commit: bool) -> None:
        """Publish or forget a transaction's offsets, unless its group was deleted meanwhile."""
        group = self.groups.get(group_id)
        if group is not None:
            group.offsets.end_transaction(producer_id, commit=commit, now_s=self.clock.monotonic_s())

    def delete_topic(self, topic: Topic) -> None:
        """Delete a topic with the offsets that groups committed for it."""
        self.topics.delete(topic)
        self.groups.forget_topic(topic.name)

    def expire(self) -> None:
        """Act on every time-out that has passed."""
        self.groups.expire()
        self.transactions.expire()
        if self.clock.monotonic_s() >= self._records_due_s:
            self._records_due_s = self.clock.monotonic_s() + self.settings.log_retention_check_interval_ms / 1000
            self.topics.expire(self.clock.wall_ms())

    def resume(self) -> None:
        """Go on after a stop: nobody could reach the broker, so nobody is late."""
        self.groups.resume()
