"""Record batches: what is accepted, what is refused with which code, and what is changed when storing."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from prefstream.consumer.broker.node.batch import build_marker, find_timestamp, parse_produced
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError

GZIP = 1


def refusal_of(data: bytes | None) -> ErrorCode:
    with pytest.raises(RequestRefusedError) as caught:
        parse_produced(data)
    return caught.value.code


def some_batch() -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    builder.append(0, 1000, b"key", b"value", [])
    return bytes(builder.build())


def test_reads_what_a_producer_sent(produced: Callable[..., bytes]) -> None:
    batch = parse_produced(produced(3, producer_id=7, epoch=2, sequence=10, transactional=True))
    assert (batch.base_offset, batch.last_offset) == (0, 2)
    assert (batch.producer_id, batch.producer_epoch) == (7, 2)
    assert (batch.first_sequence, batch.last_sequence) == (10, 12)
    assert batch.transactional
    assert batch.idempotent
    assert not batch.control
    assert batch.max_timestamp_ms == 1002


def test_accepts_any_buffer(produced: Callable[..., bytes]) -> None:
    assert parse_produced(memoryview(produced(2))) == parse_produced(produced(2))


def test_a_compressed_batch_is_stored_as_it_came(produced: Callable[..., bytes]) -> None:
    data = produced([b"a" * 100] * 5, compression=GZIP)
    assert parse_produced(data).at_offset(0).data == data


def test_sequence_numbers_wrap_after_the_largest_int32(produced: Callable[..., bytes]) -> None:
    batch = parse_produced(produced(3, producer_id=7, epoch=0, sequence=2**31 - 2))
    assert batch.last_sequence == 0


def test_no_batch_is_corrupt() -> None:
    assert refusal_of(None) is ErrorCode.CORRUPT_MESSAGE


@pytest.mark.parametrize("length", [0, 16, 60])
def test_a_batch_cut_short_is_corrupt(produced: Callable[..., bytes], length: int) -> None:
    assert refusal_of(produced()[:length]) is ErrorCode.CORRUPT_MESSAGE


def test_a_batch_longer_than_sent_is_corrupt(produced: Callable[..., bytes]) -> None:
    assert refusal_of(produced(5)[:-1]) is ErrorCode.CORRUPT_MESSAGE


def test_old_formats_are_refused(produced: Callable[..., bytes]) -> None:
    data = bytearray(produced())
    data[16] = 1
    assert refusal_of(bytes(data)) is ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT


def test_two_batches_are_refused(produced: Callable[..., bytes]) -> None:
    assert refusal_of(produced() + produced()) is ErrorCode.INVALID_RECORD


def test_a_clients_transaction_marker_is_refused() -> None:
    marker = build_marker(producer_id=1, producer_epoch=0, commit=True, timestamp_ms=0)
    assert refusal_of(marker.data) is ErrorCode.INVALID_RECORD


def test_a_producer_id_needs_a_sequence_number(produced: Callable[..., bytes]) -> None:
    assert refusal_of(produced(producer_id=5)) is ErrorCode.INVALID_RECORD


@given(position=st.integers(min_value=0), bit=st.integers(0, 7))
def test_any_changed_bit_under_the_checksum_is_noticed(position: int, bit: int) -> None:
    data = bytearray(some_batch())
    data[21 + position % (len(data) - 21)] ^= 1 << bit
    assert refusal_of(bytes(data)) is ErrorCode.CORRUPT_MESSAGE


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else(data: bytes) -> None:
    with pytest.raises(RequestRefusedError):
        parse_produced(data)


def test_storing_sets_the_offset_and_keeps_the_checksum_right(produced: Callable[..., bytes]) -> None:
    stored = parse_produced(produced(3)).at_offset(40)
    read = DefaultRecordBatch(stored.data)
    assert read.validate_crc()
    assert (stored.base_offset, stored.last_offset) == (40, 42)
    assert [record.offset for record in read] == [40, 41, 42]


@pytest.mark.parametrize("commit", [True, False])
def test_a_marker_is_what_clients_expect(*, commit: bool) -> None:
    marker = build_marker(producer_id=9, producer_epoch=3, commit=commit, timestamp_ms=1234).at_offset(5)
    read = DefaultRecordBatch(marker.data)
    assert read.validate_crc()
    assert read.is_control_batch
    assert read.is_transactional
    assert (read.producer_id, read.producer_epoch, read.max_timestamp) == (9, 3, 1234)
    (record,) = list(read)
    assert struct.unpack(">hh", record.key) == (0, 1 if commit else 0)
    assert record.offset == 5


def test_finds_the_first_record_that_is_not_older(produced: Callable[..., bytes]) -> None:
    batch = parse_produced(produced(4, timestamps=[10, 500, 400, 900])).at_offset(100)
    assert find_timestamp(batch, 0) == (100, 10)
    assert find_timestamp(batch, 300) == (101, 500)
    assert find_timestamp(batch, 501) == (103, 900)


def test_finds_the_start_of_a_compressed_batch(produced: Callable[..., bytes]) -> None:
    batch = parse_produced(produced([b"a" * 100] * 3, timestamps=[10, 20, 30], compression=GZIP)).at_offset(7)
    assert find_timestamp(batch, 15) == (7, 30)
