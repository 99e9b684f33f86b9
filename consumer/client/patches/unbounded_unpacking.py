"""Compressed records are unpacked without a bound; 28 KB that a topic takes become 800 MB, and end whoever reads them.

What goes wrong: `max.message.bytes` bounds what a record batch is on the wire. kafka-python unpacks all of it at once,
into two copies; the process is killed, and so is each one after it. What a broker takes and Python's libraries do not
(bytes behind the last frame of gzip or snappy, a wrong checksum in lz4's) leaves as an exception of theirs that is none
of Kafka's, at every start. Here a batch is unpacked piece by piece (after its checksum, as before) and given up at the
first byte over the bound, whatever its codec and whatever size it claims. Its header, which is not compressed, names
its first and last offset; for each comes a record without key and headers, whose value is a `Withheld`. So it is where
a batch whose checksum is right can't be unpacked, and for a record with more than `MAX_HEADERS` headers, which as
Python's objects are thirty times as large.

A batch of the old formats (before Kafka 0.11) has no such header, only the offset of its last record: the offsets from
where we read up to that one are given out.

Versions: 3.0.0 to 3.0.12, and master; 2.3.3, too.

Upstream: no issue known.

Remove when: kafka-python bounds what it unpacks, and tells which offsets it left out.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Self

import lz4.frame
import snappy
import zstandard
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, UnsupportedCodecError
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch
from kafka.record.legacy_records import LegacyRecordBatch
from kafka.record.util import decode_varint

from prefstream.consumer.client.patches.patch import Method, Patch

MAX_UNPACKED_BYTES: Final = 32 * 1024 * 1024
"""Bound of a batch where the consumer has none of its own. Text packs three- to tenfold, and a batch is no larger than
a megabyte by default: what unpacks to more is hardly anybody's text."""

MAX_HEADERS: Final = 2**16
"""Headers of a record that was compressed: no tool writes a hundred, and so many take 5 MB of Python's objects."""

OLD_FORMAT_SHARE: Final = 8
"""kafka-python lists the records of a batch of the old formats before it hands out the first, which takes up to twelve
times their size: such a batch may have an eighth of the bound."""

_LONG_RECORD_BYTES: Final = 2 * MAX_HEADERS
"""A header has two bytes at least: only in longer records they are counted before they are read."""

_PIECE_BYTES: Final = 2**20
_GZIP_WINDOW: Final = 31  # zlib's word for gzip's framing
_GZIP_MAGIC: Final = b"\x1f\x8b"
_XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16

_DAMAGE: Final = (zlib.error, zstandard.ZstdError, snappy.UncompressError, RuntimeError, EOFError)
"""What the codecs' libraries raise, and we do, where packed bytes are damaged."""


class Withheld(bytes):
    """The value of a record that was not unpacked: empty.

    Attributes:
        why: says why, and holds nothing of the record.
        damaged: whether it can't be unpacked; else it may not, because it is too large.
    """

    why: str
    damaged: bool

    def __new__(cls, why: str, *, damaged: bool = False) -> Self:
        """Make one; it has no bytes."""
        value = super().__new__(cls)
        value.why, value.damaged = why, damaged
        return value


class _TooLargeError(Exception):
    """The bound is reached."""


Read = Callable[[int], bytes]
"""Unpacks the next piece, of at most so many bytes; an empty one is the end."""


def unpack(codec: int, packed: bytes, limit_bytes: int) -> bytearray | None:
    """Unpack the records of a batch.

    Args:
        codec: Kafka's number of the codec.
        packed: its packed bytes.
        limit_bytes: give up beyond that.

    Returns:
        What was unpacked; None where it is more than the bound.

    Raises:
        CorruptRecordError: the packed bytes are damaged.
        UnsupportedCodecError: there is no such codec.
    """
    if codec not in _CODECS:
        raise UnsupportedCodecError(f"unknown compression codec {codec}")
    unpacked = bytearray()
    try:
        read = _CODECS[codec](packed)
        while piece := read(limit_bytes + 1 - len(unpacked)):
            unpacked += piece
            if len(unpacked) > limit_bytes:
                return None
    except _TooLargeError:
        return None
    except _DAMAGE as damage:
        raise CorruptRecordError(f"its record batch can't be unpacked: {type(damage).__name__}") from None
    return unpacked


