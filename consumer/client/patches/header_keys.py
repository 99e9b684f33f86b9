"""A header's key that is not UTF-8 stops every reader of its partition for good.

What goes wrong: on the wire a header's key is bytes. Clients in C write what they are given, brokers keep it, Java
reads it with replacement characters. kafka-python calls the whole record corrupt: whoever may write to a topic could
stop every reader of it by a single record, until somebody moves the group's offsets past it. Here such a key is read as
Java reads it, and written as the bytes that it was, so that a dead letter has its record's own headers.

Versions: 3.0.0 to 3.0.12, and master; 2.3.3, too.

Upstream: no issue known. Pull request 1185 of dpkp/kafka-python brought the parser; in issue 2242, on values, the
maintainer declines to pick an encoding for headers.

Remove when: kafka-python reads any key of a header, and writes it back as it was.
"""

from __future__ import annotations

from typing import Any, Self, SupportsIndex

from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch

from prefstream.consumer.client.patches.patch import Method, Patch


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


def _taking_any_key(read: Method) -> Method:
    """Costs nothing until a batch has a key that is not UTF-8."""

    def __next__(self: Any) -> Any:  # noqa: N807 - the method that is replaced
        try:
            return read(self)
        except CorruptRecordError as error:
            if not isinstance(error.__context__, UnicodeDecodeError):
                raise
        self._buffer = _Records(self._buffer)
        return read(self)  # the same record: what failed did not move on

    return __next__


PATCHES = (Patch(DefaultRecordBatch, "__next__", (), _taking_any_key, needs=("_buffer",)),)
