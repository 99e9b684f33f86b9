"""Header keys that are not UTF-8, at which kafka-python stops reading for good.

On the wire a header's key is bytes. Clients in C write what they are given, brokers keep it, Java reads it with
replacement characters. kafka-python 3.0.12 calls the whole record corrupt: whoever may write to a topic could stop
every reader of it by a single record, until somebody moves the group's offsets past it. Here such a key is read as
Java reads it, and written as the bytes that it was, so that a dead letter has its record's own headers.
"""

from __future__ import annotations

from typing import Any, Self, SupportsIndex

from kafka.errors import CorruptRecordError
from kafka.record import memory_records


class HeaderKey(str):
    """A header's key that is not UTF-8: shown with U+FFFD, written as the bytes that it was."""

    __slots__ = ("_raw",)
    _raw: bytes

    def __new__(cls, raw: bytes) -> Self:
        """Take the key as it was on the wire."""
        key = super().__new__(cls, raw.decode(errors="replace"))
        key._raw = raw
        return key

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:  # noqa: ARG002 - as str has it
        """The bytes; this is how kafka-python asks for what it writes."""
        return self._raw


class _Part(bytearray):
    """A part of a record batch, which kafka-python decodes only where it is a header's key."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        try:
            return super().decode(encoding, errors)
        except UnicodeDecodeError:
            return HeaderKey(bytes(self))


class _Records(bytearray):
    """The records of a batch, as bytes."""

    def __getitem__(self, place: SupportsIndex | slice) -> Any:
        part = super().__getitem__(place)
        return part if isinstance(part, int) else _Part(part)


class _RecordBatch(memory_records.DefaultRecordBatch):  # type: ignore[misc]  # kafka-python has no types
    """A record batch that takes any header key; costs nothing until it meets one that is not UTF-8."""

    _buffer: bytearray

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except CorruptRecordError as error:
            if not isinstance(error.__context__, UnicodeDecodeError):
                raise
        self._buffer = _Records(self._buffer)
        return super().__next__()  # the same record: what failed did not move on


def accept_any_header_key() -> None:
    """Make kafka-python's consumers read records whatever the keys of their headers are."""
    memory_records.DefaultRecordBatch = _RecordBatch
