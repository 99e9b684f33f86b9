"""Of a topic that was deleted and created again, nothing that was fetched before comes out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import make_consumer
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from tests.support.streams import wait_until

PARTITIONS = [TopicPartition("battles", number) for number in range(2)]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


def write(broker: EmbeddedBroker, value: bytes, records: int) -> None:
    with closing(KafkaProducer(bootstrap_servers=broker.bootstrap_servers)) as producer:
        for partition in PARTITIONS * records:
            producer.send(partition.topic, value, partition=partition.partition)


def test_what_was_fetched_of_the_old_topic_is_dropped(broker: EmbeddedBroker) -> None:
    """Positions are the same in both, and nothing else is compared."""
    config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers)
    create_topics(config, len(PARTITIONS))
    write(broker, b"old", records=20)
    with closing(make_consumer(config, auto_offset_reset="earliest")) as consumer:
        consumer.assign(PARTITIONS)
        wait_until(lambda: consumer.poll(timeout_ms=200, max_records=1), what="the first record")
        consumer.pause(*PARTITIONS)
        assert consumer.poll(timeout_ms=200) == {}
        with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)) as admin:
            admin.delete_topics([config.battles_topic])
            admin.create_topics({config.battles_topic: {"num_partitions": 2, "replication_factor": 1}})
        write(broker, b"new", records=1)
        consumer.topics()
        consumer.seek_to_beginning(*PARTITIONS)
        consumer.forget_fetched()
        for partition in PARTITIONS:
            assert consumer.position(partition, timeout_ms=10_000) == 0
        consumer.resume(*PARTITIONS)
        values: list[bytes] = []

        def have_come() -> Any:
            values.extend(record.value for records in consumer.poll(timeout_ms=200).values() for record in records)
            return len(values) >= len(PARTITIONS)

        wait_until(have_come, what="the new records")
        assert values == [b"new"] * len(PARTITIONS)
