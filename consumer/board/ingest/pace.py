"""How far both topics have been read in time, and that neither runs ahead: what is ahead would wait in memory's stead.

A board that is filled anew reads months of both. Were it done with one topic first, the join would have forgotten its
oldest battles, or votes, before the other topic came to them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from prefstream.consumer.board.ingest.decode import timestamp
from prefstream.consumer.client.protocols import ConsumerRecord, GroupConsumer, TopicPartition

LATENESS_MS: Final = 5 * 60_000
"""A record may be written this long after its timestamp: a transaction stays open, clocks differ."""

AHEAD_MS: Final = 3_600_000
"""A topic that is read further in time than the other by this waits for it."""


class Pace:
    """Keeps both topics abreast.

    A timestamp of the future comes of a clock that is wrong: it says nothing of how far reading is. Were it believed, a
    board that is filled anew would give up all that is older than the window.

    Args:
        consumer: pauses partitions.
        topics: the two names.
    """

    def __init__(self, consumer: GroupConsumer, *topics: str) -> None:
        self._consumer = consumer
        self._topics = topics
        self._latest: dict[TopicPartition, int] = {}
        self._until: dict[str, int | None] = dict.fromkeys(topics)
        self._paused: str | None = None
        self._held: set[TopicPartition] = set()
        self._looked_ms: int | None = None
        self._heard_at = 0.0
        self._known_ms: int | None = None

    def keep(
        self, partitions: Collection[TopicPartition], polled: Mapping[TopicPartition, Sequence[ConsumerRecord]]
    ) -> dict[str, int | None]:
        """Look how far reading is after a poll; pause what is ahead.

        Args:
            partitions: that are read.
            polled: what came.

        Returns:
            By topic: every record with an earlier timestamp has been read; None where that is not known.
        """
        now = int(time.time() * 1000)
        self._hear(now)
        for partition, records in polled.items():
            told = [at for at in map(timestamp, records) if at <= now + LATENESS_MS]
            if told:
                self._latest[partition] = min(now, max(*told, self._latest.get(partition, 0)))
        for topic in self._topics:
            if topic != self._paused:  # of a topic that is paused nobody hears how long it has become
                ours = [partition for partition in partitions if partition.topic == topic]
                self._until[topic] = self._least(ours)
        self._pause_what_is_ahead(partitions)
        return dict(self._until)

    def _hear(self, now: int) -> None:
        """Bring up to date for when we know where the partitions end.

        That is when we looked last, where a broker has answered since. While none does, or this process is suspended,
        they may grow; what was answered before a suspension is read behind it, and tells of before.
        """
        if (heard_at := self._consumer.heard_at()) != self._heard_at:
            self._heard_at, self._known_ms = heard_at, self._looked_ms
        self._looked_ms = now

    def _least(self, partitions: Sequence[TopicPartition]) -> int | None:
        reached = [self._ended(one) if self._is_at_end(one) else self._latest.get(one) for one in partitions]
        known = [moment for moment in reached if moment is not None]
        return min(known) if known and len(known) == len(reached) else None

    def _ended(self, partition: TopicPartition) -> int | None:
        return self._latest.get(partition) if self._known_ms is None else self._known_ms - LATENESS_MS

    def _is_at_end(self, partition: TopicPartition) -> bool:
        end, position = self._consumer.highwater(partition), self._consumer.known_position(partition)
        return end is not None and position is not None and position >= end

    def _pause_what_is_ahead(self, partitions: Collection[TopicPartition]) -> None:
        one, other = self._topics
        first, second = self._until[one], self._until[other]
        self._paused = None
        if first is not None and second is not None and abs(first - second) > AHEAD_MS:
            self._paused = one if first > second else other
        held = {partition for partition in partitions if partition.topic == self._paused}
        if held != self._held:
            self._held = held
            self._consumer.resume(*(partition for partition in partitions if partition not in held))
            self._consumer.pause(*held)
