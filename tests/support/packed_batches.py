"""Record batches that are packed by hand: small on the wire, and of any size once they are unpacked."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Final

import lz4.frame
import snappy
import zstandard
from kafka.errors import NotLeaderForPartitionError, UnknownTopicOrPartitionError
from kafka.protocol.producer import ProduceRequest, ProduceResponse
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import calc_crc32c, encode_varint

from prefstream.consumer.config import StreamConfig
from tests.support.streams import WAIT_S, Position
from tests.support.wire import Wire

CODECS: Final = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

_NOT_YET: Final = {NotLeaderForPartitionError.errno, UnknownTopicOrPartitionError.errno}
"""What a broker says of a topic that was made a moment ago."""

_CHUNK: Final = bytes(2**20)


def pack(codec: str, pieces: Iterator[bytes]) -> bytes:
    """Pack what never stands in memory as a whole."""
    return b"".join(_PACKERS[codec](pieces))


def _gzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(9, wbits=31)
    yield from map(packer.compress, pieces)
    yield packer.flush()


def _snappy(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """In the framing of Java's library."""
    yield b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
    for piece in pieces:
        block = snappy.compress(piece)
        yield struct.pack(">i", len(block)) + block


def _lz4(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = lz4.frame.LZ4FrameCompressor(block_linked=False, block_size=lz4.frame.BLOCKSIZE_MAX4MB)
    yield packer.begin()
    yield from map(packer.compress, pieces)
    yield packer.flush()


def _zstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zstandard.ZstdCompressor(level=19).compressobj()
    yield from map(packer.compress, pieces)
    yield packer.flush()


_PACKERS: Final[dict[str, Callable[[Iterator[bytes]], Iterator[bytes]]]] = {
    "gzip": _gzip,
    "snappy": _snappy,
    "lz4": _lz4,
    "zstd": _zstd,
}


def records_of(values: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of records, each of a null key and one of the values."""
    for offset, value in enumerate(values):
        yield _head_of_record(offset, len(value)) + value + b"\0"


def records_of_zeros(count: int, value_bytes: int) -> Iterator[bytes]:
    """The bytes of so many records, each of a null key and a value of zeros."""
    for offset in range(count):
        yield _head_of_record(offset, value_bytes)
        left = value_bytes
        while left:
            yield _CHUNK[: min(left, len(_CHUNK))]
            left -= min(left, len(_CHUNK))
        yield b"\0"  # no headers


def _head_of_record(offset: int, value_bytes: int) -> bytes:
    head = b"\0" + _varints(0, offset, -1, value_bytes)  # attributes; timestamp, offset, key, value
    return _varints(len(head) + value_bytes + 1) + head


def batch_of(codec: str, packed: bytes, count: int, *, timestamp_ms: int | None = None) -> bytes:
    """A record batch (format v2) around packed records."""
    now = int(time.time() * 1000) if timestamp_ms is None else timestamp_ms
    checked = struct.pack(">hiqqqhii", CODECS[codec], count - 1, now, now, -1, -1, -1, count) + packed
    length = DefaultRecordBatch.ATTRIBUTES_OFFSET + len(checked) - DefaultRecordBatch.AFTER_LEN_OFFSET
    return struct.pack(">qiibI", 0, length, 0, 2, calc_crc32c(checked)) + checked


def bomb(codec: str, count: int, value_bytes: int) -> bytes:
    """A batch of so many records of zeros."""
    return batch_of(codec, pack(codec, records_of_zeros(count, value_bytes)), count)


def produce_batch(config: StreamConfig, batch: bytes, count: int, *, partition: int = 0) -> Sequence[Position]:
    """Send a batch as it is to the battles topic of a broker that leads it; where its records are."""
    topic_class = ProduceRequest.TopicProduceData
    part = topic_class.PartitionProduceData(index=partition, records=batch)
    request = ProduceRequest(
        transactional_id=None,
        acks=-1,
        timeout_ms=60_000,
        topic_data=[topic_class(name=config.battles_topic, partition_data=[part])],
    )
    with closing(Wire(config.bootstrap_servers)) as wire:
        deadline = time.monotonic() + WAIT_S
        while True:
            answered: Any = wire.call(request, ProduceResponse, 7)
            (answer,) = answered.responses[0].partition_responses
            if answer.error_code not in _NOT_YET or time.monotonic() > deadline:
                break
            time.sleep(0.05)
    assert answer.error_code == 0, f"the broker refuses the batch: {answer.error_code}"
    return [(config.battles_topic, partition, answer.base_offset + number) for number in range(count)]


def _varints(*numbers: int) -> bytes:
    written = bytearray()
    for number in numbers:
        encode_varint(number, written.append)
    return bytes(written)
