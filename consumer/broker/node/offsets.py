"""Committed offsets of one group, and those that wait for the end of a transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TopicPartition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """Where a group goes on reading a partition.

    Attributes:
        offset: the next record to read.
        leader_epoch: leader epoch of the last record read, -1 if unknown.
        metadata: a note of the client's.
    """

    offset: int
    leader_epoch: int = -1
    metadata: str = ""


class GroupOffsets:
    """The offsets of one group. Those of an open transaction stay invisible until it commits."""

    def __init__(self) -> None:
        self._committed: dict[TopicPartition, CommittedOffset] = {}
        self._pending: dict[int, dict[TopicPartition, CommittedOffset]] = {}

    def get(self, partition: TopicPartition) -> CommittedOffset | None:
        """The committed offset of a partition, if there is one."""
        return self._committed.get(partition)

    def partitions(self) -> list[TopicPartition]:
        """All partitions that have a committed or a pending offset."""
        pending = (partition for offsets in self._pending.values() for partition in offsets)
        return sorted({*self._committed, *pending})

    def is_pending(self, partition: TopicPartition) -> bool:
        """Whether an open transaction may still change the offset of a partition."""
        return any(partition in offsets for offsets in self._pending.values())

    def commit(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Commit offsets at once."""
        self._committed.update(offsets)

    def commit_pending(self, producer_id: int, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Commit offsets once the open transaction of `producer_id` commits."""
        self._pending.setdefault(producer_id, {}).update(offsets)

    def end_transaction(self, producer_id: int, *, commit: bool) -> None:
        """Publish or forget what the transaction of `producer_id` would commit."""
        offsets = self._pending.pop(producer_id, {})
        if commit:
            self._committed.update(offsets)

    def forget_topic(self, name: str) -> None:
        """Forget all offsets of a topic that was deleted."""
        for offsets in (self._committed, *self._pending.values()):
            for partition in [partition for partition in offsets if partition[0] == name]:
                del offsets[partition]
