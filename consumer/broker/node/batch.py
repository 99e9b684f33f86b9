"""Record batches (format v2): read, checked and stamped by their headers alone.

Payloads stay as the producer sent them: a compressed batch is never decompressed, so every codec that two
clients agree on works.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from kafka.record.util import calc_crc32c

from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError

NO_PRODUCER_ID: Final = -1
NO_SEQUENCE: Final = -1
# The sequence number after the largest int32 is 0 again.
SEQUENCE_MODULO: Final = 1 << 31

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_MAGIC_OFFSET: Final = 16
_CRC_OFFSET: Final = 17
_ATTRIBUTES_OFFSET: Final = 21
# Bytes before the part that the length field counts: base offset and the length itself.
_LENGTH_OVERHEAD: Final = 12

_CODEC_MASK: Final = 0x07
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """One record batch: its bytes and what its header says.

    Attributes:
        data: the whole batch, as a consumer gets it.
        base_offset: offset of its first record.
        last_offset: offset of its last record.
        max_timestamp_ms: newest record timestamp.
        producer_id: idempotent producer that wrote it, or `NO_PRODUCER_ID`.
        producer_epoch: that producer's epoch.
        first_sequence: that producer's sequence number of the first record, or `NO_SEQUENCE`.
        last_sequence: the same for the last record.
        transactional: whether it is part of a transaction.
        control: whether it holds a transaction marker instead of records.
    """

    data: bytes = field(repr=False)
    base_offset: int
    last_offset: int
    max_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    first_sequence: int
    last_sequence: int
    transactional: bool
    control: bool

    @property
    def idempotent(self) -> bool:
        """Whether its sequence numbers must be checked."""
        return self.producer_id != NO_PRODUCER_ID and not self.control

    def at_offset(self, base_offset: int) -> RecordBatch:
        """The batch as it is stored: from `base_offset` on, leader epoch 0 (neither is under the CRC)."""
        stamped = bytearray(self.data)
        struct.pack_into(">q", stamped, 0, base_offset)
        struct.pack_into(">i", stamped, _LENGTH_OVERHEAD, 0)
        return RecordBatch(
            data=bytes(stamped),
            base_offset=base_offset,
            last_offset=base_offset + self.last_offset - self.base_offset,
            max_timestamp_ms=self.max_timestamp_ms,
            producer_id=self.producer_id,
            producer_epoch=self.producer_epoch,
            first_sequence=self.first_sequence,
            last_sequence=self.last_sequence,
            transactional=self.transactional,
            control=self.control,
        )


def parse_produced(data: Buffer | None) -> RecordBatch:
    """Read and check the batch that a producer sent for one partition.

    Raises:
        RequestRefusedError: with the code that Kafka answers for this fault.
    """
    if data is None or len(data) <= _MAGIC_OFFSET:
        raise RequestRefusedError(ErrorCode.CORRUPT_MESSAGE, "no whole record batch in the request")
    if data[_MAGIC_OFFSET] != 2:
        raise RequestRefusedError(
            ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT,
            f"record format v{data[_MAGIC_OFFSET]}: only v2 (Kafka 0.11 and later) is spoken here",
        )
    if len(data) < _HEADER.size:
        raise RequestRefusedError(ErrorCode.CORRUPT_MESSAGE, "record batch shorter than its header")
    (base_offset, length, _, _, crc, attributes, last_delta, _, max_timestamp_ms,
     producer_id, producer_epoch, first_sequence, count) = _HEADER.unpack_from(data)  # fmt: skip
    if length + _LENGTH_OVERHEAD < len(data):
        raise RequestRefusedError(ErrorCode.INVALID_RECORD, "more than one record batch for one partition")
    if length + _LENGTH_OVERHEAD > len(data):
        raise RequestRefusedError(ErrorCode.CORRUPT_MESSAGE, "record batch cut short")
    if calc_crc32c(memoryview(data)[_ATTRIBUTES_OFFSET:]) != crc:
        raise RequestRefusedError(ErrorCode.CORRUPT_MESSAGE, "checksum of the record batch doesn't match")
    if attributes & _CONTROL:
        raise RequestRefusedError(ErrorCode.INVALID_RECORD, "clients may not write transaction markers")
    if count < 1 or last_delta != count - 1:
        raise RequestRefusedError(
            ErrorCode.INVALID_RECORD, f"{count} records, but the last offset delta is {last_delta}"
        )
    if producer_id != NO_PRODUCER_ID and (first_sequence < 0 or producer_epoch < 0):
        raise RequestRefusedError(ErrorCode.INVALID_RECORD, "producer id without epoch or sequence number")
    return RecordBatch(
        data=bytes(data),
        base_offset=base_offset,
        last_offset=base_offset + last_delta,
        max_timestamp_ms=max_timestamp_ms,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        first_sequence=first_sequence,
        last_sequence=(first_sequence + last_delta) % SEQUENCE_MODULO if first_sequence >= 0 else NO_SEQUENCE,
        transactional=bool(attributes & _TRANSACTIONAL),
        control=False,
    )


def build_marker(*, producer_id: int, producer_epoch: int, commit: bool, timestamp_ms: int) -> RecordBatch:
    """The control batch that ends a transaction on one partition."""
    key = struct.pack(">hh", 0, 1 if commit else 0)  # version, type
    value = struct.pack(">hi", 0, 0)  # version, coordinator epoch
    # Attributes, timestamp delta and offset delta are 0; lengths are zig-zag varints, twice the number here.
    record = b"\0\0\0" + bytes([len(key) * 2]) + key + bytes([len(value) * 2]) + value + b"\0"
    records = bytes([len(record) * 2]) + record
    checked = struct.pack(
        ">hiqqqhii",
        _TRANSACTIONAL | _CONTROL,
        0,
        timestamp_ms,
        timestamp_ms,
        producer_id,
        producer_epoch,
        NO_SEQUENCE,
        1,
    )
    checked += records
    length = _ATTRIBUTES_OFFSET + len(checked) - _LENGTH_OVERHEAD
    data = struct.pack(">qiibI", 0, length, 0, 2, calc_crc32c(checked)) + checked
    return RecordBatch(
        data=data,
        base_offset=0,
        last_offset=0,
        max_timestamp_ms=timestamp_ms,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        first_sequence=NO_SEQUENCE,
        last_sequence=NO_SEQUENCE,
        transactional=True,
        control=True,
    )


def find_timestamp(batch: RecordBatch, target_ms: int) -> tuple[int, int]:
    """Offset and timestamp of the batch's first record that is not older than `target_ms`.

    The caller knows that there is one. Records of a compressed batch can't be told apart without its codec:
    there the answer is the whole batch, so a reader starts a few records early, never late.
    """
    attributes, _, first_timestamp_ms = struct.unpack_from(">hiq", batch.data, _ATTRIBUTES_OFFSET)
    if attributes & _CODEC_MASK == 0:
        position = _HEADER.size
        while position < len(batch.data):
            length, position = _read_varint(batch.data, position)
            timestamp_delta, inner = _read_varint(batch.data, position + 1)
            offset_delta, _ = _read_varint(batch.data, inner)
            if first_timestamp_ms + timestamp_delta >= target_ms:
                return batch.base_offset + offset_delta, first_timestamp_ms + timestamp_delta
            position += length
    return batch.base_offset, batch.max_timestamp_ms


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    """A zig-zag varint and the position after it."""
    shift = raw = 0
    while True:
        byte = data[position]
        position += 1
        raw |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (raw >> 1) ^ -(raw & 1), position
        shift += 7
