"""A record that is sent is checked, measured and written in some sixty calls of Python, whatever it is.

What goes wrong: for each record the client makes sets and a sorted list of the topic's partitions, hashes the key byte
by byte, puts its own name into words for a line of a log that nobody keeps, encodes each header three times over, and
writes each number byte by byte. Where judges cost little that is a third of all that a stream does. Here a record that
comes in the plainest way (key and value are bytes, no serializer, the default partitioner, the format of today) takes
a short way to the same partition, checks and bytes; what the headers of many records have in common is encoded once.
Every other record goes kafka-python's way.

Versions: 3.0.12; others were not looked at. In master the producer was written anew (pull
request 3110 of dpkp/kafka-python) and was not tried.

Upstream: no issue known.

Remove when: a record with six headers costs kafka-python's `send` no more than it does here.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from kafka import KafkaProducer
from kafka.partitioner.default import DefaultPartitioner
from kafka.producer.transaction_manager import TransactionManager, TransactionState
from kafka.record.default_records import DefaultRecordBatchBuilder, DefaultRecordMetadata
from kafka.record.util import encode_varint
from kafka.structs import TopicPartition

from prefstream.consumer.client.patches.patch import Method, Patch

_FORMAT_2: Final = (0, 11)
"""Version of brokers from which on records have headers."""


def _write_varint(number: int) -> bytes:
    written = bytearray()
    encode_varint(number, written.append)
    return bytes(written)


class _Varints(dict[int, bytes]):
    """Numbers as they are written; those of nearly all records are kept."""

    def __missing__(self, number: int) -> bytes:
        return _write_varint(number)


_VARINTS: Final = _Varints({number: _write_varint(number) for number in range(1 << 12)})
"""Lengths of parts, places in a batch, milliseconds since it began: most are small."""


Header = tuple[str, bytes]


class WrittenHeaders(list[Header]):
    """Headers, and beside them what becomes of them.

    Attributes:
        wire: their number and themselves, as a record has them.
        size: bytes of their names and values, as kafka-python counts them; -1 where there are none.
    """

    __slots__ = ("size", "wire")

    def __init__(self, headers: Iterable[Header], wire: bytes, size: int) -> None:
        super().__init__(headers)
        self.wire = wire
        self.size = size


class CommonHeaders:
    """Headers that many records have in common, written once, around one of which each has its own value.

    Args:
        before: those that stand before that one.
        name: of that one.
        behind: those that stand behind it.
    """

    def __init__(self, before: Sequence[Header], name: str, behind: Sequence[Header]) -> None:
        self._before, self._name, self._behind = before, name, behind
        empty = _write_header((name, b""))
        self._wire_before = b"".join(map(_write_header, before)) + empty.removesuffix(_VARINTS[0])
        self._wire_behind = b"".join(map(_write_header, behind))
        self._number = len(before) + 1 + len(behind)
        self._size = sum(map(_size_of, (*before, (name, b""), *behind)))

    def around(self, value: bytes, *more: Header) -> WrittenHeaders:
        """Those of a record.

        Args:
            value: its own.
            more: that it has behind all others.
        """
        wire = (
            _VARINTS[self._number + len(more)],
            self._wire_before,
            _VARINTS[len(value)],
            value,
            self._wire_behind,
            *map(_write_header, more),
        )
        size = self._size + len(value) + sum(map(_size_of, more))
        return WrittenHeaders((*self._before, (self._name, value), *self._behind, *more), b"".join(wire), size)


def write_headers(headers: Sequence[Header]) -> WrittenHeaders:
    """Headers of one record.

    Raises:
        TypeError: one is no text with bytes.
    """
    wire = _VARINTS[len(headers)] + b"".join(map(_write_header, headers))
    return WrittenHeaders(headers, wire, sum(map(_size_of, headers)) if headers else -1)


def _write_header(header: Header) -> bytes:
    """A header as a record has it."""
    name, value = header
    if not (isinstance(name, str) and isinstance(value, bytes)):
        raise TypeError("a header is a text and bytes")
    encoded = name.encode("utf-8")  # by its own method: a key that is no UTF-8 has another one
    return b"".join((_VARINTS[len(encoded)], encoded, _VARINTS[len(value)], value))


def _size_of(header: Header) -> int:
    name, value = header
    return len(name.encode("utf-8")) + len(value)


def partition_of(key: bytes, partitions: Collection[int]) -> int:
    """The partition of a key, as Java's and kafka-python's default partitioners have it: by murmur2 (Appleby 2008).

    Args:
        key: of the record.
        partitions: all of the topic.
    """
    length = len(key)
    whole = length & ~3
    code = 0x9747B28C ^ length
    for word in struct.unpack(f"<{whole >> 2}I", key[:whole]):
        mixed = word * 0x5BD1E995 & 0xFFFFFFFF
        mixed = (mixed ^ mixed >> 24) * 0x5BD1E995 & 0xFFFFFFFF
        code = (code * 0x5BD1E995 & 0xFFFFFFFF) ^ mixed
    if whole < length:
        code = (code ^ int.from_bytes(key[whole:], "little")) * 0x5BD1E995 & 0xFFFFFFFF
    code = (code ^ code >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    code ^= code >> 15
    return sorted(partitions)[(code & 0x7FFFFFFF) % len(partitions)]


def _is_plain(producer: Any, topic: Any) -> bool:
    """Whether nothing about producer and topic asks for more than is done here."""
    config = producer.config
    return bool(
        not producer._closed
        and type(config["partitioner"]) is DefaultPartitioner
        and config["key_serializer"] is None
        and config["value_serializer"] is None
        and config["api_version"] >= _FORMAT_2
        and producer._metadata._partitions.get(topic)
        and topic not in producer._metadata.internal_topics
    )


def _written(headers: Any) -> WrittenHeaders | None:
    """The headers as they are written; None where kafka-python is to say what it thinks of them."""
    if type(headers) is WrittenHeaders:
        return headers
    if headers is not None and type(headers) is not list:
        return None
    try:
        return write_headers(headers or [])
    except (TypeError, ValueError):
        return None


def _sending(send_any: Method) -> Method:
    def send(
        self: Any,
        topic: Any,
        value: Any = None,
        key: Any = None,
        headers: Any = None,
        partition: Any = None,
        timestamp_ms: Any = None,
    ) -> Any:
        placed = partition is not None or timestamp_ms is not None
        if placed or type(key) is not bytes or type(value) is not bytes or not _is_plain(self, topic):
            return send_any(self, topic, value, key, headers, partition, timestamp_ms)
        written = _written(headers)
        if written is None:
            return send_any(self, topic, value, key, headers, partition, timestamp_ms)
        sizes = len(_VARINTS[len(key)]) + len(key) + len(_VARINTS[len(value)]) + len(value) + len(written.wire)
        self._ensure_valid_record_size(_OVERHEAD_BYTES + sizes)
        place = TopicPartition(topic, partition_of(key, self._metadata._partitions[topic]))
        transactions = self._transaction_manager
        if transactions and transactions.is_transactional():
            transactions.maybe_add_partition_to_transaction(place)
        future, is_full, is_new, _ = self._accumulator.append(place, None, key, value, written)
        if is_full or is_new:
            self._sender.wakeup()
        return future

    return send


_OVERHEAD_BYTES: Final = DefaultRecordBatchBuilder.HEADER_STRUCT.size + DefaultRecordBatchBuilder.MAX_RECORD_OVERHEAD
"""What a record may take beside key, value and headers, alone in its batch: kafka-python's estimate."""