def _gzip(packed: bytes) -> Read:
    inflating, rest = zlib.decompressobj(_GZIP_WINDOW), packed

    def read(size: int) -> bytes:
        nonlocal inflating, rest
        while True:
            if inflating.eof:
                # Another member may follow. To Java's client, and so to the broker, anything else is nothing.
                rest = inflating.unused_data
                if not rest.startswith(_GZIP_MAGIC):
                    return b""
                inflating = zlib.decompressobj(_GZIP_WINDOW)
            if piece := inflating.decompress(rest, min(size, _PIECE_BYTES)):
                rest = inflating.unconsumed_tail
                return piece
            if not inflating.eof:
                raise EOFError

    return read


def _lz4(packed: bytes) -> Read:
    frame, rest = lz4.frame.LZ4FrameDecompressor(), packed

    def read(size: int) -> bytes:
        nonlocal rest
        if frame.eof:
            return b""
        piece: bytes = frame.decompress(rest, max_length=min(size, _PIECE_BYTES))
        rest = b""
        if not (piece or frame.eof):
            raise EOFError
        return piece

    return read


def _zstd(packed: bytes) -> Read:
    frames = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    return lambda size: frames.read(min(size, _PIECE_BYTES))


def _snappy(packed: bytes) -> Read:
    """A block can't be unpacked in pieces; but it begins with its size, and does not get larger than that."""
    blocks = _xerial_blocks(packed) if packed.startswith(_XERIAL_MAGIC) else iter([packed])

    def read(size: int) -> bytes:
        for block in blocks:
            if _size_of_snappy(block) > size:
                raise _TooLargeError
            if piece := snappy.decompress(block):
                return bytes(piece)
        return b""

    return read


def _xerial_blocks(packed: bytes) -> Iterator[bytes]:
    """The blocks in the framing of Java's library: behind a header, each behind its size."""
    position = _XERIAL_HEADER_BYTES
    while position + 4 <= len(packed):
        start = position + 4
        position = start + int.from_bytes(packed[position:start], "big")
        if position > len(packed):
            raise EOFError
        yield packed[start:position]


def _size_of_snappy(block: bytes) -> int:
    """The size that a block begins with: an unsigned varint of 32 bits."""
    size = 0
    for position, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return size
    raise EOFError


_CODECS: Final[Mapping[int, Callable[[bytes], Read]]] = {
    DefaultRecordBatch.CODEC_GZIP: _gzip,
    DefaultRecordBatch.CODEC_SNAPPY: _snappy,
    DefaultRecordBatch.CODEC_LZ4: _lz4,
    DefaultRecordBatch.CODEC_ZSTD: _zstd,
}


class _Batches:
    """The batches of a fetch; those that are compressed are unpacked by us."""

    def __init__(self, batches: Any, reading: Any) -> None:
        self._batches = batches
        self._reading = reading

    def next_batch(self) -> Any:
        self._reading.unpacked_bytes = 0
        batch = self._batches.next_batch()
        return _Compressed(batch, self._reading) if batch is not None and batch.compression_type else batch


