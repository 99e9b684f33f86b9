"""Contract: producing, fetching, offsets, and the admin client's work on topics."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import (
    InvalidConfigurationError,
    InvalidPartitionsError,
    InvalidReplicationFactorError,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)
from kafka.protocol.consumer import FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse
from kafka.protocol.producer import (
    InitProducerIdRequest,
    InitProducerIdResponse,
    ProduceRequest,
    ProduceResponse,
)

from tests.support.wire import patiently

OFFSET_OUT_OF_RANGE = 1
CORRUPT_MESSAGE = 2
UNKNOWN_TOPIC_OR_PARTITION = 3
OUT_OF_ORDER_SEQUENCE_NUMBER = 45
INVALID_PRODUCER_EPOCH = 47
INVALID_RECORD = 87


def produce(wire: Any, topic: str, data: bytes, *, transactional_id: str | None = None) -> tuple[int, int]:
    """Error code and offset of a batch for partition 0."""
    topic_class = ProduceRequest.TopicProduceData
    part = topic_class.PartitionProduceData(index=0, records=data)
    response = wire.call(
        ProduceRequest(
            transactional_id=transactional_id,
            acks=-1,
            timeout_ms=1000,
            topic_data=[topic_class(name=topic, partition_data=[part])],
        ),
        ProduceResponse,
        9,
    )
    answer = response.responses[0].partition_responses[0]
    return answer.error_code, answer.base_offset


def new_producer_id(wire: Any) -> int:
    """An id for an idempotent producer, of epoch 0."""
    request = InitProducerIdRequest(
        transactional_id=None, transaction_timeout_ms=1000, producer_id=-1, producer_epoch=-1
    )
    ids: list[int] = []

    def ask() -> int:
        response = wire.call(request, InitProducerIdResponse, 4)
        ids.append(response.producer_id)
        return int(response.error_code)

    assert patiently(ask) == 0
    return ids[-1]


def fetch_request(topic: str, offset: int, *, wait_ms: int, min_bytes: int = 1, max_bytes: int = 1 << 20) -> Any:
    topic_class = FetchRequest.FetchTopic
    part = topic_class.FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=max_bytes)
    return FetchRequest(
        max_wait_ms=wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=1,
        session_id=0,
        session_epoch=-1,
        topics=[topic_class(topic=topic, partitions=[part])],
        forgotten_topics_data=[],
    )


def fetch(wire: Any, topic: str, offset: int, **kwargs: Any) -> Any:
    response = wire.call(fetch_request(topic, offset, **kwargs), FetchResponse, 11)
    return response.responses[0].partitions[0]


# --- producing and fetching


@pytest.mark.parametrize("codec", [None, "gzip", "lz4", "zstd"])
def test_what_is_produced_is_fetched(
    topic: str, new_producer: Callable[..., Any], new_consumer: Callable[..., Any], read_values: Any, codec: str | None
) -> None:
    producer = new_producer(compression_type=codec)
    values = [b"value %d" % i for i in range(200)]
    futures = [producer.send(topic, value, key=b"k", headers=[("h", b"1")]) for value in values]
    producer.flush()
    assert [future.get(100).offset for future in futures] == list(range(200))
    assert read_values(new_consumer(topic), 200) == values


def test_keys_headers_and_timestamps_arrive(
    topic: str, new_producer: Callable[..., Any], new_consumer: Callable[..., Any]
) -> None:
    stamp = int(time.time() * 1000) - 5000
    new_producer().send(topic, b"v", key=b"k", headers=[("h", b"1")], timestamp_ms=stamp).get(100)
    record = next(iter(new_consumer(topic)))
    assert (record.key, record.value, record.timestamp, list(record.headers)) == (b"k", b"v", stamp, [("h", b"1")])
    assert record.timestamp_type == 0


def test_without_acks_records_arrive_all_the_same(
    topic: str, new_producer: Callable[..., Any], new_consumer: Callable[..., Any], read_values: Any
) -> None:
    producer = new_producer(acks=0, enable_idempotence=False)
    for value in (b"1", b"2", b"3"):
        producer.send(topic, value)
    producer.flush()
    assert read_values(new_consumer(topic), 3) == [b"1", b"2", b"3"]


def test_a_record_too_large_is_refused_by_the_broker(topic: str, new_producer: Callable[..., Any]) -> None:
    producer = new_producer(max_request_size=10 << 20)
    with pytest.raises(MessageSizeTooLargeError):
        producer.send(topic, b"x" * (2 << 20)).get(100)
    # kafka-python counts this as fatal for an idempotent producer; the broker goes on.
    new_producer().send(topic, b"small").get(100)


def test_a_topics_own_message_limit_counts(name: str, admin: Any, new_producer: Callable[..., Any]) -> None:
    admin.create_topics(
        {name: {"num_partitions": 1, "replication_factor": 1, "configs": {"max.message.bytes": "2000"}}}
    )
    producer = new_producer()
    producer.send(name, b"x" * 1000).get(100)
    with pytest.raises(MessageSizeTooLargeError):
        producer.send(name, b"x" * 3000).get(100)


def test_a_timestamp_far_in_the_future_is_refused(topic: str, new_producer: Callable[..., Any]) -> None:
    in_two_hours = int((time.time() + 7200) * 1000)
    with pytest.raises(InvalidTimestampError):
        new_producer().send(topic, b"v", timestamp_ms=in_two_hours).get(100)


def test_a_repeated_batch_is_stored_once_and_a_gap_refused(
    topic: str, wire: Any, batch_of: Callable[..., bytes]
) -> None:
    mine = {"producer_id": new_producer_id(wire), "epoch": 0}
    first = batch_of(b"a", b"b", sequence=0, **mine)
    assert produce(wire, topic, first) == (0, 0)
    assert produce(wire, topic, batch_of(b"c", sequence=2, **mine)) == (0, 2)
    assert produce(wire, topic, first) == (0, 0)
    assert produce(wire, topic, batch_of(b"e", sequence=4, **mine))[0] == OUT_OF_ORDER_SEQUENCE_NUMBER
    assert produce(wire, topic, batch_of(b"d", sequence=3, **mine)) == (0, 3)


def test_a_new_epoch_starts_at_zero_and_ends_the_old_one(topic: str, wire: Any, batch_of: Callable[..., bytes]) -> None:
    pid = new_producer_id(wire)
    assert produce(wire, topic, batch_of(b"a", producer_id=pid, epoch=0, sequence=0)) == (0, 0)
    wrong = batch_of(b"b", producer_id=pid, epoch=1, sequence=1)
    assert produce(wire, topic, wrong)[0] == OUT_OF_ORDER_SEQUENCE_NUMBER
    assert produce(wire, topic, batch_of(b"b", producer_id=pid, epoch=1, sequence=0)) == (0, 1)
    late = batch_of(b"c", producer_id=pid, epoch=0, sequence=1)
    assert produce(wire, topic, late)[0] == INVALID_PRODUCER_EPOCH


def test_damaged_batches_are_refused(topic: str, wire: Any, batch_of: Callable[..., bytes]) -> None:
    damaged = bytearray(batch_of(b"value"))
    damaged[-1] ^= 1
    assert produce(wire, topic, bytes(damaged))[0] == CORRUPT_MESSAGE
    assert produce(wire, topic, batch_of(b"a") + batch_of(b"b"))[0] == INVALID_RECORD
    assert produce(wire, topic, batch_of(b"fine")) == (0, 0)


def test_producing_to_a_missing_partition_is_refused(name: str, wire: Any, batch_of: Callable[..., bytes]) -> None:
    assert produce(wire, name, batch_of(b"a"))[0] == UNKNOWN_TOPIC_OR_PARTITION


def test_a_fetch_waits_until_there_is_something(
    topic: str, new_wire: Callable[[], Any], batch_of: Callable[..., bytes]
) -> None:
    reader, writer = new_wire(), new_wire()
    reader.send(fetch_request(topic, 0, wait_ms=200_000), 11)
    time.sleep(0.2)
    started = time.monotonic()
    assert produce(writer, topic, batch_of(b"x")) == (0, 0)
    part = reader.receive(FetchResponse, 11).responses[0].partitions[0]
    assert len(part.records) > 0
    assert time.monotonic() - started < 100


def test_a_fetch_that_finds_nothing_ends_in_time(topic: str, wire: Any) -> None:
    started = time.monotonic()
    part = fetch(wire, topic, 0, wait_ms=300)
    assert 0.2 < time.monotonic() - started < 100
    assert (part.error_code, part.high_watermark, len(part.records or b"")) == (0, 0, 0)


def test_a_fetch_waits_for_its_minimum_of_bytes(
    topic: str, new_wire: Callable[[], Any], batch_of: Callable[..., bytes]
) -> None:
    reader, writer = new_wire(), new_wire()
    reader.send(fetch_request(topic, 0, wait_ms=20_000, min_bytes=1500), 11)
    for _ in range(2):
        produce(writer, topic, batch_of(b"x" * 1000))
    part = reader.receive(FetchResponse, 11).responses[0].partitions[0]
    assert len(part.records) > 2000


def test_a_fetch_returns_a_batch_larger_than_its_limit(topic: str, wire: Any, batch_of: Callable[..., bytes]) -> None:
    for _ in range(2):
        produce(wire, topic, batch_of(b"x" * 1000))
    part = fetch(wire, topic, 0, wait_ms=0, max_bytes=10)
    assert 1000 < len(part.records) < 2000


def test_fetching_outside_the_log_is_refused(topic: str, wire: Any) -> None:
    assert fetch(wire, topic, 1, wait_ms=100).error_code == OFFSET_OUT_OF_RANGE
    assert fetch(wire, f"{topic}-missing", 0, wait_ms=100).error_code == UNKNOWN_TOPIC_OR_PARTITION


# --- offsets


def test_offsets_are_found_by_timestamp(
    topic: str, new_producer: Callable[..., Any], new_consumer: Callable[..., Any]
) -> None:
    producer = new_producer()
    base = int(time.time() * 1000) - 60_000
    for index in range(5):
        producer.send(topic, b"v", timestamp_ms=base + 1000 * index)
    producer.flush()
    part = TopicPartition(topic, 0)
    consumer = new_consumer()
    found = consumer.offsets_for_times({part: base + 1500})[part]
    assert (found.offset, found.timestamp) == (2, base + 2000)
    assert consumer.offsets_for_times({part: base + 10_000})[part] is None
    assert consumer.beginning_offsets([part]) == {part: 0}
    assert consumer.end_offsets([part]) == {part: 5}


def test_the_newest_timestamp_is_found(topic: str, wire: Any, batch_of: Callable[..., bytes]) -> None:
    now = int(time.time() * 1000)
    for stamp in (now - 3000, now - 1000, now - 2000):
        produce(wire, topic, batch_of(b"v", timestamp_ms=stamp))
    topic_class = ListOffsetsRequest.ListOffsetsTopic
    part = topic_class.ListOffsetsPartition(partition_index=0, current_leader_epoch=-1, timestamp=-3)
    response = wire.call(
        ListOffsetsRequest(replica_id=-1, isolation_level=0, topics=[topic_class(name=topic, partitions=[part])]),
        ListOffsetsResponse,
        7,
    )
    answer = response.topics[0].partitions[0]
    assert (answer.error_code, answer.offset, answer.timestamp) == (0, 1, now - 1000)


def test_deleted_records_are_out_of_range(
    topic: str, admin: Any, new_producer: Callable[..., Any], new_consumer: Callable[..., Any], read_values: Any
) -> None:
    producer = new_producer()
    for index in range(10):
        producer.send(topic, b"%d" % index).get(100)
    part = TopicPartition(topic, 0)
    admin.delete_records({part: 6})
    consumer = new_consumer(auto_offset_reset="none")
    consumer.assign([part])
    assert consumer.beginning_offsets([part]) == {part: 6}
    consumer.seek(part, 2)
    with pytest.raises(OffsetOutOfRangeError):
        read_values(consumer, 1)
    consumer.seek(part, 6)
    assert read_values(consumer, 4) == [b"6", b"7", b"8", b"9"]


def test_deleting_past_the_end_is_refused(topic: str, admin: Any) -> None:
    with pytest.raises(KafkaError):
        admin.delete_records({TopicPartition(topic, 0): 1})


# --- topics


def test_asking_for_a_topic_creates_it(
    name: str, new_producer: Callable[..., Any], new_consumer: Callable[..., Any], read_values: Any
) -> None:
    new_producer().send(name, b"v").get(100)
    consumer = new_consumer(name)
    assert read_values(consumer, 1) == [b"v"]
    assert consumer.partitions_for_topic(name)  # how many is the broker's setting


def test_topics_come_grow_and_go(name: str, admin: Any, wait_until: Any) -> None:
    admin.create_topics({name: {"num_partitions": 2, "replication_factor": 1}})
    wait_until(lambda: name in admin.list_topics())
    with pytest.raises(TopicAlreadyExistsError):
        admin.create_topics({name: {"num_partitions": 2, "replication_factor": 1}})
    admin.create_partitions({name: 5})
    wait_until(lambda: len(admin.describe_topics([name])[0]["partitions"]) == 5)
    with pytest.raises(InvalidPartitionsError):
        admin.create_partitions({name: 3})
    admin.delete_topics([name])
    wait_until(lambda: name not in admin.list_topics())
    with pytest.raises(UnknownTopicOrPartitionError):
        admin.delete_topics([name])


def test_impossible_topics_are_refused(name: str, admin: Any) -> None:
    with pytest.raises(InvalidTopicError):
        admin.create_topics({"no spaces please": {"num_partitions": 1, "replication_factor": 1}})
    with pytest.raises(InvalidReplicationFactorError):
        admin.create_topics({name: {"num_partitions": 1, "replication_factor": 99}})
    with pytest.raises(InvalidPartitionsError):
        admin.create_topics({name: {"num_partitions": 0, "replication_factor": 1}})
    with pytest.raises(InvalidConfigurationError):
        admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1, "configs": {"no.such.setting": "1"}}})


def test_the_cluster_describes_itself(admin: Any) -> None:
    cluster = admin.describe_cluster()
    assert len(cluster["brokers"]) >= 1
    assert cluster["cluster_id"]
