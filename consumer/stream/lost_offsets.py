"""A group that has lost its committed offsets, though its answers are there: read on behind them, or refuse to start.

Kafka forgets a group's offsets when it has had no member for `offsets.retention.minutes`, and at once where a person
deletes the group or the topic. Read from its beginning, a topic would be answered a second time. Each answer says which
record it is for, and which group gave it; so the answers tell how far the group was, if the topic is still the one that
they are for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Final

import structlog

from prefstream.consumer.client.clients import admin_client, make_consumer
from prefstream.consumer.client.kafka_errors import Meaning, Translator
from prefstream.consumer.client.offsets import Bounds, read_bounds, read_committed_offsets, read_ranges
from prefstream.consumer.client.protocols import Consumer, ConsumerRecord, TopicPartition
from prefstream.consumer.client.topics import describe_topics
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import BrokerUnreachableError, OffsetsLostError
from prefstream.consumer.stream.messages import CE_ID, CE_SOURCE, source_of
from prefstream.schemas import Framing, InvalidEventError, decode_battle
from prefstream.schemas.cloud_event import content_type_of
from prefstream.schemas.dead_letter import (
    HEADER_GROUP,
    HEADER_OFFSET,
    HEADER_ORIGINAL_TIMESTAMP,
    HEADER_PARTITION,
    HEADER_TOPIC,
    header,
    whole_number,
)

log = structlog.get_logger(__name__)

TIMEOUT_MS: Final = 15_000
"""For questions about offsets: a leader moves in about 9 s."""

CLOCKS_DIFFER_MS: Final = 5 * 60_000
"""An answer is younger than its record by the clocks of two machines, which may differ by so much."""

FROM_THE_FUTURE_MS: Final = 2 * 3_600_000
"""Records may be an hour ahead of the broker's clock (its default); an answer is looked for that much earlier."""

_EITHER: Final = (
    "Either start once with --on-lost-offsets earliest, which answers again what is still on the topic, or set the "
    "offsets yourself (kafka-consumer-groups.sh --reset-offsets)"
)

