"""What is committed with an offset, as its metadata: which topic it is of, the partition's last dead letters, losses.

Kafka keeps offsets by the name of their topic. When a topic is deleted and recreated, an offset of the old one may be
committed after the new one is there, or outlive it, and would skip as many records; its id tells the two apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

_NOTE: Final = re.compile(r"(?:topic:([0-9a-f]{32}) )?dead-letters:([0-9a-f]+)(?: skipped:([0-9]{1,19}))?( halted)?")


@dataclass(frozen=True, slots=True)
class OffsetMetadata:
    """The metadata of one committed offset.

    Attributes:
        topic_id: of the topic that the offset means; None where the broker tells none, and for offsets of others.
        dead_letters: a bit for each of the partition's last records, the newest lowest: if it became a dead letter.
        skipped: offsets that were gone before the partition was first read, and of which nobody has decided yet.
        halted: whether records were found lost at this offset, and nobody has decided yet.
    """

    topic_id: UUID | None = None
    dead_letters: int = 0
    skipped: int = 0
    halted: bool = False

    def encode(self) -> str:
        """As it is committed."""
        topic = f"topic:{self.topic_id.hex} " if self.topic_id else ""
        skipped = f" skipped:{self.skipped}" if self.skipped else ""
        return f"{topic}dead-letters:{self.dead_letters:x}{skipped}{' halted' if self.halted else ''}"

    @classmethod
    def decode(cls, metadata: str) -> Self:
        """Read what was committed; metadata that is missing, or not in our format, counts as empty."""
        ours = _NOTE.fullmatch(metadata)
        if ours is None:
            return cls()
        return cls(UUID(ours[1]) if ours[1] else None, int(ours[2], 16), int(ours[3] or 0), bool(ours[4]))
