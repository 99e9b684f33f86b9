"""Partitions whose leader the client does not know yet are asked for again: None means that there is no record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import make_consumer
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from tests.support.streams import wait_until

KNOWN, UNKNOWN = TopicPartition("battles", 0), TopicPartition("preferences", 0)
ASKED_MS = 10_000


@pytest.fixture
def consumer() -> Iterator[Any]:
    """One that reads a topic, and has heard of nothing else since it does; a record stands on another one, too."""
    with EmbeddedBroker() as broker:
        config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers)
        create_topics(config, 1)
        with closing(KafkaProducer(bootstrap_servers=broker.bootstrap_servers)) as producer:
            for topic, _ in (KNOWN, UNKNOWN):
                producer.send(topic, b"a")
        with closing(make_consumer(config)) as consumer:
            consumer.assign([KNOWN])
            consumer.seek_to_beginning(KNOWN)

            def has_heard() -> bool:
                consumer.poll(timeout_ms=20)
                return consumer._cluster.leader_for_partition(KNOWN) is not None

            wait_until(has_heard, what="the leader of that topic alone")
            assert consumer._cluster.leader_for_partition(UNKNOWN) is None
            yield consumer


def test_a_record_is_found_by_its_time_where_another_partitions_leader_was_known(consumer: Any) -> None:
    found = consumer.offsets_for_times({KNOWN: 0, UNKNOWN: 0}, timeout_ms=ASKED_MS)
    assert {partition: at and at.offset for partition, at in found.items()} == {KNOWN: 0, UNKNOWN: 0}


def test_ends_are_told_of_all_that_are_asked_for(consumer: Any) -> None:
    assert consumer.end_offsets([KNOWN, UNKNOWN], timeout_ms=ASKED_MS) == {KNOWN: 1, UNKNOWN: 1}
