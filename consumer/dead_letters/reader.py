"""Reads dead letters from their topic: without a group and without committing, so that looking changes nothing.

`prefstream.consumer.dead_letters.retry` sends them back; `prefstream dead-letters` is the face of both.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple, Self

from prefstream.consumer.client.acl import acls_of, may_commit
from prefstream.consumer.client.clients import make_consumer
from prefstream.consumer.client.kafka_errors import Meaning, Translator
from prefstream.consumer.client.offsets import OFFSETS_TIMEOUT_MS, read_ranges, spans_since
from prefstream.consumer.client.protocols import Consumer, ConsumerRecord, Header, TopicPartition
from prefstream.consumer.client.topics import find_partitions
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.errors import (
    UsageError,
)
from prefstream.schemas.dead_letter import (
    HEADER_GROUP,
    HEADER_MESSAGE,
    HEADER_OFFSET,
    HEADER_ORIGINAL_TIMESTAMP,
    HEADER_PARTITION,
    HEADER_REASON,
    HEADER_RETRIES,
    HEADER_TOPIC,
    HEADER_VALUE_SHA256,
    HEADER_VALUE_SIZE,
    header,
    whole_number,
)

UNKNOWN_REASON: Final = "unknown"
"""Stands for the reason of a dead letter that another program wrote."""

MAX_GAP_RECORDS: Final = 500
"""Records that one poll returns at most: reading over so many costs less than another request."""


@dataclass(frozen=True, slots=True, order=True)
class RecordPosition:
    """Where a record stands; written TOPIC/PARTITION/OFFSET."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str, topic: str) -> Self:
        """Read PARTITION/OFFSET, or TOPIC/PARTITION/OFFSET with the same topic.

        Args:
            text: what a person wrote.
            topic: the topic that is meant.

        Raises:
            UsageError: it is no position, or one on another topic.
        """
        *named, partition, offset = text.split("/") if text.count("/") in {1, 2} else ("", "", "")
        if not all(number.isascii() and number.isdecimal() for number in (partition, offset)):
            raise UsageError(f"{text!r} is no position; write PARTITION/OFFSET, such as 0/42")
        if named and named != [topic]:
            raise UsageError(f"{text!r} is not on {topic}; choose its topic with --topic")
        return cls(topic, int(partition), int(offset))


class OriginalRecord(NamedTuple):
    """The record that a dead letter is of. A topic that was recreated has the same offsets again, at another time."""

    position: RecordPosition
    timestamp_ms: str | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record of the dead letters' topic.

    Attributes:
        position: where it stands.
        timestamp_ms: when it was written, ms since the epoch.
        key: of the original record.
        value: of the original record; empty where it was too large to copy.
        headers: all of them, in order.
    """

    position: RecordPosition
    timestamp_ms: int
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: tuple[Header, ...] = field(repr=False)

    @property
    def time(self) -> datetime:
        """When it was written."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def reason(self) -> str:
        """Code of what was wrong."""
        return header(self, HEADER_REASON) or UNKNOWN_REASON

    @property
    def message(self) -> str:
        """What was wrong, in words."""
        return header(self, HEADER_MESSAGE) or ""

    @property
    def origin(self) -> RecordPosition | None:
        """Where the original record stands; None where the headers don't say."""
        topic = header(self, HEADER_TOPIC)
        partition, offset = (whole_number(header(self, name)) for name in (HEADER_PARTITION, HEADER_OFFSET))
        if not topic or partition is None or offset is None:
            return None
        # One text for all: a plan to send them back may hold a million.
        return RecordPosition(sys.intern(topic), partition, offset)

    @property
    def original(self) -> OriginalRecord | None:
        """The record that it is of; None where the headers don't say."""
        origin = self.origin
        return OriginalRecord(origin, header(self, HEADER_ORIGINAL_TIMESTAMP)) if origin else None

    @property
    def group(self) -> str | None:
        """The consumer group that could not score it; None where the headers don't say."""
        return header(self, HEADER_GROUP)

    @property
    def value_omitted(self) -> bool:
        """Whether the value was too large to copy: only its size and hash are here."""
        digest = header(self, HEADER_VALUE_SHA256)
        return digest is not None and digest != hashlib.sha256(self.value or b"").hexdigest()

    @property
    def size(self) -> int:
        """Bytes of the original value."""
        original = whole_number(header(self, HEADER_VALUE_SIZE))
        return original if self.value_omitted and original is not None else len(self.value or b"")

    @property
    def retries(self) -> int:
        """How many times it was sent back before it became this dead letter."""
        return whole_number(header(self, HEADER_RETRIES)) or 0


