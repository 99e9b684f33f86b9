"""Committed offsets of one group, and those that wait for the end of a transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
        self._committed: dict[TopicPartition, tuple[CommittedOffset, float]] = {}
        """With the time of each commit, in seconds of the broker's clock."""
        self._pending: dict[int, dict[TopicPartition, CommittedOffset]] = {}

    def get(self, partition: TopicPartition) -> CommittedOffset | None:
        """The committed offset of a partition, if there is one."""
        found = self._committed.get(partition)
        return found and found[0]

    def partitions(self) -> list[TopicPartition]:
        """All partitions that have a committed or a pending offset."""
        pending = (partition for offsets in self._pending.values() for partition in offsets)
        return sorted({*self._committed, *pending})

    def is_pending(self, partition: TopicPartition) -> bool:
        """Whether an open transaction may still change the offset of a partition."""
        return any(partition in offsets for offsets in self._pending.values())

    def commit(self, offsets: Mapping[TopicPartition, CommittedOffset], now_s: float) -> None:
        """Commit offsets at once."""
        self._committed |= {partition: (offset, now_s) for partition, offset in offsets.items()}

    def commit_pending(self, producer_id: int, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Commit offsets once the open transaction of `producer_id` commits."""
        self._pending.setdefault(producer_id, {}).update(offsets)

    def end_transaction(self, producer_id: int, *, commit: bool, now_s: float) -> None:
        """Publish or forget what the transaction of `producer_id` would commit."""
        offsets = self._pending.pop(producer_id, {})
        if commit:
            self.commit(offsets, now_s)

    def delete(self, partitions: Collection[TopicPartition]) -> None:
        """Forget the committed offsets of partitions; an open transaction may still bring new ones."""
        for partition in partitions:
            self._committed.pop(partition, None)

    def expire(self, *, not_used_since_s: float | None, before_s: float) -> bool:
        """Forget offsets that nobody has used for too long.

        Args:
            not_used_since_s: when the last member left; None counts each offset from its commit on.
            before_s: what was last used before is forgotten.

        Returns:
            Whether there are no offsets left.
        """
        old = [
            partition
            for partition, (_, committed_s) in self._committed.items()
            if (committed_s if not_used_since_s is None else not_used_since_s) < before_s
            and not self.is_pending(partition)
        ]
        self.delete(old)
        return not self._committed and not any(self._pending.values())

    def forget_topic(self, name: str) -> None:
        """Forget all offsets of a topic that was deleted."""
        self.delete([partition for partition in self._committed if partition[0] == name])
        for offsets in self._pending.values():
            for partition in [partition for partition in offsets if partition[0] == name]:
                del offsets[partition]
