"""Compressed record batches: read whatever their codec, and given up where they unpack to more than the bound."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Sequence
from typing import Any, Final

import lz4.frame
import pytest
import snappy
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, UnsupportedCodecError
from kafka.protocol.consumer import IsolationLevel
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.legacy_records import LegacyRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords
from kafka.record.util import calc_crc32c

from prefstream.consumer.client import patches
from prefstream.consumer.client.patches.unbounded_unpacking import MAX_HEADERS, OLD_FORMAT_SHARE, Withheld, unpack
from tests.support.packed_batches import CODECS, batch_of, bomb, pack, records_of_zeros

P0: Final = TopicPartition("battles", 0)
LIMIT: Final = 2**20

each_codec = pytest.mark.parametrize("codec", CODECS)

PLAIN: Final = {
    "gzip": gzip.compress,
    "snappy": snappy.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.compress,
}


@pytest.fixture(autouse=True)
def _patched() -> None:
    patches.apply()


def read(data: bytes, *, position: int = 0, **settings: Any) -> list[Any]:
    """The records of a fetch, as a consumer hands them out that has the bound `LIMIT`."""
    reading = Fetcher.PartitionRecords(position, P0, MemoryRecords(data), **settings)
    reading.max_unpacked_bytes, reading.room_bytes, reading.unpacked_bytes = LIMIT, 2**40, 0
    taken: list[Any] = []
    while reading:
        taken += reading.take(500)
    return taken


def written(codec: str, *values: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> bytes:
    """A batch that kafka-python's producer makes of values."""
    builder = DefaultRecordBatchBuilder(2, CODECS[codec], 0, -1, -1, -1, 1 << 30)
    for offset, value in enumerate(values):
        builder.append(offset, 1_700_000_000_000 + offset, b"key", value, list(headers))
    return bytes(builder.build())


def old(magic: int, codec: str, *values: bytes) -> bytes:
    """A batch of the formats before Kafka 0.11, as a broker stores it: under the offset of its last record."""
    builder = LegacyRecordBatchBuilder(magic, CODECS[codec], 1 << 30)
    for offset, value in enumerate(values):
        builder.append(offset, 1_700_000_000_000, b"key", value)
    data = bytearray(builder.build())
    data[:8] = (len(values) - 1).to_bytes(8, "big")
    return bytes(data)


@each_codec
def test_a_batch_within_the_bound_is_read(codec: str) -> None:
    values = [b"%d" % number * 1_000 for number in range(30)]
    records = read(written(codec, *values))
    assert [(record.offset, record.key, record.value) for record in records] == [
        (offset, b"key", value) for offset, value in enumerate(values)
    ]


@each_codec
@given(sizes=st.lists(st.integers(0, 3 * 2**19), max_size=3))
def test_what_was_packed_is_unpacked(codec: str, sizes: list[int]) -> None:
    """Pieces of any size; in gzip, zstd and the framed snappy one behind the other."""
    pieces = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    assert bytes(unpack(CODECS[codec], pack(codec, iter(pieces)), 2**30) or b"") == b"".join(pieces)


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_frames_one_behind_the_other_are_all_unpacked(codec: str) -> None:
    assert unpack(CODECS[codec], PLAIN[codec](b"one") + PLAIN[codec](b"two"), LIMIT) == bytearray(b"onetwo")


@pytest.mark.parametrize(("codec", "rest"), [("gzip", b"\0\0garbage"), ("lz4", b"\0\0garbage"), ("snappy", b"\0\0")])
def test_what_follows_the_last_frame_is_nothing_as_to_a_broker(codec: str, rest: bytes) -> None:
    """Apache Kafka 4.3.1 unpacks a batch before it takes it, and takes these."""
    assert unpack(CODECS[codec], pack(codec, iter([b"all"])) + rest, LIMIT) == bytearray(b"all")


@each_codec
def test_the_bound_is_a_bound(codec: str) -> None:
    packed = PLAIN[codec](bytes(5_000))
    assert unpack(CODECS[codec], packed, 5_000) == bytearray(5_000)
    assert unpack(CODECS[codec], packed, 4_999) is None


@each_codec
def test_of_a_batch_that_is_too_large_each_record_comes_out_without_what_it_held(codec: str) -> None:
    before, behind = written("gzip", b"before"), written("gzip", b"behind")
    data = before + moved(bomb(codec, 5, 2**19), 1) + moved(behind, 6)
    records = read(data)
    assert [record.offset for record in records] == list(range(7))
    assert [bytes(record.value) for record in records] == [b"before", b"", b"", b"", b"", b"", b"behind"]
    for record in records[1:6]:
        assert isinstance(record.value, Withheld)
        assert "max_unpacked_bytes" in record.value.why
        assert (record.key, record.headers) == (None, [])
        assert record.timestamp > 1_700_000_000_000


def test_reading_goes_on_in_the_middle_of_such_a_batch() -> None:
    """As after a restart, when its first records are dead letters already."""
    assert [record.offset for record in read(bomb("zstd", 5, 2**19), position=3)] == [3, 4]


