"""Whether every input came out exactly once, by somebody who shares no line of code with prefstream.

It reads with librdkafka, takes the input topic for the truth, and knows the contract from its documents alone: a
preference names its record in `source`, a dead letter in the headers of KIP-1034, with the record's value untouched.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition
from kafka import KafkaAdminClient

from tests.chaos.world.kcat import kcat_installed, places_by_kcat

EXPECTED: Final = "chaos.expected"
"""Header of an input record: `preference` or `dead letter`, what its value must become."""

READ_S: Final = 60.0
"""Longest silence while a topic is read to its end."""

Place = tuple[int, int]
"""Partition and offset of an input record."""


@dataclass
class Verdict:
    """What the verifier found.

    Attributes:
        inputs: records on the input topic.
        preferences: records on the preferences topic.
        dead_letters: records on the dead letters topic.
        lost: inputs without an answer.
        duplicated: inputs with more than one.
        unaccounted: answers to what is not on the input topic.
        out_of_contract: answers that are not what the contract says, each with the reason.
        kcat: inputs of which kcat counts more or fewer preferences; None where it is not installed.
        retried: inputs that are dead letters sent back; they are in `inputs`, too.
        retries_lost: dead letters that are remembered as sent back and did not come.
        retries_unasked: records sent back more often than is remembered.
        reviews: records on the review topic.
        reviews_lost: inputs whose preference says that it was chosen for review, and that are not there.
        reviews_uncalled: inputs that are there once too often: twice, not chosen, or not as their preference is.
    """

    inputs: int = 0
    preferences: int = 0
    dead_letters: int = 0
    lost: list[Place] = field(default_factory=list)
    duplicated: list[Place] = field(default_factory=list)
    unaccounted: list[Place] = field(default_factory=list)
    out_of_contract: list[str] = field(default_factory=list)
    kcat: list[Place] | None = None
    retried: int = 0
    retries_lost: list[str] = field(default_factory=list)
    retries_unasked: list[str] = field(default_factory=list)
    reviews: int = 0
    reviews_lost: list[Place] = field(default_factory=list)
    reviews_uncalled: list[Place] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether each input has exactly one answer, and each answer is as it should be."""
        wrong = self.lost or self.duplicated or self.unaccounted or self.out_of_contract or self.kcat
        beside = self.retries_lost or self.retries_unasked or self.reviews_lost or self.reviews_uncalled
        return self.inputs > 0 and not (wrong or beside)

    def __str__(self) -> str:
        kcat = "was not asked" if self.kcat is None else f"counts otherwise: {self.kcat[:3]}" if self.kcat else "agrees"
        return (
            f"{self.inputs:,} inputs: {self.preferences:,} preferences, {self.dead_letters:,} dead letters; "
            f"lost {len(self.lost)}, duplicated {len(self.duplicated)}, unaccounted {len(self.unaccounted)}, "
            f"out of contract {len(self.out_of_contract)} {self.out_of_contract[:3] or ''}".rstrip()
            + f"; kcat {kcat}; sent back {self.retried:,}: lost {len(self.retries_lost)}, "
            f"unasked {len(self.retries_unasked)}; for review {self.reviews:,}: lost {len(self.reviews_lost)}, "
            f"uncalled {len(self.reviews_uncalled)}"
        )


