"""Which partitions are ours, and whether a record that was polled still is.

Every assign, revoke and loss of a partition raises its epoch. A record whose epoch is no longer current is not ours:
its result is dropped, because whoever owns the partition now reads the record again. Generation fencing at the broker
is not enough: it takes a valid member's commit for another member's partition.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

import structlog

from prefstream.consumer.client.protocols import (
    ConsumerRebalanceListener,
    ConsumerRecord,
    GroupMetadata,
    TopicPartition,
)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Event:
    """One record, and the epoch of its partition when it was polled.

    Made for each record, and so not frozen, which takes four times as long; nobody changes it. `partition` is one
    object for all records of a poll.
    """

    record: ConsumerRecord = field(repr=False)
    epoch: int
    partition: TopicPartition

    @classmethod
    def of(cls, record: ConsumerRecord, epoch: int = 0) -> Self:
        """An event that comes alone; of no epoch, unless told."""
        return cls(record, epoch, TopicPartition(record.topic, record.partition))


@dataclass(frozen=True, slots=True)
class Membership:
    """A snapshot of our place in the group: the one that was checked is the one that is sent.

    Attributes:
        metadata: what the broker fences by: generation and member id, of kafka-python.
        generation: the one whose assignment we know.
        epochs: of the partitions that are ours in it.
    """

    metadata: GroupMetadata
    generation: int
    epochs: dict[TopicPartition, int]

    @property
    def joined(self) -> bool:
        """Whether we are a member now, and know what is ours.

        An empty snapshot is not fenced by the broker. Nor is one of a generation that we have joined, but whose
        assignment we do not know yet: a partition that it gives to another member would be answered by both.
        """
        return bool(0 <= self.metadata.generation_id == self.generation and self.metadata.member_id)

    def owns(self, event: Event) -> bool:
        """Whether the event's partition has been ours without a break since it was polled."""
        return self.epochs.get(event.partition) == event.epoch


class Assignment(ConsumerRebalanceListener):
    """Which partitions are ours, each with its epoch. Thread-safe; never blocks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._raised: Counter[TopicPartition] = Counter()
        self._owned: set[TopicPartition] = set()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """kafka-python calls this with the partitions that are new to us."""
        self._move(assigned, self._owned.update, "partitions assigned")

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """kafka-python calls this with the partitions that another member gets."""
        self._move(revoked, self._owned.difference_update, "partitions revoked")

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """kafka-python calls this when we fell out of the group: another member may have them already."""
        self._move(lost, self._owned.difference_update, "partitions lost")

    def epochs(self) -> dict[TopicPartition, int]:
        """Our partitions and their current epochs."""
        with self._lock:
            return {partition: self._raised[partition] for partition in self._owned}

    def epoch(self, partition: TopicPartition) -> int:
        """The current epoch of one of our partitions; 0, which none has, where it is not ours."""
        with self._lock:
            return self._raised[partition] if partition in self._owned else 0

    def renew(self, epochs: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Raise the epochs of those partitions that have not moved since they had these; nothing held of them is ours.

        Returns:
            Their new epochs.
        """
        with self._lock:
            stayed = {partition for partition in self._owned if epochs.get(partition) == self._raised[partition]}
            self._raised.update(stayed)
            return {partition: self._raised[partition] for partition in stayed}

    def _move(
        self, partitions: Iterable[TopicPartition], change: Callable[[set[TopicPartition]], None], what: str
    ) -> None:
        moved = set(partitions)
        with self._lock:
            change(moved)
            self._raised.update(moved)
        if moved:
            log.info(what, partitions=sorted(f"{partition.topic}/{partition.partition}" for partition in moved))
