"""Which dead letters of a partition were sent back, written down as a consumer group's committed offset.

The offset says "everything before is sent"; those beyond it that were sent as well (one reason may be retried before
another) stand in its metadata, a compressed bitmap. So the group's lag is what was never retried, and resetting its
offsets with any of Kafka's tools forgets what was sent.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from prefstream.consumer.client.protocols import OffsetAndMetadata
from prefstream.consumer.errors import UsageError

MAX_METADATA_BYTES: Final = 4_096
"""Kafka's default bound on the metadata of a committed offset (`offset.metadata.max.bytes`)."""

MAX_BITMAP_BYTES: Final = 16 * 1024 * 1024
"""134 million offsets of one partition; what inflates to more was not written here."""

_PREFIX: Final = "sent:"


@dataclass(slots=True)
class Ledger:
    """Which dead letters of one partition were sent: all before `offset`, and those of `beyond`."""

    offset: int
    beyond: set[int] = field(default_factory=set)

    def __contains__(self, offset: int) -> bool:
        return offset < self.offset or offset in self.beyond

    def add(self, offset: int) -> None:
        """Note that one was sent."""
        if offset >= self.offset:
            self.beyond.add(offset)

    def advance(self, records: Iterable[int]) -> None:
        """Move `offset` up to the first of `records` that was not sent.

        Args:
            records: offsets of all dead letters from `offset` on, in order.
        """
        for record in records:
            if record not in self:
                self.offset = max(self.offset, record)
                break
            self.offset = max(self.offset, record + 1)
        self.beyond = {offset for offset in self.beyond if offset >= self.offset}

    def encode(self) -> OffsetAndMetadata:
        """As it is committed.

        Raises:
            UsageError: what was sent lies too scattered to be written down.
        """
        if not self.beyond:
            return OffsetAndMetadata(self.offset, "", -1)
        bitmap = bytearray((max(self.beyond) - self.offset) // 8 + 1)
        for offset in self.beyond:
            index = offset - self.offset
            bitmap[index // 8] |= 1 << index % 8
        metadata = _PREFIX + base64.b85encode(zlib.compress(bitmap, 9)).decode()
        if len(metadata) > MAX_METADATA_BYTES or len(bitmap) > MAX_BITMAP_BYTES:
            raise UsageError(
                "these dead letters lie too scattered among others to remember which were sent; "
                "retry fewer with --limit, or all with --all"
            )
        return OffsetAndMetadata(self.offset, metadata, -1)

    @classmethod
    def decode(cls, committed: OffsetAndMetadata | None, begin: int) -> Ledger:
        """Read what was committed.

        Args:
            committed: None where nothing was.
            begin: the first offset that is still on the topic.

        Raises:
            UsageError: somebody else wrote it.
        """
        if committed is None:
            return cls(begin)
        bitmap = _inflate(committed.metadata) if committed.metadata else b""
        if bitmap is None:
            raise UsageError(
                "the group's committed offsets carry another program's notes; give a group of its own with --group"
            )
        sent = {
            committed.offset + 8 * index + bit
            for index, byte in enumerate(bitmap)
            if byte
            for bit in range(8)
            if byte >> bit & 1
        }
        return cls(max(committed.offset, begin), {offset for offset in sent if offset >= begin})


def _inflate(metadata: str) -> bytes | None:
    """The bitmap; None where the metadata is no note of ours."""
    if not metadata.startswith(_PREFIX):
        return None
    inflater = zlib.decompressobj()
    try:
        bitmap = inflater.decompress(base64.b85decode(metadata.removeprefix(_PREFIX)), MAX_BITMAP_BYTES)
    except (ValueError, zlib.error):
        return None
    return bitmap if inflater.eof else None
