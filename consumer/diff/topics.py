"""Answers and votes from ranges of topics, read without a group, committed ones only; of a record only numbers stay."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from prefstream.consumer.client.offsets import read_ranges, refuse_shorter
from prefstream.consumer.client.protocols import Consumer, ConsumerRecord, TopicPartition
from prefstream.consumer.client.values import place_of, preference_of, vote_of
from prefstream.consumer.rescore.observer import RangeObserver
from prefstream.consumer.rescore.progress import fix_range
from prefstream.consumer.rescore.span import TopicSpan
from prefstream.schemas import ContractError, InvalidEventError, Outcome
from prefstream.scoring.comparison.answers import AnswerGathering

_EVERY: Final = 500
"""Records between two words to the observer."""


@dataclass(slots=True)
class RangeRead:
    """What came of a range.

    Attributes:
        rejected: records that hold nothing that could be used.
        deleted: offsets of the range that were deleted before they were read.
    """

    rejected: int = 0
    deleted: int = 0


def read_topic_answers(
    consumer: Consumer, span: TopicSpan, gathering: AnswerGathering, observer: RangeObserver
) -> RangeRead:
    """Take the preferences of a range.

    Args:
        consumer: without a group.
        span: of a topic of preferences.
        gathering: takes them.
        observer: is told what happens.

    Raises:
        UsageError: the range is none of this topic.
        TopicMissingError: there is no such topic.
        KafkaError: reading failed.
        DataLossError: the topic was made anew meanwhile.
    """
    read = RangeRead()
    for record in _records(consumer, span, read, observer):
        try:
            preference = preference_of(record)
        except ContractError as error:
            read.rejected += 1
            observer.rejected(place_of(record), str(error))
        else:
            gathering.add(preference.id, preference.probabilities, preference)
    return read


def read_topic_votes(
    consumer: Consumer, span: TopicSpan, wanted: Collection[str], observer: RangeObserver
) -> tuple[dict[str, list[Outcome]], RangeRead]:
    """Take votes of a range; a later one of the same voter on the same battle takes the place of the earlier.

    Args:
        consumer: without a group.
        span: of a topic of votes.
        wanted: ids of the battles; votes on others are passed over.
        observer: is told what happens.

    Returns:
        What was said, by battle; and what came of the range.

    Raises:
        StreamError: as `read_topic_answers`.
    """
    read = RangeRead()
    votes: dict[str, dict[object, Outcome]] = {}
    for number, record in enumerate(_records(consumer, span, read, observer)):
        try:
            vote = vote_of(record)
        except InvalidEventError as error:
            read.rejected += 1
            observer.rejected(place_of(record), str(error))
            continue
        if vote.id in wanted:
            votes.setdefault(vote.id, {})[number if vote.voter is None else vote.voter] = vote.outcome
    return {battle: list(said.values()) for battle, said in votes.items()}, read


def _records(consumer: Consumer, span: TopicSpan, read: RangeRead, observer: RangeObserver) -> Iterator[ConsumerRecord]:
    fixed, read.deleted = fix_range(consumer, span)
    spans = {TopicPartition(fixed.topic, one.partition): range(one.begin, one.end) for one in fixed.partitions}
    total = sum(map(len, spans.values()))
    done = dict.fromkeys(spans, 0)
    observer.began(span.text, total)

    def deleted(partition: TopicPartition, offsets: range) -> None:
        refuse_shorter(partition, offsets)
        read.deleted += len(offsets)

    for count, record in enumerate(read_ranges(consumer, spans, on_deleted=deleted), start=1):
        place = TopicPartition(record.topic, record.partition)
        done[place] = record.offset + 1 - spans[place].start
        if count % _EVERY == 0:
            observer.advanced(sum(done.values()))
        yield record
    observer.advanced(total)