class _Compressed:
    """A compressed batch; of its own it has only the way in which its records come out."""

    def __init__(self, batch: Any, reading: Any) -> None:
        self._batch = batch
        self._reading = reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        """A transaction marker is looked at without unpacking its batch."""
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        batch, limit = self._batch, self._reading.max_unpacked_bytes
        if isinstance(batch, LegacyRecordBatch):
            limit //= OLD_FORMAT_SHARE
            place = batch.KEY_OFFSET_V1 if batch.magic else batch.KEY_OFFSET_V0
            packed = batch._read_key_value(place)[1] or b""
        else:
            packed = bytes(memoryview(batch._buffer)[batch.HEADER_STRUCT.size :])
        try:
            unpacked = unpack(batch.compression_type, packed, limit)
        except CorruptRecordError as error:
            return self._withheld(Withheld(str(error), damaged=True))
        if unpacked is None:
            return self._withheld(Withheld(f"its record batch unpacks to more than {limit} bytes (max_unpacked_bytes)"))
        self._reading.unpacked_bytes = len(unpacked)
        batch._decompressed = True
        if isinstance(batch, LegacyRecordBatch):
            batch._buffer = memoryview(unpacked)
            return iter(batch)
        batch._buffer, batch._pos = unpacked, 0
        return self._records() if len(unpacked) > _LONG_RECORD_BYTES else iter(batch)

    def _withheld(self, value: Withheld) -> Iterator[DefaultRecord]:
        """One record for each offset of the batch that is still to be read."""
        batch, begin = self._batch, self._reading.next_fetch_offset
        if isinstance(batch, LegacyRecordBatch):
            end, timestamp = batch.base_offset + 1, batch._timestamp
        else:
            begin = max(begin, batch.base_offset)  # before it may be a gap, which compaction has left
            end, timestamp = batch.next_offset, batch.max_timestamp
        for offset in range(begin, end):
            yield self._without(value, offset, timestamp)

    def _records(self) -> Iterator[DefaultRecord]:
        """The records of a batch that is unpacked and large enough to hold one with too many headers."""
        batch = self._batch
        while True:
            if (offset := self._pass_headers()) is not None:
                why = f"it has more than {MAX_HEADERS} headers"
                yield self._without(Withheld(why), offset, batch.max_timestamp)
                continue
            try:
                yield next(batch)
            except StopIteration:
                return

    def _pass_headers(self) -> int | None:
        """Pass the next record if it has too many headers; its offset, None where it was not passed."""
        batch = self._batch
        buffer = batch._buffer
        try:
            length, start = decode_varint(buffer, batch._pos)
            if length < _LONG_RECORD_BYTES:
                return None
            delta, position = decode_varint(buffer, _behind(buffer, start, 2))  # attributes and timestamp come first
            for _ in ("key", "value"):
                size, position = decode_varint(buffer, position)
                position += max(0, size)
            headers, _ = decode_varint(buffer, position)
        except (IndexError, ValueError):
            return None  # kafka-python says of it what it says
        if headers <= MAX_HEADERS:
            return None
        batch._pos = start + length
        batch._next_record_index += 1
        return int(batch.base_offset + delta)

    def _without(self, value: Withheld, offset: int, timestamp: int | None) -> DefaultRecord:
        return DefaultRecord(0, offset, timestamp, self._batch.timestamp_type, None, value, [])


def _behind(buffer: bytearray, position: int, varints: int) -> int:
    for _ in range(varints):
        _, position = decode_varint(buffer, position)
    return position


def _unpacking(hand_out: Method) -> Method:
    def _unpack_records(self: Any, tp: Any, records: Any, key_deserializer: Any, value_deserializer: Any) -> Any:
        return hand_out(self, tp, _Batches(records, self), key_deserializer, value_deserializer)

    return _unpack_records


def _bounding(parse: Method) -> Method:
    def _parse_fetched_data(self: Any, completed_fetch: Any) -> Any:
        reading = parse(self, completed_fetch)
        if reading is not None:
            reading.max_unpacked_bytes = getattr(self, "max_unpacked_bytes", MAX_UNPACKED_BYTES)
        return reading

    return _parse_fetched_data


PATCHES = (
    Patch(
        Fetcher.PartitionRecords,
        "_unpack_records",
        ("tp", "records", "key_deserializer", "value_deserializer"),
        _unpacking,
        needs=("next_fetch_offset",),
    ),
    Patch(Fetcher, "_parse_fetched_data", ("completed_fetch",), _bounding),
)
