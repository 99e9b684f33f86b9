"""A poll is shared by all partitions that have something, is bounded by bytes, and forgets nothing that was paused."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Any, Final

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.errors import CorruptRecordError

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import make_consumer
from prefstream.consumer.client.patches import unfair_polls
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from tests.support.packed_batches import batch_of, bomb, produce_batch
from tests.support.streams import WAIT_S

PARTITIONS: Final = [TopicPartition("battles", number) for number in range(3)]
RECORDS: Final = 20

MakeConsumer = Callable[..., Any]


@pytest.fixture
def config() -> Iterator[StreamConfig]:
    """Of an empty topic with three partitions."""
    with EmbeddedBroker() as broker:
        config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers)
        create_topics(config, len(PARTITIONS))
        yield config


@pytest.fixture
def new_consumer(config: StreamConfig) -> Iterator[MakeConsumer]:
    """Makes a consumer at the beginning of all partitions: its first fetch brings what they have."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Any:
            consumer = stack.enter_context(closing(make_consumer(config, **settings)))
            consumer.assign(PARTITIONS)
            for partition in PARTITIONS:
                consumer.seek(partition, 0)
            return consumer

        yield make


def fill(config: StreamConfig, counts: Mapping[int, int], value: bytes = b"zqvalue") -> None:
    """Write so many records to each partition."""
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers, max_request_size=2**24)) as producer:
        for partition, count in counts.items():
            for _ in range(count):
                producer.send("battles", value, partition=partition)


def poll(consumer: Any, max_records: int) -> list[tuple[int, int]]:
    """Partition and offset of each record of the next poll that has some."""
    polled = consumer.poll(timeout_ms=int(WAIT_S * 1000), max_records=max_records)
    return [(record.partition, record.offset) for records in polled.values() for record in records]


def take(consumer: Any, count: int, max_records: int) -> list[tuple[int, int]]:
    """Partition and offset of the next records."""
    taken: list[tuple[int, int]] = []
    deadline = time.monotonic() + WAIT_S
    while len(taken) < count and time.monotonic() < deadline:
        for records in consumer.poll(timeout_ms=200, max_records=max_records).values():
            taken += [(record.partition, record.offset) for record in records]
    return taken


def of_partition(taken: list[tuple[int, int]], partition: int) -> list[int]:
    return [offset for found, offset in taken if found == partition]


def test_a_lone_record_does_not_wait_for_the_fetch_of_another_partition(
    config: StreamConfig, new_consumer: MakeConsumer
) -> None:
    fill(config, {0: 1_000, 1: 1, 2: 1_000})
    assert (1, 0) in poll(new_consumer(), max_records=10)


def test_partitions_share_each_poll_and_keep_their_order(config: StreamConfig, new_consumer: MakeConsumer) -> None:
    fill(config, {0: RECORDS, 1: RECORDS, 2: RECORDS})
    consumer = new_consumer()
    polls = [poll(consumer, max_records=9) for _ in range(6)]
    assert [sorted(partition for partition, _ in polled) for polled in polls] == [[0, 0, 0, 1, 1, 1, 2, 2, 2]] * 6
    taken = [record for polled in polls for record in polled] + take(consumer, 6, max_records=9)
    for partition in range(3):
        assert of_partition(taken, partition) == list(range(RECORDS))


def test_polls_that_have_not_room_for_all_partitions_serve_them_in_turn(
    config: StreamConfig, new_consumer: MakeConsumer
) -> None:
    fill(config, {0: RECORDS, 1: RECORDS, 2: RECORDS})
    consumer = new_consumer()
    served = [poll(consumer, max_records=1)[0][0] for _ in range(6)]
    assert sorted(served[:3]) == sorted(served[3:]) == [0, 1, 2]


def test_a_poll_ends_with_the_record_that_reaches_its_bound(config: StreamConfig, new_consumer: MakeConsumer) -> None:
    fill(config, {0: 10, 1: 1, 2: 1}, bytes(1_000))
    consumer = new_consumer(max_poll_bytes=4_500)
    assert len(poll(consumer, max_records=500)) == 5
    assert len(poll(consumer, max_records=500)) == 5
    assert len(poll(consumer, max_records=500)) == 2