def read_dead_letters(
    connection: KafkaConnection,
    topic: str,
    *,
    since: datetime | None = None,
    from_offsets: Mapping[int, int] | None = None,
    to_offsets: Mapping[int, int] | None = None,
) -> Iterator[DeadLetter]:
    """Everything that is on the topic now, each partition in order, committed records only.

    Args:
        connection: how to reach the brokers.
        topic: the dead letters' topic.
        since: leave out what was written before.
        from_offsets: per partition, where to start; elsewhere at the beginning.
        to_offsets: per partition, before which offset to end; elsewhere at the end.

    Raises:
        TopicMissingError: there is no such topic.
        NotAuthorizedError: we may not read it.
        StreamError: reading failed.
    """
    with _reader(connection, topic) as (consumer, partitions):
        starts = consumer.beginning_offsets(partitions, timeout_ms=OFFSETS_TIMEOUT_MS)
        for partition, offset in (from_offsets or {}).items():
            if TopicPartition(topic, partition) in starts:
                starts[TopicPartition(topic, partition)] = max(offset, starts[TopicPartition(topic, partition)])
        # With read_committed these are the last stable offsets: nothing behind an open transaction is waited for.
        ends = consumer.end_offsets(partitions, timeout_ms=OFFSETS_TIMEOUT_MS)
        for partition, offset in (to_offsets or {}).items():
            if TopicPartition(topic, partition) in ends:
                ends[TopicPartition(topic, partition)] = min(offset, ends[TopicPartition(topic, partition)])
        spans = {p: range(starts[p], ends[p]) for p in partitions}
        since_ms = None if since is None else max(0, int(since.timestamp() * 1000))
        if since_ms is not None:
            spans = spans_since(consumer, spans, since_ms, timeout_ms=OFFSETS_TIMEOUT_MS)
        for letter in map(letter_of, read_ranges(consumer, spans)):
            if since_ms is None or letter.timestamp_ms >= since_ms:
                yield letter


def read_positions(
    connection: KafkaConnection,
    topic: str,
    positions: Iterable[RecordPosition],
    *,
    on_missing: Callable[[RecordPosition], None],
) -> Iterator[DeadLetter]:
    """The dead letters at certain positions, ordered by position.

    Args:
        connection: how to reach the brokers.
        topic: the dead letters' topic.
        positions: all on that topic.
        on_missing: told about each position where no dead letter stands (any more).

    Raises:
        TopicMissingError: there is no such topic.
        NotAuthorizedError: we may not read it.
        StreamError: reading failed.
    """
    wanted = set(positions)
    with _reader(connection, topic) as (consumer, partitions):
        starts = consumer.beginning_offsets(partitions, timeout_ms=OFFSETS_TIMEOUT_MS)
        ends = consumer.end_offsets(partitions, timeout_ms=OFFSETS_TIMEOUT_MS)
        for partition in partitions:
            offsets = sorted(
                position.offset
                for position in wanted
                if position.partition == partition.partition and starts[partition] <= position.offset < ends[partition]
            )
            for span in _spans(offsets):
                for letter in map(letter_of, read_ranges(consumer, {partition: span})):
                    if letter.position in wanted:
                        wanted.remove(letter.position)
                        yield letter
    for position in sorted(wanted):
        on_missing(position)


def _spans(offsets: Sequence[int]) -> Iterator[range]:
    """Ranges that hold all of the offsets; what lies closer together than one poll reaches is read in one go."""
    first = 0
    for index, offset in enumerate(offsets):
        if index + 1 == len(offsets) or offsets[index + 1] - offset > MAX_GAP_RECORDS:
            yield range(offsets[first], offset + 1)
            first = index + 1


def refuse_missing(position: RecordPosition) -> None:
    """For `read_positions`: a position without a dead letter is a mistake of the caller.

    Raises:
        UsageError: always.
    """
    raise UsageError(f"no dead letter stands at {position}: retention deleted it, or it never was there")


def reading(topic: str, group: str | None = None) -> AbstractContextManager[None]:
    """Translate kafka-python's errors of the block into ours.

    Args:
        topic: of dead letters.
        group: whose offsets are read, too; None for nobody's.
    """
    return Translator(
        f"reading {topic}" + (f" or group {group}" if group else ""),
        acls=acls_of({topic: "READ"}, may_commit(group), "", [topic])
        if group
        else lambda _: f"Read and Describe on {topic}",
        remedies={Meaning.PASSING: "the partition's leader does not answer; try again"},
    ).translating()


@contextmanager
def _reader(connection: KafkaConnection, topic: str) -> Iterator[tuple[Consumer, list[TopicPartition]]]:
    """A consumer without a group, and the topic's partitions."""
    with reading(topic), closing(make_consumer(connection)) as consumer:
        yield consumer, find_partitions(consumer, topic)


def letter_of(record: ConsumerRecord) -> DeadLetter:
    """A record of the dead letters' topic as what it is."""
    return DeadLetter(
        position=RecordPosition(record.topic, record.partition, record.offset),
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )
