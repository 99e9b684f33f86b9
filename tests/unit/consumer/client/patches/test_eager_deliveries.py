"""What became of a record is asked of its batch, and is what kafka-python's future says."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from kafka.producer.future import FutureRecordMetadata
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.structs import TopicPartition

from prefstream.consumer.client import patches

HEADERS = [("a", b"1"), ("ü", b"22")]


@pytest.fixture(scope="module", autouse=True)
def _patched() -> None:
    patches.apply()


@pytest.fixture
def batch() -> ProducerBatch:
    return ProducerBatch(TopicPartition("t", 3), MemoryRecordsBuilder(2, 0, 100_000))


def send(batch: ProducerBatch) -> Any:
    delivery = batch.try_append(1_000, b"key", b"value", HEADERS)
    assert not batch.produce_future._callbacks, "nothing waits to be called"
    return delivery


def test_it_says_where_the_record_is_as_kafka_pythons_own_does(batch: ProducerBatch) -> None:
    send(batch)
    delivery = send(batch)
    own = FutureRecordMetadata(batch.produce_future, 1, 1_000, None, 3, 5, 6)
    assert (delivery.is_done, delivery.value, delivery.exception) == (False, None, None)
    assert not delivery.succeeded()
    batch.complete(40, -1)
    assert delivery.get() == own.get()
    assert (delivery.get().offset, delivery.get().serialized_header_size) == (41, 6)
    assert delivery.succeeded()
    assert not delivery.failed()


def test_it_says_what_kept_the_record_from_its_topic(batch: ProducerBatch) -> None:
    good, bad = send(batch), send(batch)
    too_large = MessageSizeTooLargeError("this one")
    batch.complete_exceptionally(too_large, lambda index: too_large if index == 1 else KafkaTimeoutError("the batch"))
    assert isinstance(good.exception, KafkaTimeoutError)
    assert bad.exception is too_large
    assert bad.failed()
    with pytest.raises(MessageSizeTooLargeError, match="this one"):
        bad.get()


def test_it_is_waited_for_no_longer_than_told(batch: ProducerBatch) -> None:
    delivery = send(batch)
    with pytest.raises(KafkaTimeoutError):
        delivery.get(timeout=0.05)


def test_who_waits_hears_of_the_batch_that_a_split_put_the_record_into(batch: ProducerBatch) -> None:
    send(batch)
    delivery = send(batch)
    found: list[Any] = []
    called: list[Any] = []
    delivery.add_callback(called.append)
    waiting = threading.Thread(target=lambda: found.append(delivery.get(timeout=30)))
    waiting.start()
    half = ProducerBatch(TopicPartition("t", 3), MemoryRecordsBuilder(2, 0, 100_000))
    delivery.rebind(half.produce_future, 0)
    half.complete(70, -1)
    waiting.join(30)
    assert [metadata.offset for metadata in found] == [70]
    assert called == found


@pytest.mark.parametrize("early", [True, False])
def test_who_wants_to_be_called_back_is(batch: ProducerBatch, early: bool) -> None:
    called: list[Any] = []
    failed: list[Any] = []
    delivery = send(batch)
    if early:
        delivery.add_callback(called.append, *[]).add_errback(failed.append)
    batch.complete(5, -1)
    if not early:
        delivery.add_both(called.append)
    assert [metadata.offset for metadata in called] == [5]
    assert not failed