def test_a_record_that_is_larger_than_the_bound_comes_alone(config: StreamConfig, new_consumer: MakeConsumer) -> None:
    fill(config, {0: 3}, bytes(10_000))
    consumer = new_consumer(max_poll_bytes=1_000)
    assert [poll(consumer, max_records=500) for _ in range(3)] == [[(0, 0)], [(0, 1)], [(0, 2)]]


def test_headers_count_as_much_as_they_take(config: StreamConfig, new_consumer: MakeConsumer) -> None:
    """As Python's objects they are many times as large as their bytes."""
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers)) as producer:
        for _ in range(4):
            producer.send("battles", b"", partition=0, headers=[("", b"")] * 100)
    consumer = new_consumer(max_poll_bytes=199 * unfair_polls.HEADER_BYTES)
    assert len(poll(consumer, max_records=500)) == 2


def test_batches_of_all_partitions_together_unpack_to_no_more_than_twice_the_bound(
    config: StreamConfig, new_consumer: MakeConsumer
) -> None:
    for partition in range(3):
        for _ in range(2):
            produce_batch(config, bomb("zstd", 30, 30_000), 30, partition=partition)
    consumer = new_consumer(max_unpacked_bytes=2**20)
    taken: list[tuple[int, int]] = []
    while len(taken) < 180:
        taken += poll(consumer, max_records=7)
        readings = consumer._fetcher._paused_partition_records.values()
        assert sum(reading.unpacked_bytes for reading in readings) <= 2 * 2**20
    for partition in range(3):
        assert of_partition(taken, partition) == list(range(60))


def test_nothing_more_is_fetched_while_enough_waits(
    config: StreamConfig, new_consumer: MakeConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what waits, everything is handed out; then it goes on."""
    fill(config, {0: 100, 1: 100, 2: 100}, bytes(1_000))
    consumer = new_consumer(max_partition_fetch_bytes=10_000)
    monkeypatch.setattr(unfair_polls, "MAX_FETCHED_BYTES", 1)
    taken = take(consumer, 300, max_records=7)
    for partition in range(3):
        assert of_partition(taken, partition) == list(range(100))


def test_a_partition_that_cannot_be_read_is_told_and_keeps_no_other_from_being_read(
    config: StreamConfig, new_consumer: MakeConsumer
) -> None:
    produce_batch(config, batch_of("gzip", gzip.compress(b"\x7f no record"), 1), 1, partition=0)
    fill(config, {1: 2, 2: 2})
    consumer = new_consumer()
    taken: list[tuple[int, int]] = []
    told = 0
    deadline = time.monotonic() + WAIT_S
    while (len(taken) < 4 or told < 2) and time.monotonic() < deadline:
        try:
            taken += take(consumer, 1, max_records=1)
        except CorruptRecordError:
            told += 1
    assert sorted(taken) == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert told == 2, "whoever polls again hears it again"
    assert consumer.position(PARTITIONS[0]) == 0


@pytest.mark.parametrize("max_records", [3, 500])
def test_two_partitions_that_were_parked_one_after_the_other_both_go_on(
    config: StreamConfig, new_consumer: MakeConsumer, max_records: int
) -> None:
    """As happens when a rebalance brings a partition while all others are paused."""
    fill(config, {0: RECORDS, 1: RECORDS})
    consumer = new_consumer()
    taken = poll(consumer, max_records=1)
    first = PARTITIONS[taken[0][0]]
    consumer.pause(first)
    taken += poll(consumer, max_records=1)
    assert {partition for partition, _ in taken} == {0, 1}
    consumer.pause(*PARTITIONS)
    assert consumer.poll(timeout_ms=200) == {}
    consumer.resume(*PARTITIONS)
    taken += take(consumer, 2 * RECORDS - 2, max_records)
    for partition in range(2):
        assert of_partition(taken, partition) == list(range(RECORDS))


def test_what_was_handed_out_of_a_partition_that_was_sought_is_of_its_new_position(
    config: StreamConfig, new_consumer: MakeConsumer
) -> None:
    fill(config, {0: RECORDS, 1: RECORDS})
    consumer = new_consumer()
    poll(consumer, max_records=4)
    consumer.seek(PARTITIONS[0], 0)
    taken = take(consumer, 2 * RECORDS - 2, max_records=4)
    assert of_partition(taken, 0) == list(range(RECORDS))
    assert of_partition(taken, 1) == list(range(2, RECORDS))
