"""What a record of an output topic answers, by its own words, and where these contradict each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from prefstream.consumer.client.patches.unbounded_unpacking import Withheld
from prefstream.consumer.client.protocols import ConsumerRecord
from prefstream.consumer.client.values import place_of
from prefstream.consumer.dead_letters.reader import UNKNOWN_REASON
from prefstream.consumer.stream.messages import CE_ID, CE_SOURCE, source_of
from prefstream.schemas import ContractError, KafkaSource, Preference, decode_preference
from prefstream.schemas.dead_letter import (
    HEADER_GROUP,
    HEADER_OFFSET,
    HEADER_ORIGINAL_TIMESTAMP,
    HEADER_PARTITION,
    HEADER_REASON,
    HEADER_TOPIC,
    Reason,
    header,
    whole_number,
)

_REASONS: Final = frozenset(reason.value for reason in Reason)


@dataclass(frozen=True, slots=True)
class AuditedAnswer:
    """One preference or dead letter.

    Attributes:
        where: it stands, `topic/partition/offset`.
        timestamp_ms: its own.
        topic: of the record that it answers.
        partition: of that record.
        offset: of that record.
        preference: what was said; None for a dead letter.
        reason: of a dead letter; None for a preference.
        original_ms: the record's own timestamp, as a dead letter repeats it; None where it is not told.
        contradicts: what of it contradicts the rest; empty where nothing does.
    """

    where: str
    timestamp_ms: int
    topic: str
    partition: int
    offset: int
    preference: Preference | None = field(default=None, repr=False)
    reason: str | None = None
    original_ms: int | None = None
    contradicts: str = ""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A record that names no record which it answers, or is no answer.

    Attributes:
        where: it stands.
        why: it is none; nothing of its text.
    """

    where: str
    why: str


def read_preference(record: ConsumerRecord, group: str) -> AuditedAnswer | Malformed | None:
    """What a record of the preferences' topic answers; None where another group wrote it.

    Args:
        record: of that topic.
        group: whose answers are audited.
    """
    wrote = header(record, CE_SOURCE)
    if wrote is not None and wrote != source_of(group):
        return None
    where = place_of(record)
    value = record.value
    if value is None or isinstance(value, Withheld):
        return Malformed(where, "has no value that could be read")
    try:
        preference = decode_preference(value)
    except ContractError:
        return Malformed(where, "is no preference")
    source = preference.source
    if not isinstance(source, KafkaSource):
        return Malformed(where, "is of a row of a file")
    contradicts = []
    if wrote is None:
        contradicts.append("ce_source is missing")
    if header(record, CE_ID) != place_of(source):
        contradicts.append("ce_id is not its source")
    if record.key != preference.id.encode():
        contradicts.append("its key is not its id")
    return AuditedAnswer(
        where,
        record.timestamp,
        source.topic,
        source.partition,
        source.offset,
        preference=preference,
        contradicts=", ".join(contradicts),
    )


def read_dead_letter(record: ConsumerRecord, group: str, topic: str) -> AuditedAnswer | Malformed | None:
    """What a record of the dead letters' topic answers; None where another group wrote it, or for another topic.

    Args:
        record: of that topic.
        group: whose answers are audited. Early versions named none.
        topic: of the battles; several streams may share a topic of dead letters.
    """
    wrote = header(record, HEADER_GROUP)
    names = header(record, HEADER_TOPIC)
    if wrote not in {None, group} or (wrote is None and names != topic):
        return None
    where = place_of(record)
    partition, offset = (whole_number(header(record, name)) for name in (HEADER_PARTITION, HEADER_OFFSET))
    if names is None or partition is None or offset is None:
        return Malformed(where, "names no record")
    told = header(record, HEADER_REASON)
    contradicts = "" if told else f"{HEADER_REASON} is missing"
    reason = told if told in _REASONS else UNKNOWN_REASON
    return AuditedAnswer(
        where,
        record.timestamp,
        names,
        partition,
        offset,
        reason=reason,
        original_ms=whole_number(header(record, HEADER_ORIGINAL_TIMESTAMP)),
        contradicts=contradicts,
    )