def _appending(append_any: Method) -> Method:
    def append(
        self: Any, offset: Any, timestamp: Any, key: Any, value: Any, headers: Any, **cached: Any
    ) -> DefaultRecordMetadata | None:
        if type(headers) is not WrittenHeaders:  # else key and value are bytes, too, by `send`
            return append_any(self, offset, timestamp, key, value, headers, **cached)
        if timestamp is None:
            timestamp = int(time.time() * 1000)
        is_first = self._first_timestamp is None
        if is_first:
            self._first_timestamp = self._max_timestamp = timestamp
        body = b"".join(
            (
                b"\x00",  # attributes
                _VARINTS[timestamp - self._first_timestamp],
                _VARINTS[offset],
                _VARINTS[len(key)],
                key,
                _VARINTS[len(value)],
                value,
                headers.wire,
            )
        )
        length = _VARINTS[len(body)]
        size = len(length) + len(body)
        buffer = self._buffer
        if size + len(buffer) > self._batch_size and not is_first:
            return None
        self._max_timestamp = max(self._max_timestamp, timestamp)
        self._num_records += 1
        self._last_offset = offset
        buffer += length
        buffer += body
        return DefaultRecordMetadata(offset, size, timestamp)

    return append


def _adding(add_any: Method) -> Method:
    def maybe_add_partition_to_transaction(self: Any, topic_partition: Any) -> None:
        # In this state nothing has failed, and there is a producer id: begin_transaction asks for it.
        with self._lock:
            if self._current_state is TransactionState.IN_TRANSACTION and (
                topic_partition in self._partitions_in_transaction
                or topic_partition in self._new_partitions_in_transaction
            ):
                return
        add_any(self, topic_partition)

    return maybe_add_partition_to_transaction


PATCHES = (
    Patch(
        KafkaProducer,
        "send",
        ("topic", "value", "key", "headers", "partition", "timestamp_ms"),
        _sending,
        needs=(
            "_accumulator",
            "_closed",
            "_ensure_valid_record_size",
            "_metadata",
            "_sender",
            "_transaction_manager",
            "config",
        ),
    ),
    Patch(
        DefaultRecordBatchBuilder,
        "append",
        (
            *("offset", "timestamp", "key", "value", "headers"),
            *("encode_varint", "size_of_varint", "get_type", "type_int", "time_time"),
            *("byte_like", "bytearray_type", "len_func", "zero_len_varint"),
        ),
        _appending,
        needs=("_batch_size", "_buffer", "_first_timestamp", "_last_offset", "_max_timestamp", "_num_records"),
    ),
    Patch(
        TransactionManager,
        "maybe_add_partition_to_transaction",
        ("topic_partition",),
        _adding,
        needs=("_current_state", "_lock", "_new_partitions_in_transaction", "_partitions_in_transaction"),
    ),
)