_RESUME: Final = (
    "Start once with --on-lost-offsets resume, which goes on behind the answers; or with earliest, which answers again "
    "what is still on the topic; or set the offsets yourself (kafka-consumer-groups.sh --reset-offsets)"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to the last record of a partition that the group has answered.

    Attributes:
        offset: of the record.
        timestamp_ms: of the answer.
        battle_id: of a preference; None for a dead letter.
        original_ms: the record's own timestamp, as a dead letter repeats it; None where it is not known to be ours.
    """

    offset: int
    timestamp_ms: int
    battle_id: str | None = None
    original_ms: int | None = None

    def is_for(self, record: ConsumerRecord, framing: Framing) -> bool:
        """Whether the record is the one that was answered, not one of another topic with the same name and offset."""
        if record.timestamp > self.timestamp_ms + CLOCKS_DIFFER_MS:
            return False
        if self.battle_id is None:
            return record.timestamp == self.original_ms
        with suppress(InvalidEventError):
            battle = decode_battle(record.value, framing=framing, content_type=content_type_of(record))
            return battle.id == self.battle_id
        return False


def find_starts(config: StreamConfig) -> dict[TopicPartition, int]:
    """Where to begin in partitions without a committed offset that the group has answered; elsewhere nothing is known.

    For a group that has its offsets, and where nothing was answered yet, this asks a few questions and reads nothing.

    Args:
        config: the stream's settings.

    Raises:
        OffsetsLostError: the group has answered partitions of which it has no committed offset, and where it was is not
            known for sure, or `on_lost_offsets` is `stop`.
        NotAuthorizedError: we may not look at the group.
        BrokerUnreachableError: the brokers do not tell.
    """
    asking = Translator("asking where the group is", acls=lambda _: f"Read on group {config.group}")
    with asking.translating(), admin_client(config) as admin:
        battles, *outputs = describe_topics(admin, (config.battles_topic, *config.output_topics))
        committed = read_committed_offsets(admin, config.group, config.battles_topic)
        if not (without := set(battles.topic_partitions()) - committed.keys()):
            return {}
        log_of = read_bounds(admin, without)
        # Where all that there was is gone, nothing can be answered twice; the answers tell how much of it had none.
        unread = {partition for partition in without if log_of.ends[partition] > 0}
        if not unread:
            return {}
        answers = read_bounds(admin, (partition for topic in outputs for partition in topic.topic_partitions()))
        if all(answers.empty(partition) for partition in answers.begins):
            return {}
    if config.on_lost_offsets == "earliest":
        log.warning("no committed offsets, reading from the beginning as told", partitions=_names(unread))
        return {}
    return _starts_behind_answers(config, log_of, unread, answers)


def _starts_behind_answers(
    config: StreamConfig, log_of: Bounds, unread: set[TopicPartition], answers: Bounds
) -> dict[TopicPartition, int]:
    log.warning("no committed offsets; looking for answers of this group", partitions=_names(unread))
    reading = Translator(
        "looking for answers of this group",
        acls=lambda _: " and ".join(f"Read on topic {topic}" for topic in config.output_topics),
        remedies={
            Meaning.DENIED: "grant that, so that a group without committed offsets can see what it has answered. "
            + _EITHER
        },
        otherwise=BrokerUnreachableError,
    )
    with reading.translating(), closing(make_consumer(config)) as consumer:
        last = _last_answers(consumer, config, log_of, unread, answers)
        # Where the last record that was answered is gone, nothing that is left was answered.
        doubled = {p for p, answer in last.items() if answer.offset >= log_of.begins[p] and not log_of.empty(p)}
        unproven = {p for p in doubled if not _proven(consumer, config, log_of, p, last[p])}
    if unproven or (doubled and config.on_lost_offsets == "stop"):
        raise OffsetsLostError(
            f"group {config.group} has no committed offsets for {', '.join(_names(doubled))}, though its answers "
            f"are on {' and '.join(config.output_topics)}: the offsets expired, or were deleted with the group or the "
            f"topic. {_because(unproven)}{_EITHER if unproven else _RESUME}"
        )
    # An answer for an offset that an empty partition has not reached is for another topic.
    starts = {p: answer.offset + 1 for p, answer in last.items() if answer.offset < log_of.ends[p]}
    if starts:
        log.warning(
            "committed offsets were lost, going on behind the answers of this group",
            starts={f"{partition.topic}/{partition.partition}": starts[partition] for partition in sorted(starts)},
        )
    return starts


def _because(unproven: Iterable[TopicPartition]) -> str:
    if names := ", ".join(_names(unproven)):
        return f"Whether the answers are for the records that stand there now can't be told of {names}. "
    return ""


def _last_answers(
    consumer: Consumer, config: StreamConfig, log_of: Bounds, unread: set[TopicPartition], answers: Bounds
) -> dict[TopicPartition, Answer]:
    """The answer to the last record of each partition that was answered."""
    outputs = list(answers.begins)
    # Those of committed transactions: nothing behind an open one is waited for.
    ends = consumer.end_offsets(outputs, timeout_ms=TIMEOUT_MS)
    near = _near_ends(consumer, log_of, unread, answers, ends)
    last = _read_last(consumer, config, unread, {p: range(near[p], ends[p]) for p in outputs})
    # The answer to a record that is gone may be older than all records that are there: it tells how many had none.
    if older := {p for p in unread - last.keys() if log_of.begins[p] > 0}:
        last |= _read_last(consumer, config, older, {p: range(answers.begins[p], near[p]) for p in outputs})
    return last


def _near_ends(
    consumer: Consumer,
    log_of: Bounds,
    unread: set[TopicPartition],
    answers: Bounds,
    ends: Mapping[TopicPartition, int],
) -> dict[TopicPartition, int]:
    """From where on the answers to records that are still there stand."""
    if (oldest_ms := _oldest_ms(consumer, log_of, unread)) is None:
        return dict(ends)
    if oldest_ms > time.time() * 1000 + CLOCKS_DIFFER_MS:
        return dict(answers.begins)  # by a clock that is wrong; the answers may be of any time before it
    if (since := oldest_ms - FROM_THE_FUTURE_MS) <= 0:
        return dict(answers.begins)
    found = consumer.offsets_for_times(dict.fromkeys(ends, since), timeout_ms=TIMEOUT_MS)
    return {p: max(begin, at.offset) if (at := found.get(p)) else ends[p] for p, begin in answers.begins.items()}


def _read_last(
    consumer: Consumer, config: StreamConfig, unread: set[TopicPartition], ranges: Mapping[TopicPartition, range]
) -> dict[TopicPartition, Answer]:
    last: dict[TopicPartition, Answer] = {}
    for record in read_ranges(consumer, ranges):
        found_answer = _read_answer(record, config)
        if found_answer is None:
            continue
        partition, answer = found_answer
        if partition in unread and (partition not in last or answer.offset > last[partition].offset):
            last[partition] = answer
    return last


def _oldest_ms(consumer: Consumer, log_of: Bounds, unread: set[TopicPartition]) -> int | None:
    """The timestamp, ms, of the oldest record that is there: no older answer is of interest. None without records."""
    ends = consumer.end_offsets(unread, timeout_ms=TIMEOUT_MS)
    ranges = [{partition: range(log_of.begins[partition], ends[partition])} for partition in unread]
    firsts = [next(read_ranges(consumer, its_own), None) for its_own in ranges]
    return min((first.timestamp for first in firsts if first), default=None)


def _proven(
    consumer: Consumer, config: StreamConfig, log_of: Bounds, partition: TopicPartition, answer: Answer
) -> bool:
    """Whether the record that was answered last stands where the answer says."""
    if answer.offset >= log_of.ends[partition]:
        return False
    there = read_ranges(consumer, {partition: range(answer.offset, answer.offset + 1)})
    record = next(there, None)
    return record is not None and answer.is_for(record, config.battles_framing)


def _read_answer(record: ConsumerRecord, config: StreamConfig) -> tuple[TopicPartition, Answer] | None:
    """Which record an answer of this group is for; None for answers of others."""
    if record.topic == config.answers_topic:
        if header(record, CE_SOURCE) != source_of(config.group):
            return None
        topic, partition, offset = ["", "", "", *(header(record, CE_ID) or "").rsplit("/", 2)][-3:]
        battle_id, original = (record.key or b"").decode(errors="replace"), ""
    else:
        group = header(record, HEADER_GROUP)
        if group not in {None, config.group}:
            return None
        topic, partition, offset = (
            header(record, name) or "" for name in (HEADER_TOPIC, HEADER_PARTITION, HEADER_OFFSET)
        )
        # Those of earlier versions name no group. Whether one is ours is not known, and so nothing is proven by it.
        battle_id, original = None, header(record, HEADER_ORIGINAL_TIMESTAMP) or "" if group else ""
    number, place = whole_number(partition), whole_number(offset)
    if topic != config.battles_topic or number is None or place is None:
        return None
    return TopicPartition(topic, number), Answer(place, record.timestamp, battle_id, whole_number(original))


def _names(partitions: Iterable[TopicPartition]) -> list[str]:
    return [f"{partition.topic}/{partition.partition}" for partition in sorted(partitions)]
