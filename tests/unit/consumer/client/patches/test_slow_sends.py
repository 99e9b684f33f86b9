"""A record that is sent in the plainest way is, byte by byte, what kafka-python makes of it; all others go its way."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import IllegalStateError, MessageSizeTooLargeError
from kafka.partitioner.default import DefaultPartitioner
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords
from kafka.serializer import Serializer

from prefstream.consumer.broker.embedded import EmbeddedBroker
from prefstream.consumer.client import patches
from prefstream.consumer.client.patches.header_keys import HeaderKey
from prefstream.consumer.client.patches.slow_sends import CommonHeaders, partition_of, write_headers

TOPIC = "sent"

headers = st.lists(st.tuples(st.text(max_size=100), st.binary(max_size=100)), max_size=4)
records = st.lists(
    st.tuples(st.integers(0, 2**41), st.binary(max_size=300), st.binary(max_size=20_000), headers), min_size=1
)


@pytest.fixture(scope="module", autouse=True)
def _patched() -> None:
    patches.apply()


def theirs(method: Any) -> Any:
    """What the patch replaced."""
    return inspect.unwrap(method, stop=lambda found: not hasattr(found, "__wrapped__"))


def builder(batch_size: int) -> DefaultRecordBatchBuilder:
    return DefaultRecordBatchBuilder(2, 0, True, 1, 1, 1, batch_size)


@given(records, st.integers(0, 30_000))
def test_a_batch_has_the_very_bytes_of_kafka_python(sent: list[Any], batch_size: int) -> None:
    ours, other = builder(batch_size), builder(batch_size)
    append = theirs(DefaultRecordBatchBuilder.append)
    assert append is not DefaultRecordBatchBuilder.append
    for offset, (timestamp, key, value, own) in enumerate(sent):
        mine = ours.append(offset, timestamp, key, value, write_headers(own))
        its = append(other, offset, timestamp, key, value, own)
        assert (mine is None) == (its is None)
        if mine is not None:
            assert (mine.offset, mine.size, mine.timestamp) == (its.offset, its.size, its.timestamp)
    assert ours.build() == other.build()
    first = next(iter(MemoryRecords(bytes(ours.build())).next_batch()))
    assert (first.timestamp, first.key, first.value, first.headers) == sent[0]


@given(st.binary(max_size=70), st.sets(st.integers(0, 500), min_size=1, max_size=40))
def test_a_key_has_the_partition_that_kafka_pythons_partitioner_gives_it(key: bytes, partitions: set[int]) -> None:
    cluster = SimpleNamespace(
        topics=lambda: {TOPIC},
        partitions_for_topic=lambda _: partitions,
        available_partitions_for_topic=lambda _: partitions,
    )
    assert partition_of(key, partitions) == DefaultPartitioner().partition(TOPIC, key, key, b"", b"", cluster)


def test_a_header_that_looks_like_another_one_keeps_its_own_bytes() -> None:
    plain, raw = ("a\ufffd", b"1"), (HeaderKey(b"a\xff"), b"1")
    assert plain == raw
    for _ in range(2):
        assert b"a\xef\xbf\xbd" in write_headers([plain]).wire
        assert b"a\xff" in write_headers([raw]).wire


@given(headers, st.text(max_size=100), st.binary(max_size=10_000), headers, headers)
def test_headers_that_are_written_around_a_records_own_are_those_that_are_written_alone(
    before: list[Any], name: str, value: bytes, behind: list[Any], more: list[Any]
) -> None:
    alone = write_headers([*before, (name, value), *behind, *more])
    around = CommonHeaders(before, name, behind).around(value, *more)
    assert (around, around.wire, around.size) == (alone, alone.wire, alone.size)


@pytest.fixture(scope="module")
def servers() -> Iterator[str]:
    with EmbeddedBroker() as broker:
        yield broker.bootstrap_servers


@contextmanager
def producer_at(servers: str, **settings: Any) -> Iterator[KafkaProducer]:
    with closing(KafkaProducer(bootstrap_servers=servers, **settings)) as producer:
        yield producer


def read(servers: str, topic: str, count: int) -> list[Any]:
    found: list[Any] = []
    with closing(KafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest")) as consumer:
        while len(found) < count:
            for of_partition in consumer.poll(timeout_ms=200).values():
                found += of_partition
    return [(one.partition, one.key, one.value, one.headers) for one in found]


class Encoding(Serializer):  # type: ignore[misc]  # kafka-python has no types
    def serialize(self, topic: str, headers: object, data: str) -> bytes:
        return data.encode()


PLAIN = [(f"key-{number}".encode(), b"value", [("a", b"1"), ("ü", b"x" * 100)]) for number in range(20)]


def test_a_reader_finds_what_kafka_python_would_have_sent_where_it_would_have_sent_it(servers: str) -> None:
    send = theirs(KafkaProducer.send)
    with producer_at(servers) as producer:
        for key, value, own in PLAIN:
            producer.send("plain.ours", value=value, key=key, headers=own)
            send(producer, "plain.theirs", value=value, key=key, headers=own)
        producer.flush()
    assert sorted(read(servers, "plain.ours", len(PLAIN))) == sorted(read(servers, "plain.theirs", len(PLAIN)))


def test_what_is_not_plain_goes_kafka_pythons_way(servers: str) -> None:
    with producer_at(servers) as producer:
        producer.send("others", value=None, key=b"no value")
        producer.send("others", value=b"no key")
        producer.send("others", value=bytearray(b"a bytearray"), key=b"k")
        producer.send("others", value=b"timed", key=b"k", timestamp_ms=1_000, partition=0)
        producer.flush()
    assert {value for _, _, value, _ in read(servers, "others", 4)} == {None, b"no key", b"a bytearray", b"timed"}
    with producer_at(servers, value_serializer=Encoding()) as producer:
        producer.send("serialized", value="text", key=b"k").get(10)
    assert [value for _, _, value, _ in read(servers, "serialized", 1)] == [b"text"]


@pytest.mark.parametrize("wrong", [[("a",)], [("a", None)], [["a", b"1"]], [(b"a", b"1")], (("a", b"1"),), "ab"])
def test_headers_that_are_none_are_refused_as_kafka_python_refuses_them(servers: str, wrong: Any) -> None:
    with producer_at(servers) as producer, pytest.raises(TypeError, match="headers"):
        producer.send(TOPIC, value=b"1", key=b"1", headers=wrong)


def test_a_record_that_is_too_large_is_refused_at_the_same_size(servers: str) -> None:
    with producer_at(servers, max_request_size=2_000) as producer:
        send = theirs(KafkaProducer.send)
        producer.send(TOPIC, value=b"1", key=b"1").get(10)  # from now on it knows the topic
        refused = []
        for way in (KafkaProducer.send, send):
            for size in range(1_800, 2_000):
                try:
                    way(producer, TOPIC, value=b"x" * size, key=b"1", headers=[("a", b"1")])
                except MessageSizeTooLargeError:
                    refused.append(size)
                    break
        assert refused[0] == refused[1]


def test_nothing_is_sent_outside_a_transaction_or_by_a_closed_producer(servers: str) -> None:
    with producer_at(servers, transactional_id="t") as producer:
        producer.init_transactions()
        producer.begin_transaction()
        delivery = producer.send(TOPIC, value=b"1", key=b"1")
        producer.send(TOPIC, value=b"2", key=b"1")
        producer.commit_transaction()
        assert delivery.succeeded()
        with pytest.raises(IllegalStateError, match="Cannot call send in state"):
            producer.send(TOPIC, value=b"1", key=b"1")
    with pytest.raises(IllegalStateError, match="already closed"):
        producer.send(TOPIC, value=b"1", key=b"1")