def verify(
    bootstrap_servers: str,
    input_topic: str,
    preferences_topic: str,
    dead_letters_topic: str,
    review_topic: str | None = None,
    deleted: Mapping[Place, Message] | None = None,
    retry_group: str | None = None,
) -> Verdict:
    """Read all topics from their beginning to their end, as a read_committed reader, and compare.

    Args:
        bootstrap_servers: the brokers.
        input_topic: the truth.
        preferences_topic: where battles are answered.
        dead_letters_topic: where what is no battle is answered.
        review_topic: where preferences that say they were chosen stand once more; None where there is none.
        deleted: records that were read from the input topic before they were deleted from it.
        retry_group: the group that remembers which dead letters were sent back; None where none were.

    Raises:
        TimeoutError: a topic could not be read to its end.
    """
    inputs = dict(deleted or {}) | read_places(bootstrap_servers, input_topic)
    verdict = Verdict(inputs=len(inputs))
    seen: Counter[Place] = Counter()
    preferences = read(bootstrap_servers, preferences_topic)
    for record in preferences:
        verdict.preferences += 1
        _count(record, _preference(record, input_topic), "preference", inputs, seen, verdict)
    if kcat_installed():
        verdict.kcat = _differing(seen, places_by_kcat(bootstrap_servers, preferences_topic))
    dead_letters = read(bootstrap_servers, dead_letters_topic)
    for record in dead_letters:
        verdict.dead_letters += 1
        _count(record, _dead_letter(record, input_topic, inputs), "dead letter", inputs, seen, verdict)
    verdict.lost = sorted(inputs.keys() - seen.keys())
    verdict.duplicated = sorted(place for place, count in seen.items() if count > 1)
    verdict.unaccounted = sorted(seen.keys() - inputs.keys())
    if review_topic is not None:
        _compare_reviews(preferences, read(bootstrap_servers, review_topic), verdict)
    if retry_group is not None:
        remembered = read_remembered(bootstrap_servers, dead_letters_topic, retry_group)
        sent = Counter(_retry(letter, 1) for letter in dead_letters if remembered(letter))
        came = Counter(retry for record in inputs.values() if (retry := _retry(record))[1] > 0)
        verdict.retried = came.total()
        verdict.retries_lost = sorted(map(str, (sent - came).elements()))
        verdict.retries_unasked = sorted(map(str, (came - sent).elements()))
    return verdict


def _compare_reviews(preferences: list[Message], reviews: list[Message], verdict: Verdict) -> None:
    """Whether each preference that says it was chosen is for review once, the very same, and no other."""
    chosen: Counter[Any] = Counter()
    for record in preferences:
        review = json.loads(record.value() or b"{}").get("review", {})
        if not 0 < review.get("probability", 0) <= 1:
            verdict.out_of_contract.append(f"preference {record.partition()}/{record.offset()}: tells no review")
        elif review["chosen"]:
            chosen[_whole(record)] += 1
    there = Counter(map(_whole, reviews))
    verdict.reviews = there.total()
    verdict.reviews_lost = sorted(whole[0] for whole in (chosen - there).elements())
    verdict.reviews_uncalled = sorted(whole[0] for whole in (there - chosen).elements())


def _whole(record: Message) -> tuple[Place, bytes, bytes, tuple[tuple[str, bytes], ...]]:
    """Which input a preference answers, and all that was sent."""
    found = headers(record)
    _, partition, offset = found.get("ce_id", b"/-1/-1").decode().rsplit("/", 2)
    place = (int(partition), int(offset))
    return place, record.key() or b"", record.value() or b"", tuple(sorted(found.items()))


def read_remembered(bootstrap_servers: str, dead_letters_topic: str, group: str) -> Callable[[Message], bool]:
    """Tells of dead letters whether they are remembered as sent back.

    The group's offset says "all before", its metadata holds a bitmap of those from there on: `sent:`, then base 85 of
    zlib.

    Args:
        bootstrap_servers: the brokers.
        dead_letters_topic: whose records were sent back.
        group: the one that remembers.
    """
    # Not by confluent-kafka: 2.16.1 writes and reads notes past their end.
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers.split(","))) as admin:
        committed = {
            partition.partition: at
            for partition, at in admin.list_group_offsets(group)[group].items()
            if partition.topic == dead_letters_topic and at.offset >= 0
        }
    bitmaps = {
        partition: int.from_bytes(zlib.decompress(base64.b85decode(at.metadata.removeprefix("sent:"))), "little")
        for partition, at in committed.items()
        if at.metadata
    }

    def is_remembered(letter: Message) -> bool:
        partition = letter.partition() or 0
        if partition not in committed:
            return False
        beyond = (letter.offset() or 0) - committed[partition].offset
        return beyond < 0 or bool(bitmaps.get(partition, 0) >> beyond & 1)

    return is_remembered


