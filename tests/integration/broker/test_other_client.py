"""Contract: another client, librdkafka, which shares no line of code with the embedded broker.

What one client writes, the other must read, both ways.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka import TopicPartition as OtherTopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

QUIET = {"log_level": 0}
TIMEOUT_S = 100


@pytest.fixture
def other_producer(bootstrap_servers: str) -> Callable[..., Any]:
    def make(**settings: Any) -> Any:
        return Producer({"bootstrap.servers": bootstrap_servers, **QUIET, **settings})

    return make


@pytest.fixture
def other_consumer(bootstrap_servers: str, open_clients: ExitStack) -> Callable[..., Any]:
    def make(group_id: str, *topics: str, **settings: Any) -> Any:
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": group_id,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "heartbeat.interval.ms": 100,
                **QUIET,
                **settings,
            }
        )
        open_clients.callback(consumer.close)
        consumer.subscribe(list(topics))
        return consumer

    return make


@pytest.fixture
def other_admin(bootstrap_servers: str) -> Any:
    return AdminClient({"bootstrap.servers": bootstrap_servers, **QUIET})


def read(consumer: Any, count: int, extra_s: float = 0.5) -> list[bytes]:
    """Values until `count` have come, and what comes shortly after although it should not."""
    values: list[bytes] = []
    deadline = time.monotonic() + TIMEOUT_S
    while len(values) < count and time.monotonic() < deadline:
        values += [message.value() for message in consumer.consume(500, 0.2) if message.error() is None]
    values += [message.value() for message in consumer.consume(500, extra_s) if message.error() is None]
    return values


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_kafka_python_reads_what_librdkafka_writes(
    topic: str, other_producer: Callable[..., Any], new_consumer: Callable[..., Any], read_values: Any, codec: str
) -> None:
    if codec == "snappy":
        pytest.importorskip("snappy")
    producer = other_producer(**{"compression.type": codec, "enable.idempotence": True})
    values = [b"value %d" % index for index in range(200)]
    for value in values:
        producer.produce(topic, value, key=b"k", headers=[("h", b"1")])
    assert producer.flush(TIMEOUT_S) == 0
    assert read_values(new_consumer(topic), 200) == values


@pytest.mark.parametrize("codec", [None, "gzip", "lz4", "zstd"])
def test_librdkafka_reads_what_kafka_python_writes(
    topic: str, name: str, new_producer: Callable[..., Any], other_consumer: Callable[..., Any], codec: str | None
) -> None:
    producer = new_producer(compression_type=codec)
    values = [b"value %d" % index for index in range(200)]
    for value in values:
        producer.send(topic, value, key=b"k", headers=[("h", b"1")])
    producer.flush()
    assert read(other_consumer(name, topic), 200) == values


def test_kafka_python_sees_librdkafkas_transactions(
    topic: str, name: str, other_producer: Callable[..., Any], new_consumer: Callable[..., Any], read_values: Any
) -> None:
    producer = other_producer(**{"transactional.id": name})
    producer.init_transactions(TIMEOUT_S)
    for value, commit in ((b"a", True), (b"x", False), (b"b", True)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(TIMEOUT_S)
        if commit:
            producer.commit_transaction(TIMEOUT_S)
        else:
            producer.abort_transaction(TIMEOUT_S)
    assert read_values(new_consumer(topic), 2) == [b"a", b"b"]


def test_librdkafka_sees_kafka_pythons_transactions(
    topic: str, name: str, new_producer: Callable[..., Any], other_consumer: Callable[..., Any]
) -> None:
    producer = new_producer(transactional_id=name)
    for value, commit in ((b"a", True), (b"x", False), (b"b", True)):
        producer.begin_transaction()
        producer.send(topic, value)
        producer.flush()
        if commit:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    assert read(other_consumer(name, topic), 2) == [b"a", b"b"]


def test_librdkafka_moves_records_and_offsets_together(
    topic: str,
    name: str,
    other_producer: Callable[..., Any],
    other_consumer: Callable[..., Any],
    new_producer: Callable[..., Any],
    new_consumer: Callable[..., Any],
    read_values: Any,
) -> None:
    output = f"{name}-output"
    feeder = new_producer()
    for value in (b"1", b"2", b"3"):
        feeder.send(topic, value).get(100)
    consumer = other_consumer(name, topic)
    values = read(consumer, 3, extra_s=0)
    producer = other_producer(**{"transactional.id": name})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    for value in values:
        producer.produce(output, value)
    producer.send_offsets_to_transaction(
        [OtherTopicPartition(topic, 0, 3)], consumer.consumer_group_metadata(), TIMEOUT_S
    )
    producer.commit_transaction(TIMEOUT_S)
    assert sorted(read_values(new_consumer(output), 3)) == [b"1", b"2", b"3"]
    (committed,) = consumer.committed([OtherTopicPartition(topic, 0)], TIMEOUT_S)
    assert committed.offset == 3


def test_a_fenced_librdkafka_producer_hears_of_it(topic: str, name: str, other_producer: Callable[..., Any]) -> None:
    old, new = (other_producer(**{"transactional.id": name}) for _ in range(2))
    old.init_transactions(TIMEOUT_S)
    old.begin_transaction()
    old.produce(topic, b"old")
    old.flush(TIMEOUT_S)
    new.init_transactions(TIMEOUT_S)
    with pytest.raises(KafkaException) as caught:
        old.commit_transaction(TIMEOUT_S)
    assert caught.value.args[0].fatal()


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_librdkafka_members_share_the_partitions(
    wide_topic: str, name: str, other_consumer: Callable[..., Any], strategy: str
) -> None:
    settings = {"partition.assignment.strategy": strategy}
    members = [other_consumer(name, wide_topic, **settings) for _ in range(2)]
    deadline = time.monotonic() + TIMEOUT_S
    while [len(member.assignment()) for member in members] != [2, 2] and time.monotonic() < deadline:
        for member in members:
            member.poll(0.05)
    assert [len(member.assignment()) for member in members] == [2, 2]


def test_both_clients_agree_on_a_groups_offsets(
    topic: str,
    name: str,
    new_producer: Callable[..., Any],
    new_consumer: Callable[..., Any],
    other_consumer: Callable[..., Any],
    wait_until: Any,
) -> None:
    producer = new_producer()
    for index in range(5):
        producer.send(topic, b"%d" % index).get(100)
    mine = new_consumer(topic, group_id=name)
    wait_until(mine.assignment, mine)
    mine.commit({TopicPartition(topic, 0): OffsetAndMetadata(3, "", -1)})
    mine.close()
    assert read(other_consumer(name, topic), 2) == [b"3", b"4"]


def test_librdkafkas_admin_client_is_served(name: str, other_admin: Any, other_consumer: Callable[..., Any]) -> None:
    for future in other_admin.create_topics([NewTopic(name, 1, 1, config={"retention.ms": "1000"})]).values():
        future.result(TIMEOUT_S)
    for future in other_admin.create_partitions([NewPartitions(name, 2)]).values():
        future.result(TIMEOUT_S)
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        topics = other_admin.list_topics(timeout=TIMEOUT_S).topics
        if name in topics and len(topics[name].partitions) == 2:
            break
    assert len(other_admin.list_topics(name, timeout=TIMEOUT_S).topics[name].partitions) == 2
    consumer = other_consumer(name, name)
    while not consumer.assignment() and time.monotonic() < deadline:
        consumer.poll(0.1)
    described = other_admin.describe_consumer_groups([name])[name].result(TIMEOUT_S)
    assert described.state.name == "STABLE"
    assert len(described.members) == 1
    for future in other_admin.delete_topics([name]).values():
        future.result(TIMEOUT_S)