def test_offsets_that_hold_no_record_come_out_as_none() -> None:
    """Compaction leaves gaps before a batch: at the position that is read from, and behind another batch."""
    assert [record.offset for record in read(moved(bomb("zstd", 2, 2**20), 5))] == [5, 6]
    behind_a_gap = written("gzip", b"before") + moved(bomb("zstd", 2, 2**20), 5)
    assert [record.offset for record in read(behind_a_gap)] == [0, 5, 6]


@each_codec
def test_no_more_than_the_bound_is_taken_of_memory(codec: str) -> None:
    data = bomb(codec, 20, 2**19)
    tracemalloc.start()
    try:
        assert len(read(data)) == 20
        assert tracemalloc.get_traced_memory()[1] < 4 * (LIMIT + len(data))
    finally:
        tracemalloc.stop()


@each_codec
def test_of_a_batch_that_cannot_be_unpacked_each_record_comes_out_as_damaged(codec: str) -> None:
    """Its checksum is right: it is what was sent, and it will be no other when it is read again."""
    packed = PLAIN[codec](bytes(range(256)) * 40)
    for damaged in (packed[:3] + b"\xff" * 20 + packed[23:], b"\xff\xff"):
        records = read(batch_of(codec, damaged, 3))
        assert [(record.offset, record.key, record.value) for record in records] == [(n, None, b"") for n in range(3)]
        assert all(record.value.damaged for record in records)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4"])
def test_a_batch_that_was_cut_short_is_damaged(codec: str) -> None:
    packed = PLAIN[codec](bytes(range(256)) * 40)
    assert all(record.value.damaged for record in read(batch_of(codec, packed[:-3], 3)))


def test_a_wrong_checksum_in_an_lz4_frame_is_damage_that_brokers_take() -> None:
    packed = lz4.frame.compress(bytes(100), content_checksum=True)[:-4] + b"\1\2\3\4"
    assert all(record.value.damaged for record in read(batch_of("lz4", packed, 3)))


def test_a_wrong_checksum_of_the_batch_is_no_fault_of_its_producer() -> None:
    with pytest.raises(CorruptRecordError):
        read(bomb("gzip", 3, 100)[:-1] + b"\xff")


def test_a_codec_that_nobody_knows_is_told() -> None:
    with pytest.raises(UnsupportedCodecError):
        unpack(7, b"", LIMIT)


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", ["gzip", "snappy"])
def test_old_batches_are_read_and_bounded_more_tightly(magic: int, codec: str) -> None:
    """kafka-python lists their records before it hands out the first."""
    values = [b"1" * 100, b"2" * 100, b"3" * 100]
    assert [record.value for record in read(old(magic, codec, *values))] == values
    large = [bytes(LIMIT // OLD_FORMAT_SHARE // 3)] * 3
    records = read(old(magic, codec, *large), position=1)
    assert [(record.offset, bytes(record.value)) for record in records] == [(1, b""), (2, b"")]


def test_transaction_markers_and_aborted_records_are_passed_as_ever() -> None:
    """An aborted batch is not even unpacked, however large it is."""
    aborted = bytearray(moved(bomb("zstd", 5, 2**19), 0))
    batch = transactional(aborted, producer_id=7)
    aborted_transactions = [type("Aborted", (), {"producer_id": 7, "first_offset": 0})()]
    records = read(
        batch + moved(written("gzip", b"behind"), 5),
        isolation_level=IsolationLevel.READ_COMMITTED,
        aborted_transactions=aborted_transactions,
    )
    assert [(record.offset, record.value) for record in records] == [(5, b"behind")]


def test_a_record_with_headers_by_the_ten_thousands_is_withheld_and_the_next_one_read() -> None:
    many = [("", b"")] * (MAX_HEADERS + 1)
    builder = DefaultRecordBatchBuilder(2, CODECS["gzip"], 0, -1, -1, -1, 1 << 30)
    for offset, headers in enumerate(([("a", b"1")], many, many[1:], [])):
        builder.append(offset, 1_700_000_000_000, b"key", b"%d" % offset, headers)
    records = read(bytes(builder.build()))
    assert [(record.offset, record.key, len(record.headers)) for record in records] == [
        (0, b"key", 1),
        (1, None, 0),
        (2, b"key", MAX_HEADERS),
        (3, b"key", 0),
    ]
    assert isinstance(records[1].value, Withheld)
    assert "headers" in records[1].value.why


def moved(batch: bytes, offset: int) -> bytes:
    """A batch as a broker stores it at an offset."""
    return offset.to_bytes(8, "big") + batch[8:]


def transactional(batch: bytearray, producer_id: int) -> bytes:
    """A batch as if a transactional producer had sent it."""
    attributes = int.from_bytes(batch[21:23], "big") | 0x10
    batch[21:23] = attributes.to_bytes(2, "big")
    batch[43:51] = producer_id.to_bytes(8, "big")
    batch[17:21] = calc_crc32c(bytes(batch[21:])).to_bytes(4, "big")
    return bytes(batch)


def test_zeros_are_packed_as_records_are_written() -> None:
    """The helper of these tests against kafka-python's own way of writing."""
    (record,) = read(batch_of("gzip", pack("gzip", records_of_zeros(1, 1_000)), 1))
    assert (record.key, record.value, record.headers) == (None, bytes(1_000), [])
