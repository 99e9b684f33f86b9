"""Reads a range of battles and all that answers it, and holds one against the other.

In this order, so that nothing is taken for lost that is under way:

    1. What the group has committed                 what is beyond it is not due
    2. Where the range begins and ends
    3. Where the output topics end                  what was committed by 1. has been written before that
    4. Where the battles' topic ends                what is answered before 3. was written before that
    5. The range
    6. The output topics, up to 3., committed ones: reading waits until open transactions have ended. They begin where
       answers to the range can begin, by the times of its records
    7. What is earlier on the output topics, where a record would be lost: its time may be of the future

An answer that retention has deleted is not told from one that never was, but by its time: it was written after its
record. So a record that is younger than all that was deleted, and has no answer, was lost.

Of a shadow that can't be told: it skips what it is too far behind for, and of what its panel can't score it writes
nothing. What its share did not choose, and what is no battle, need no answer of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Final

from prefstream.consumer.audit.answers import Malformed, read_dead_letter, read_preference
from prefstream.consumer.audit.ledger import AnswerLedger
from prefstream.consumer.audit.report import AuditReport
from prefstream.consumer.audit.tally import AnswerTally
from prefstream.consumer.client.clients import admin_client, make_consumer
from prefstream.consumer.client.offsets import (
    OFFSETS_TIMEOUT_MS,
    Bounds,
    read_bounds,
    read_committed_offsets,
    read_ranges,
    spans_since,
)
from prefstream.consumer.client.protocols import Consumer, ConsumerRecord, TopicPartition
from prefstream.consumer.client.topics import describe_topics, require_topic
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.rescore.observer import RangeObserver, Unobserved
from prefstream.consumer.rescore.progress import fix_range
from prefstream.consumer.rescore.span import TopicSpan
from prefstream.consumer.stream.lost_offsets import CLOCKS_DIFFER_MS, FROM_THE_FUTURE_MS
from prefstream.consumer.stream.pipeline import battle_of
from prefstream.consumer.stream.shadow import ShadowRule
from prefstream.schemas import InvalidEventError

_FOR_EVER_MS: Final = 1 << 62
_TELL_EVERY: Final = 1_000


def audit_range(config: StreamConfig, span: TopicSpan, observer: RangeObserver | None = None) -> AuditReport:
    """Whether every record of a range has exactly one answer, and who gave them.

    Args:
        config: names brokers, group and output topics; a shadow's where it is one's.
        span: of the battles.
        observer: told how it is getting on.

    Raises:
        UsageError: the span names a partition that is not there.
        TopicMissingError: a topic is not there.
        KafkaError: the brokers do not tell, or a transaction stayed open for half a minute.
    """
    observer = observer or Unobserved()
    outputs = config.output_topics
    with closing(make_consumer(config, max_unpacked_bytes=config.max_unpacked_bytes)) as consumer:
        with admin_client(config) as admin:
            for topic in (span.topic, *outputs):
                require_topic(config, admin, topic, "READ")
            committed = read_committed_offsets(admin, config.group, span.topic)  # 1
            asked, deleted = fix_range(consumer, span)  # 2
            battles, *answering = describe_topics(admin, (span.topic, *outputs))
            answers = read_bounds(admin, (one for topic in answering for one in topic.topic_partitions()))  # 3
            ends = read_bounds(admin, battles.topic_partitions()).ends  # 4
        spans = {one.partition: range(one.begin, one.end) for one in asked.partitions}
        now_ms = int(time.time() * 1000)
        ledger = AnswerLedger(span.topic, spans, {one.partition: end for one, end in ends.items()}, now_ms)
        reader = _Reader(consumer, config, span.topic, ledger, observer)
        oldest_ms = reader.read_battles(spans)  # 5
        horizon_ms = None
        past = {one.partition: offset for one, offset in committed.items()}
        if oldest_ms is not None:
            horizon_ms = _FOR_EVER_MS if config.shadow else _deleted_until_ms(consumer, answers)
            earlier = reader.read_answers(answers, oldest_ms)  # 6
            if not reader.answers_deleted and ledger.any_lost(past, horizon_ms):
                reader.read_answers_at(earlier)  # 7
            horizon_ms = _FOR_EVER_MS if reader.answers_deleted else horizon_ms
    partitions = ledger.settle(past, horizon_ms)
    return AuditReport(
        span=span.text,
        group=config.group,
        partitions=tuple(partitions),
        breaks=ledger.breaks,
        panels=tuple(reader.tally.panels),
        judges=reader.tally.judges,
        reasons=dict(reader.tally.reasons.most_common()),
        deleted=deleted + reader.deleted,
        outside=ledger.outside,
        of_before=ledger.of_before,
        of_others=reader.of_others,
        share=config.share if config.shadow else None,
    )


class _Reader:
    """Reads topics into a ledger.

    Attributes:
        deleted: records of the range that were deleted before they were read.
        answers_deleted: whether answers were.
        of_others: records on the output topics that are of other groups.
        tally: who answered.
    """

    def __init__(
        self, consumer: Consumer, config: StreamConfig, topic: str, ledger: AnswerLedger, observer: RangeObserver
    ) -> None:
        self._consumer = consumer
        self._config = config
        self._topic = topic
        self._ledger = ledger
        self._observer = observer
        self._share = ShadowRule.of(config)
        self.deleted = 0
        self.answers_deleted = False
        self.of_others = 0
        self.tally = AnswerTally()

    def read_battles(self, spans: Mapping[int, range]) -> int | None:
        """Take in the records of the range; the timestamp of the oldest, None where there is none."""
        oldest_ms: int | None = None
        ranges = {TopicPartition(self._topic, number): span for number, span in spans.items()}
        for record in self._read("battles", ranges, self._on_deleted):
            battle_id = self._id_of(record)
            self._ledger.record(
                *(record.partition, record.offset, record.timestamp, battle_id),
                passed_over=self._config.shadow and not self._is_shadows(battle_id),
            )
            oldest_ms = record.timestamp if oldest_ms is None else min(oldest_ms, record.timestamp)
        return oldest_ms

    def read_answers(self, bounds: Bounds, oldest_ms: int) -> dict[TopicPartition, range]:
        """Take in what answers them, as far back as the clocks of who wrote them may differ.

        Args:
            bounds: of the output topics.
            oldest_ms: timestamp of the oldest record.

        Returns:
            What of the output topics was not looked at, because it is earlier.
        """
        spans = {one: range(begin, bounds.ends[one]) for one, begin in bounds.begins.items() if not bounds.empty(one)}
        # What stands in transactions that are open has no place in time yet: it is behind all that is committed.
        behind = self._consumer.end_offsets(spans, timeout_ms=OFFSETS_TIMEOUT_MS)
        since_ms = oldest_ms - FROM_THE_FUTURE_MS
        found = spans_since(self._consumer, spans, since_ms, timeout_ms=OFFSETS_TIMEOUT_MS)
        starts = {one: min(span.start, behind[one]) for one, span in found.items()}
        self.read_answers_at({one: range(start, spans[one].stop) for one, start in starts.items()})
        return {one: range(spans[one].start, start) for one, start in starts.items() if spans[one].start < start}

    def read_answers_at(self, ranges: Mapping[TopicPartition, range]) -> None:
        """Take in what answers them.

        Args:
            ranges: of the output topics.
        """

        def on_deleted(partition: TopicPartition, offsets: range) -> None:
            self.answers_deleted = True
            del partition, offsets

        for record in self._read("answers", ranges, on_deleted):
            if record.topic == self._config.answers_topic:
                answer = read_preference(record, self._config.group)
            else:
                answer = read_dead_letter(record, self._config.group, self._topic)
            if answer is None:
                self.of_others += 1
            elif isinstance(answer, Malformed):
                self._ledger.malformed(answer)
            elif self._ledger.answer(answer):
                self.tally.add(answer)

    def _read(
        self, what: str, ranges: Mapping[TopicPartition, range], on_deleted: Callable[[TopicPartition, range], None]
    ) -> Iterator[ConsumerRecord]:
        self._observer.began(what, sum(map(len, ranges.values())))
        done = {one: span.start for one, span in ranges.items()}
        before = sum(done.values())
        for number, record in enumerate(read_ranges(self._consumer, ranges, on_deleted=on_deleted)):
            yield record
            done[TopicPartition(record.topic, record.partition)] = record.offset + 1
            if number % _TELL_EVERY == 0:
                self._observer.advanced(sum(done.values()) - before)

    def _on_deleted(self, partition: TopicPartition, offsets: range) -> None:
        self.deleted += len(offsets)
        self._ledger.deleted(partition.partition, offsets)

    def _is_shadows(self, battle_id: str | None) -> bool:
        """Whether a shadow is to answer a record."""
        return battle_id is not None and (self._share is None or self._share.chooses(battle_id))

    def _id_of(self, record: ConsumerRecord) -> str | None:
        try:
            return battle_of(record, self._config.battles_framing).id
        except InvalidEventError:
            return None


def _deleted_until_ms(consumer: Consumer, bounds: Bounds) -> int | None:
    """Answers to records of until then may have been deleted; None where nothing was.

    What was deleted of a partition was written before its first record that is there, but for clocks that differ. Of
    one with no record left nothing is known.
    """
    until_ms: int | None = None
    for one, begin in bounds.begins.items():
        if begin > 0:
            there = {one: range(begin, bounds.ends[one])}
            first = None if bounds.empty(one) else next(read_ranges(consumer, there), None)
            its_ms = _FOR_EVER_MS if first is None else first.timestamp + CLOCKS_DIFFER_MS
            until_ms = its_ms if until_ms is None else max(until_ms, its_ms)
    return until_ms
