"""Which offsets a run reads, fixed once at its start, and how far it is in each partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prefstream.consumer.client.offsets import OFFSETS_TIMEOUT_MS
from prefstream.consumer.client.protocols import Consumer, TopicPartition
from prefstream.consumer.client.topics import find_partitions
from prefstream.consumer.errors import UsageError
from prefstream.consumer.rescore.span import Bound, TopicSpan
from prefstream.consumer.words import counted

Offset = Annotated[int, Field(ge=0)]

MAX_SHOWN: Final = 20
"""Partitions that are named one by one: a topic may have thousands."""


class PartitionProgress(BaseModel):
    """How far one partition is."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    partition: Annotated[int, Field(ge=0)]
    begin: Annotated[Offset, Field(description="First offset of the range.")]
    end: Annotated[Offset, Field(description="Offset behind the range.")]
    next: Annotated[Offset, Field(description="Offset that is read next.")]
    scored: Annotated[int, Field(ge=0, description="Battles that were answered.")] = 0
    rejected: Annotated[int, Field(ge=0, description="Records that could not be scored.")] = 0

    @property
    def left(self) -> int:
        """Offsets that are still to be read."""
        return max(0, self.end - self.next)


class RangeProgress(BaseModel):
    """How far a run is."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    topic: str
    topic_id: Annotated[str | None, Field(description="Tells a topic from another one of the same name.")] = None
    partitions: tuple[PartitionProgress, ...]

    @property
    def left(self) -> int:
        """Offsets that are still to be read, of all partitions; not each holds a record."""
        return sum(partition.left for partition in self.partitions)

    @property
    def begun(self) -> bool:
        """Whether anything was read."""
        return any(partition.next > partition.begin for partition in self.partitions)

    @property
    def scored(self) -> int:
        """Battles that were answered."""
        return sum(partition.scored for partition in self.partitions)

    @property
    def rejected(self) -> int:
        """Records that could not be scored."""
        return sum(partition.rejected for partition in self.partitions)

    def __str__(self) -> str:
        """The range, and what was done of it before, in a line."""
        spans = ", ".join(f"{one.partition}:{one.begin}..{one.end}" for one in self.partitions[:MAX_SHOWN])
        more = ", ..." if len(self.partitions) > MAX_SHOWN else ""
        before = f" ({counted(self.scored, 'battle')} scored before)" if self.begun else ""
        return f"{self.topic} {spans}{more}{before}"

    def with_partition(self, moved: PartitionProgress) -> Self:
        """The same, one partition further."""
        partitions = tuple(moved if one.partition == moved.partition else one for one in self.partitions)
        return self.model_copy(update={"partitions": partitions})

    def refuse_recreated(self, topic_id: str | None) -> None:
        """Refuse to go on in another topic of the same name, whose offsets mean other records.

        Raises:
            UsageError: it is another one, as far as brokers tell.
        """
        if topic_id and self.topic_id and topic_id != self.topic_id:
            raise UsageError(
                f"topic {self.topic} was deleted and made anew since the run began: what is left of it is gone. Begin "
                "another run, with --force or to another output"
            )


class PartitionNote(BaseModel):
    """What is committed along with a partition's offset, as its metadata: the range, and what was done of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    run: Annotated[str, Field(description="What tells the run from others.")]
    topic_id: str | None = None
    begin: Offset
    end: Offset
    scored: Offset = 0
    rejected: Offset = 0

    @classmethod
    def of(cls, run: str, progress: RangeProgress, partition: PartitionProgress) -> Self:
        """The note for one partition of a run."""
        return cls(run=run, topic_id=progress.topic_id, **partition.model_dump(exclude={"partition", "next"}))

    @classmethod
    def decode(cls, metadata: str) -> Self | None:
        """Read a note; None where it is another program's."""
        try:
            return cls.model_validate_json(metadata)
        except ValidationError:
            return None

    def at(self, partition: int, offset: int) -> PartitionProgress:
        """How far the partition is, whose committed offset this stood beside."""
        return PartitionProgress(partition=partition, next=offset, **self.model_dump(exclude={"run", "topic_id"}))


def fix_range(consumer: Consumer, span: TopicSpan) -> tuple[RangeProgress, int]:
    """Look up where a span begins and ends now.

    Args:
        consumer: reads committed records only, so that `latest` is behind the last one of these.
        span: what was asked for.

    Returns:
        A run that has read nothing, and how many of the offsets that were named are deleted already.

    Raises:
        UsageError: the span names a partition that is not there, or one offset for several partitions.
        TopicMissingError: there is no such topic.
        KafkaError: the brokers do not tell.
    """
    there = find_partitions(consumer, span.topic)
    wanted = _wanted(span, there)
    begins = consumer.beginning_offsets(wanted, timeout_ms=OFFSETS_TIMEOUT_MS)
    ends = consumer.end_offsets(wanted, timeout_ms=OFFSETS_TIMEOUT_MS)
    firsts = _offsets(consumer, span.begin, wanted, begins, ends)
    lasts = _offsets(consumer, span.end, wanted, begins, ends)
    partitions, deleted = [], 0
    for one in wanted:
        end = min(lasts[one], ends[one])
        begin = min(max(firsts[one], begins[one]), end)
        deleted += max(0, min(begin, end) - firsts[one])
        partitions.append(PartitionProgress(partition=one.partition, begin=begin, end=end, next=begin))
    return RangeProgress(
        topic=span.topic, topic_id=topic_id_of(consumer, span.topic), partitions=tuple(partitions)
    ), deleted


def topic_id_of(consumer: Consumer, topic: str) -> str | None:
    """What tells a topic from another one of the same name; None where brokers tell none."""
    found = consumer.topic_id(topic)
    return found.hex if found else None


def _wanted(span: TopicSpan, there: Iterable[TopicPartition]) -> list[TopicPartition]:
    by_number = {one.partition: one for one in there}
    for bound in (span.begin, span.end):
        if isinstance(bound, int) and len(by_number) > 1:
            numbers = ",".join(f"{number}:{bound}" for number in sorted(by_number)[:2])
            raise UsageError(f"{span.topic} has {len(by_number)} partitions; write offsets for each, such as {numbers}")
    named = span.partitions
    if named is None:
        return list(by_number.values())
    if unknown := sorted(named - by_number.keys()):
        raise UsageError(f"{span.topic} has no partition {', '.join(map(str, unknown))}")
    return [by_number[number] for number in sorted(named)]


def _offsets(
    consumer: Consumer,
    bound: Bound,
    partitions: Iterable[TopicPartition],
    begins: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> Mapping[TopicPartition, int]:
    match bound:
        case "earliest":
            return begins
        case "latest":
            return ends
        case datetime():
            since_ms = max(0, int(bound.timestamp() * 1000))
            found = consumer.offsets_for_times(dict.fromkeys(partitions, since_ms), timeout_ms=OFFSETS_TIMEOUT_MS)
            return {one: at.offset if (at := found.get(one)) else ends[one] for one in partitions}
        case int():
            return dict.fromkeys(partitions, bound)
        case _:
            return {one: bound[one.partition] for one in partitions}
