"""Records that will get no answer: told in the log, counted, and not forgotten before a person has decided.

What was found is noted with the committed offset. With `on_data_loss: stop` a start that finds such a note stops as
the one before did, or warns where there was nothing to stop for; one with `earliest` or `latest` is the decision, and
takes the note away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, Literal, TypeAlias

import structlog

from prefstream.consumer.client.kafka_errors import KafkaError
from prefstream.consumer.client.protocols import GroupConsumer, OffsetAndMetadata, TopicPartition
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import DataLossError
from prefstream.consumer.stream.partitions.assignment import Assignment
from prefstream.consumer.stream.partitions.offset_metadata import OffsetMetadata

log = structlog.get_logger(__name__)

SkipReason: TypeAlias = Literal[
    "deleted_before_first_read", "deleted_unread", "skipped_to_end", "topic_recreated", "too_far_behind"
]

TIMEOUT_MS: Final = 10_000
"""A leader or coordinator moves in about 9 s; what could not be asked by then is asked again at the next poll."""

REMEDY: Final = "Find out what was lost, then start once with --on-data-loss earliest or latest"


class Losses:
    """Meets losses as the operator wants it. Belongs to the polling thread.

    Args:
        consumer: whose positions are set.
        config: names the policy.
        assignment: what is ours.
        on_skipped: told how many offsets will get no answer, and why.
        starts: where to begin in partitions without a committed offset, if not at their first record; they are of the
            topic that is there now.
    """

    def __init__(
        self,
        consumer: GroupConsumer,
        config: StreamConfig,
        assignment: Assignment,
        on_skipped: Callable[[SkipReason, int], None],
        starts: Mapping[TopicPartition, int],
    ) -> None:
        self._consumer = consumer
        self._policy = config.on_data_loss
        self._assignment = assignment
        self._on_skipped = on_skipped
        self._starts = dict(starts)
        self._undecided: dict[TopicPartition, int] = {}
        # A skip is met again where we begin at the same offset again before anything behind it is committed.
        self._counted_to: dict[TopicPartition, int] = {}

    def undecided(self, partition: TopicPartition) -> int:
        """Offsets of a partition that were gone before it was first read, to be noted with what is committed."""
        return self._undecided.get(partition, 0)

    def start(self, partition: TopicPartition) -> int:
        """Where to begin in a partition without a committed offset; 0 where nothing of it was answered yet."""
        return self._starts.get(partition, 0)

    def forget_starts(self) -> None:
        """The topic is another one: what was answered of the one before says nothing of it."""
        self._starts.clear()
        self._counted_to.clear()

    def begin(self, partitions: Iterable[TopicPartition]) -> None:
        """Read partitions without a committed offset from their first record, and say where others were before it.

        Raises:
            KafkaError: the brokers do not tell which record is the first; nothing has changed.
        """
        here = self._consumer.assignment().intersection(partitions)
        for partition, begin in self._consumer.beginning_offsets(here, timeout_ms=TIMEOUT_MS).items():
            start = self.start(partition)
            self._consumer.seek(partition, max(begin, start))
            self._undecided.pop(partition, None)
            if gone := max(0, begin - start):
                if self._count(partition, "deleted_before_first_read", range(start, begin)):
                    self._tell_gone_before_first_read(partition, gone, behind_answers=start > 0)
                if self._policy == "stop":
                    self._undecided[partition] = gone

    def meet(
        self, positions: Mapping[TopicPartition, int], committed: Mapping[TopicPartition, OffsetAndMetadata | None]
    ) -> None:
        """Records at these positions are gone: stop, or go on where told so.

        Args:
            positions: of our partitions.
            committed: what the group has committed of them.

        Raises:
            DataLossError: `on_data_loss` is `stop`. So it will be at the next start, too.
            KafkaError: the brokers do not tell where to go on; nothing has changed.
        """
        if self._policy == "stop":
            self._remember(positions, committed)
            lost = ", ".join(f"{topic}/{number} offset {offset}" for (topic, number), offset in positions.items())
            raise DataLossError(
                f"{lost}: the record is no longer on the topic (retention, or the topic was recreated). {REMEDY}"
            )
        begins = self._consumer.beginning_offsets(positions, timeout_ms=TIMEOUT_MS)
        ends = self._consumer.end_offsets(positions, timeout_ms=TIMEOUT_MS)
        for partition, position in positions.items():
            begin, end = begins[partition], ends[partition]
            on = begin if self._policy == "earliest" else end
            known = self._counted_to.get(partition)
            deleted = self._count(partition, "deleted_unread", range(position, begin))
            skipped = self._count(partition, "skipped_to_end", range(begin, on))
            if deleted or skipped or known is None or position > end:
                log.error(
                    "records lost, going on as told",
                    partition=f"{partition.topic}/{partition.partition}",
                    offset=position,
                    deleted=deleted,
                    skipped_to_end=skipped,
                    on_at=on,
                    on_data_loss=self._policy,
                )
            self._consumer.seek(partition, on)

    def learned(
        self, partition: TopicPartition, epoch: int, committed: OffsetAndMetadata
    ) -> tuple[int, OffsetAndMetadata]:
        """See what was noted with a committed offset that was just asked for.

        Returns:
            Epoch and offset by which the partition goes on; the offset without the note where that is decided.

        Raises:
            As `meet`.
        """
        note = OffsetMetadata.decode(committed.metadata or "")
        known = self._undecided.pop(partition, 0)  # by now another member may have been told what to do
        if note.skipped and self._policy == "stop":
            self._undecided[partition] = note.skipped
            if note.skipped != known:
                self._on_skipped("deleted_before_first_read", note.skipped)
                self._tell_gone_before_first_read(partition, note.skipped)
        if note.halted:
            if self._policy != "stop":  # what was read from there on is not what will be
                epoch = self._assignment.renew({partition: epoch}).get(partition, epoch)
            self.meet({partition: committed.offset}, {partition: committed})
            self._consumer.forget_fetched()
        if self._policy != "stop" and (note.skipped or note.halted):
            decided = replace(note, skipped=0, halted=False)
            # No offset that anybody is at: what is committed next takes its place.
            committed = OffsetAndMetadata(-1, decided.encode(), -1)
        return epoch, committed

    def topic_recreated(self, unread: int) -> None:
        """The topic is another one, and so many offsets of the one before were not answered."""
        self._on_skipped("topic_recreated", unread)

    def halt(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Commit what makes the next start stop as well; where that fails, it is told that it may not."""
        try:
            self._consumer.commit(dict(offsets), timeout_ms=TIMEOUT_MS)
        except KafkaError as error:
            log.warning("can't note that records are lost, the next start may go on", error=type(error).__name__)

    def _remember(
        self, positions: Mapping[TopicPartition, int], committed: Mapping[TopicPartition, OffsetAndMetadata | None]
    ) -> None:
        """An offset beyond the end comes into range as the topic grows: that it was not is noted with it."""
        offsets = {}
        for partition, position in positions.items():
            found = committed[partition] or OffsetAndMetadata(position, "", -1)
            note = OffsetMetadata.decode(found.metadata or "")
            if not note.halted:
                offsets[partition] = OffsetAndMetadata(found.offset, replace(note, halted=True).encode(), -1)
        if offsets:
            self.halt(offsets)

    def _count(self, partition: TopicPartition, reason: SkipReason, offsets: range) -> int:
        """Count offsets that will get no answer, without those that were counted before; returns how many."""
        counted_to = self._counted_to.get(partition, 0)
        count = max(0, offsets.stop - max(offsets.start, counted_to))
        self._counted_to[partition] = max(counted_to, offsets.stop)
        if count:
            self._on_skipped(reason, count)
        return count

    def _tell_gone_before_first_read(
        self, partition: TopicPartition, count: int, *, behind_answers: bool = False
    ) -> None:
        event = "records were deleted before the group read this partition for the first time"
        if behind_answers:
            event = "records behind the last one that the group answered were deleted unread"
        log.warning(
            event,
            partition=f"{partition.topic}/{partition.partition}",
            offsets=count,
            told="at every start, until one with on_data_loss earliest or latest",
        )