def _retry(record: Message, more: int = 0) -> tuple[bytes, int]:
    """A record's key, and how often it was sent back, and `more`."""
    return record.key() or b"", int(headers(record).get("prefstream.retries", b"0")) + more


def read_places(bootstrap_servers: str, topic: str) -> dict[Place, Message]:
    """As `read`, by place."""
    return {(record.partition(), record.offset()): record for record in read(bootstrap_servers, topic)}


def read(bootstrap_servers: str, topic: str) -> list[Message]:
    """Every record of a topic that a read_committed reader sees.

    Raises:
        TimeoutError: nothing came for a minute, and the end was not reached.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "verifier",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        partitions = set(consumer.list_topics(topic, timeout=READ_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        records: list[Message] = []
        while partitions:
            record = consumer.poll(READ_S)
            if record is None:
                raise TimeoutError(f"{topic}: nothing came for {READ_S:.0f} s, partitions left: {sorted(partitions)}")
            if (error := record.error()) is None:
                records.append(record)
            elif error.code() == KafkaError._PARTITION_EOF:
                partitions.discard(record.partition())
        return records
    finally:
        consumer.close()


def _differing(one: Counter[Place], other: Counter[Place]) -> list[Place]:
    return sorted(place for place in one.keys() | other.keys() if one[place] != other[place])


def _count(
    record: Message,
    answer: tuple[Place, str | None] | str,
    kind: str,
    inputs: dict[Place, Message],
    seen: Counter[Place],
    verdict: Verdict,
) -> None:
    where = f"{kind} {record.partition()}/{record.offset()}"
    if isinstance(answer, str):
        verdict.out_of_contract.append(f"{where}: {answer}")
        return
    place, fault = answer
    seen[place] += 1
    if fault:
        verdict.out_of_contract.append(f"{where}: {fault}")
    if place in inputs and (expected := headers(inputs[place]).get(EXPECTED, kind.encode()).decode()) != kind:
        verdict.out_of_contract.append(f"{where}: should be a {expected}")


def _preference(record: Message, input_topic: str) -> tuple[Place, str | None] | str:
    """The input that a preference answers, and what is wrong with it; only the latter if it names none."""
    try:
        preference = json.loads(record.value() or b"")
        source, probabilities = preference["source"], preference["probabilities"]
        place = (int(source["partition"]), int(source["offset"]))
        shares = [float(probabilities[outcome]) for outcome in ("model_a", "model_b", "tie")]
    except (ValueError, KeyError, TypeError) as error:
        return f"is none: {error!r}"
    if source["topic"] != input_topic:
        return f"is of the topic {source['topic']}"
    wanted = f"{input_topic}/{place[0]}/{place[1]}"
    if headers(record).get("ce_id", b"").decode() != wanted:
        return place, "ce_id does not name its input"
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        return place, f"probabilities sum to {sum(shares)}"
    if (record.key() or b"").decode() != preference["id"]:
        return place, "the key is not the battle's id"
    return place, None


def _dead_letter(record: Message, input_topic: str, inputs: dict[Place, Message]) -> tuple[Place, str | None] | str:
    """The input that a dead letter keeps, and what is wrong with it; only the latter if it names none."""
    found = headers(record)
    try:
        topic = found["__streams.errors.topic"].decode()
        place = (int(found["__streams.errors.partition"]), int(found["__streams.errors.offset"]))
    except (KeyError, ValueError) as error:
        return f"names no input: {error!r}"
    if topic != input_topic:
        return f"is of the topic {topic}"
    if not found.get("prefstream.reason"):
        return place, "gives no reason"
    original = inputs.get(place)
    if original is not None and (original.value(), original.key()) != (record.value(), record.key()):
        return place, "is not the record as it came"
    return place, None


def headers(record: Message) -> dict[str, bytes]:
    """A record's headers, less those without a value."""
    found: list[tuple[str, Any]] = record.headers() or []
    return {name: content for name, content in found if content is not None}
