"""What was set aside while its partition was paused is handed out when it is resumed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import make_consumer
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig

PARTITIONS = [TopicPartition("battles", number) for number in range(2)]
RECORDS = 20


@pytest.fixture
def consumer() -> Iterator[Any]:
    """Of two partitions with records."""
    with EmbeddedBroker() as broker:
        config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers)
        create_topics(config, len(PARTITIONS))
        with closing(KafkaProducer(bootstrap_servers=broker.bootstrap_servers)) as producer:
            for number in range(RECORDS):
                for partition in PARTITIONS:
                    producer.send(partition.topic, b"%d" % number, partition=partition.partition)
        with closing(make_consumer(config, auto_offset_reset="earliest")) as consumer:
            consumer.assign(PARTITIONS)
            yield consumer


def take(consumer: Any, count: int, max_records: int, timeout_s: float = 10.0) -> list[tuple[int, int]]:
    """Partition and offset of the next records."""
    taken: list[tuple[int, int]] = []
    deadline = time.monotonic() + timeout_s
    while len(taken) < count and time.monotonic() < deadline:
        for records in consumer.poll(timeout_ms=200, max_records=max_records).values():
            taken += [(record.partition, record.offset) for record in records]
    return taken


@pytest.mark.parametrize("max_records", [3, 500])
def test_two_partitions_that_were_parked_one_after_the_other_both_go_on(consumer: Any, max_records: int) -> None:
    """As happens when a rebalance brings a partition while all others are paused."""
    taken = take(consumer, 1, max_records=1)
    first = PARTITIONS[taken[0][0]]
    consumer.pause(first)
    taken += take(consumer, 1, max_records=1)
    assert {partition for partition, _ in taken} == {0, 1}
    consumer.pause(*PARTITIONS)
    assert consumer.poll(timeout_ms=200) == {}
    consumer.resume(*PARTITIONS)
    taken += take(consumer, 2 * RECORDS - 2, max_records)
    for partition in range(2):
        assert [offset for found, offset in taken if found == partition] == list(range(RECORDS))
