"""What operators do to topics and groups, and what they ask about them, by librdkafka."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import tenacity
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

REQUEST_S: Final = 30.0
"""Longest wait for an answer of the brokers: a partition without a leader gets one within 9 s."""

patiently = tenacity.retry(
    retry=tenacity.retry_if_exception_type(KafkaException),  # who leads a partition may have changed just now
    wait=tenacity.wait_fixed(1.0),
    stop=tenacity.stop_after_delay(REQUEST_S),
    reraise=True,
)


class Admin:
    """Looks after one input topic and its group.

    Args:
        client: settings of every client.
        topic: the input topic.
        group: the group that reads it.

    Attributes:
        says: the brokers' last word where they did not answer.
    """

    def __init__(self, client: Mapping[str, Any], topic: str, group: str) -> None:
        self._client = dict(client)
        self._topic = topic
        self._group = group
        self._observer = Consumer({**client, "group.id": group, "enable.auto.commit": False})
        self.says = ""

    def close(self) -> None:
        """Close its clients."""
        self._observer.close()

    def create_topics(self, topics: Mapping[str, int]) -> None:
        """Create topics with so many partitions each."""
        admin = self._admin()
        for future in admin.create_topics([NewTopic(name, count, -1) for name, count in topics.items()]).values():
            future.result(REQUEST_S)

    def add_partitions(self, count: int) -> None:
        """Give the input topic so many partitions."""
        admin = self._admin()
        for future in admin.create_partitions([NewPartitions(self._topic, count)]).values():
            future.result(REQUEST_S)

    def know_partitions(self, count: int, *others: Producer) -> bool:
        """Whether our client and others know so many partitions of the input topic."""
        return all(
            len(client.list_topics(self._topic, timeout=REQUEST_S).topics[self._topic].partitions) == count
            for client in (self._observer, *others)
        )

    def committed(self, partitions: int) -> list[TopicPartition]:
        """The group's offset of every partition of the input topic; negative where there is none."""
        wanted = [TopicPartition(self._topic, number) for number in range(partitions)]
        committed: list[TopicPartition] = self._observer.committed(wanted, timeout=REQUEST_S)
        return committed

    def watermarks(self, partition: int) -> tuple[int, int]:
        """First and last offset of a partition of the input topic."""
        low, high = self._observer.get_watermark_offsets(TopicPartition(self._topic, partition), timeout=REQUEST_S)
        return int(low), int(high)

    def lags(self, partitions: int) -> dict[int, int] | None:
        """What was written and is not committed, by partition that has any; None while the brokers can't say."""
        try:
            committed = self.committed(partitions)
            ends = [self.watermarks(partition.partition)[1] for partition in committed]
        except KafkaException as error:
            self.says = str(error)
            with suppress(KafkaException):  # partitions that had no leader are unknown to it until it is asked again
                self._observer.list_topics(self._topic, timeout=REQUEST_S)
            return None
        lags = {
            partition.partition: end - max(0, int(partition.offset))
            for end, partition in zip(ends, committed, strict=True)
        }
        return {number: lag for number, lag in lags.items() if lag}

    @patiently
    def delete_before(self, offsets: Sequence[TopicPartition]) -> None:
        """Delete the records before these offsets."""
        admin = self._admin()  # must outlive what it was asked for
        for future in admin.delete_records([offset for offset in offsets if offset.offset > 0]).values():
            future.result(REQUEST_S)

    @patiently
    def set_retention(self, retention_ms: int | None) -> None:
        """Keep records of the input topic for so long, in milliseconds; None for the default."""
        operation = AlterConfigOpType.DELETE if retention_ms is None else AlterConfigOpType.SET
        entry = ConfigEntry("retention.ms", str(retention_ms or 0), incremental_operation=operation)
        admin = self._admin()
        resource = ConfigResource(ResourceType.TOPIC, self._topic, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(REQUEST_S)

    def delete_group(self, seconds: float) -> None:
        """Delete the group with its offsets, as soon as it has no members any more.

        Args:
            seconds: longest wait for that.
        """
        deadline = time.monotonic() + seconds
        while True:
            admin = self._admin()
            try:
                admin.delete_consumer_groups([self._group])[self._group].result(REQUEST_S)
            except KafkaException as error:
                self.says = str(error)
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def _admin(self) -> AdminClient:
        """A new one: an old one may remember leaders that lead no more, and not ask again."""
        return AdminClient(self._client)
