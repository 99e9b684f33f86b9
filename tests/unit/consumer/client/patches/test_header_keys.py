"""Header keys that are not UTF-8: read, kept as bytes, and no excuse for what is truly corrupt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords

from prefstream.consumer.client import patches
from prefstream.consumer.client.patches.header_keys import HeaderKey

Headers = Sequence[tuple[str, bytes | None]]

NOT_UTF8 = HeaderKey(b"a\xff\xf0\x9f")


@pytest.fixture(autouse=True)
def _patched() -> None:
    patches.apply()


def write(*records: Headers, compression: int = 0) -> bytes:
    """A record batch, one record for each of the headers given."""
    builder = DefaultRecordBatchBuilder(2, compression, 0, -1, -1, -1, 1 << 20)
    for offset, headers in enumerate(records):
        builder.append(offset, 1_700_000_000_000, b"key", f"value {offset}".encode(), list(headers))
    return bytes(builder.build())


def read(data: bytes) -> list[Any]:
    batch = MemoryRecords(data).next_batch()
    assert batch.validate_crc()
    return list(batch)


@pytest.mark.parametrize("compression", [0, 1, 3, 4], ids=["none", "gzip", "lz4", "zstd"])
def test_records_before_at_and_behind_such_a_key_are_read(compression: int) -> None:
    headers: list[Headers] = [[("a", b"1")], [("b", None), (NOT_UTF8, b"\xff"), ("c", b"")], [], [(NOT_UTF8, None)]]
    records = read(write(*headers, compression=compression))
    assert [record.headers for record in records] == headers
    assert [(record.offset, record.key, record.value) for record in records] == [
        (offset, b"key", f"value {offset}".encode()) for offset in range(len(headers))
    ]


@given(st.binary(max_size=20))
def test_any_key_is_written_as_it_was_read(raw: bytes) -> None:
    (record,) = read(write([(HeaderKey(raw), b"")]))
    ((key, _),) = record.headers
    assert key.encode() == raw
    assert key == raw.decode(errors="replace")


def test_a_key_that_is_text_stays_plain_text() -> None:
    (record,) = read(write([("clé", b"")]))
    assert type(record.headers[0][0]) is str


def test_what_is_truly_corrupt_stays_corrupt() -> None:
    """A length that points beyond the batch, its checksum notwithstanding."""
    data = bytearray(write([("name", b"value")]))
    data[-len(b"\x08name\x0avalue")] = 0x7E  # the key's length, zig-zag: 63
    batch = MemoryRecords(bytes(data)).next_batch()
    with pytest.raises(CorruptRecordError):
        list(batch)
