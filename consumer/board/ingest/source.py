"""Both topics in: partitions assigned by hand, positions from the board's file, and what is lost told and passed.

No consumer group: the file alone knows how far it is. The reading thread calls all here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from uuid import UUID

import structlog

from prefstream.consumer.board.ingest.pace import Pace
from prefstream.consumer.board.store.records import Note, StoredOffset
from prefstream.consumer.client.acl import board_operations, spell
from prefstream.consumer.client.clients import patiently
from prefstream.consumer.client.connection_errors import explain
from prefstream.consumer.client.kafka_errors import KafkaError, Meaning, Translator, is_retriable, meaning_of
from prefstream.consumer.client.protocols import ConsumerRecord, GroupConsumer, OffsetAndMetadata, TopicPartition
from prefstream.consumer.client.silence import Silence
from prefstream.consumer.config import TopicNames
from prefstream.consumer.errors import BrokersSilentError, BrokerUnreachableError, StreamError, TopicMissingError
from prefstream.consumer.stream.partitions.topic_identity import TopicIdentity

log = structlog.get_logger(__name__)

BACKOFF_S: Final = 0.2
"""Wait after a passing fault of the broker: kafka-python has retried inside already."""

ASK_EVERY_S: Final = 1.0
"""How often brokers are asked about the topics while none has answered for as long."""

SILENT_S: Final = 5.0
"""Brokers that answer nothing for so long are away, though one was asked each second."""

TIMEOUT_MS: Final = 10_000
"""A leader moves in about 9 s; what could not be asked by then is asked again at the next poll."""


_Records: TypeAlias = Mapping[TopicPartition, Sequence[ConsumerRecord]]
_NONE: Final[_Records] = {}
_NOWHERE: Final[Mapping[TopicPartition, int]] = {}

_UNCLEAN: Final = "an unclean leader election?"
_ANEW: Final = "the new one is read from its beginning"


@dataclass(frozen=True, slots=True)
class Polled:
    """What one poll brought, and what the file is to hold once it is taken in.

    Attributes:
        preferences: records of that topic, those of a partition in order.
        votes: likewise.
        offsets: positions that moved.
        preferences_until: as `ReadProgress.preferences_until`.
        votes_until: as `ReadProgress.votes_until`.
        counters: records that nobody will read, by the counter of their topic.
        notes: of these, in words.
    """

    preferences: list[ConsumerRecord] = field(default_factory=list, repr=False)
    votes: list[ConsumerRecord] = field(default_factory=list, repr=False)
    offsets: list[StoredOffset] = field(default_factory=list)
    preferences_until: int | None = None
    votes_until: int | None = None
    counters: dict[str, int] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    @property
    def records(self) -> int:
        """How many came."""
        return len(self.preferences) + len(self.votes)


class BoardSource:
    """Polls preferences and votes.

    Args:
        consumer: without a group and without partitions; whoever made it closes it.
        names: the topics, and where they are.
        offsets: where reading goes on, as the file has it.
        heard: what kafka-python's log said lately: why it reaches nobody stands only there.

    Raises:
        BrokerUnreachableError: the brokers don't tell about the topics.
    """

    def __init__(
        self, consumer: GroupConsumer, names: TopicNames, offsets: Iterable[StoredOffset], *, heard: Iterable[str] = ()
    ) -> None:
        self._consumer = consumer
        self._names = names
        self._heard = heard
        self._topics = (names.preferences_topic, names.votes_topic)
        self._stored = {TopicPartition(one.topic, one.partition): one for one in offsets}
        self._identities = {topic: TopicIdentity(consumer, topic) for topic in self._topics}
        self._pace = Pace(consumer, names.preferences_topic, names.votes_topic)
        self._silence = Silence(consumer.heard_at)
        self._silent_s = 0.0
        self._ask_at = 0.0
        self._backoff_until = 0.0
        self._untold: StreamError | None = None
        self._assigned: set[TopicPartition] = set()
        self._unjudged: KafkaError | None = None  # told by the client once; what it means is not known yet
        self._notes: list[Note] = []
        self._counters: dict[str, int] = {}
        self._translator = Translator(
            f"reading {' and '.join(self._topics)}",
            acls=lambda _: ", ".join(spell(board_operations(names)[topic], topic) for topic in self._topics),
            remedies={Meaning.RECORD_DAMAGED: "delete the records up to it (kafka-delete-records), and start again"},
        )
        asking = Translator(f"asking for {' and '.join(self._topics)}", otherwise=BrokerUnreachableError)
        with asking.translating():
            for topic in self._topics:
                patiently(lambda topic=topic: consumer.partitions_for_topic(topic))  # type: ignore[misc]

    def poll(self, timeout_s: float, max_records: int) -> Polled:
        """Records that arrived; none when the time is up, or the brokers are away.

        Args:
            timeout_s: how long to wait for the first record, in seconds.
            max_records: at most so many.

        Raises:
            NotAuthorizedError: we may not read a topic.
            StreamError: any other fault that another poll can't mend.
        """
        self._untold = None
        self._listen()
        if (wait_s := self._backoff_until - time.monotonic()) > 0:
            time.sleep(min(wait_s, timeout_s))
            return self._nothing()
        records: _Records = _NONE
        try:
            if self._begin_anew_where_recreated():
                return self._nothing()
            self._take_up_partitions()
            self._judge()
            records = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=max_records)
            # What came may be of a topic that took the place of ours meanwhile.
            if records and self._begin_anew_where_recreated(records):
                return self._nothing()
        except KafkaError as error:
            self._mend(error)
        return self._polled(records)

    def _judge(self) -> None:
        """Meet once more what could not be judged before."""
        error, self._unjudged = self._unjudged, None
        if error is not None:
            self._mend(error)

    def committed(self, offsets: Iterable[StoredOffset]) -> None:
        """The file holds these from now on, and what was lost before them."""
        self._stored |= {TopicPartition(one.topic, one.partition): one for one in offsets}
        self._notes.clear()
        self._counters.clear()

    def next_offsets(self, topic: str) -> dict[int, int]:
        """What the file holds of a topic, by partition."""
        return {one.partition: one.next_offset for one in self._stored.values() if one.topic == topic}

    def unread_now(self) -> dict[TopicPartition, range]:
        """Offsets from what the file holds to each partition's end, as far as is known; asks nobody."""
        if self._silent_s > SILENT_S:
            return {}
        unread = {}
        for partition in self._assigned:
            stored, end = self._stored.get(partition), self._consumer.highwater(partition)
            done = stored.next_offset if stored else self._consumer.known_position(partition)
            if end is not None and done is not None:
                unread[partition] = range(done, max(done, end))
        return unread

    def unread(self) -> dict[TopicPartition, range]:
        """The offsets of every partition of both topics that are there now and that the file does not hold.

        Raises:
            StreamError: the brokers don't tell.
        """
        partitions = [
            TopicPartition(topic, number)
            for topic in self._topics
            for number in self._consumer.partitions_for_topic(topic) or ()
        ]
        with self._translator.translating():
            begins = self._consumer.beginning_offsets(partitions, timeout_ms=TIMEOUT_MS)
            ends = self._consumer.end_offsets(partitions, timeout_ms=TIMEOUT_MS)
        held = {one: stored.next_offset for one, stored in self._stored.items()}
        return {one: range(max(begins[one], held.get(one, 0)), ends[one]) for one in partitions}

    def done(self, unread: Mapping[TopicPartition, range]) -> tuple[int, int]:
        """How many offsets were polled since, or need not be, and of how many.

        Args:
            unread: from `unread`.
        """
        reached = {one: self._consumer.known_position(one) or 0 for one in unread if one in self._assigned}
        done = sum(len(range(span.start, min(span.stop, reached.get(one, 0)))) for one, span in unread.items())
        return done, sum(map(len, unread.values()))

    def obstacle(self) -> StreamError | None:
        """What keeps us from reading, as far as we know: the error that it becomes if it lasts."""
        if self._silent_s > SILENT_S:
            why = explain(list(self._heard), self._names) or "are they up?"
            return BrokersSilentError(f"no broker at {self._names.bootstrap_servers} answers: {why}")
        if gone := [topic for topic in self._topics if not self._consumer.has_topic(topic)]:
            return TopicMissingError(
                f"topic {', '.join(gone)} at {self._names.bootstrap_servers} is gone: was it deleted?"
            )
        return self._untold

    def _nothing(self) -> Polled:
        return self._polled(_NONE)

    def _polled(self, records: _Records) -> Polled:
        preferences, votes = self._topics
        until = self._pace.keep(self._assigned, records)
        return Polled(
            [record for partition, some in records.items() if partition.topic == preferences for record in some],
            [record for partition, some in records.items() if partition.topic == votes for record in some],
            self._moved(records),
            until[preferences],
            until[votes],
            dict(self._counters),
            list(self._notes),
        )

    def _moved(self, records: _Records) -> list[StoredOffset]:
        """Positions that are others than the file holds; behind the last record may stand transaction markers."""
        moved = []
        for partition in self._assigned:
            topic_id = self._identities[partition.topic].id
            position = self._consumer.known_position(partition)
            if some := records.get(partition):
                position = max(position or 0, some[-1].offset + 1)
            if position is None:
                continue
            named = None if topic_id is None else str(topic_id)
            now = StoredOffset(partition.topic, partition.partition, named, position)
            if self._stored.get(partition) != now:
                moved.append(now)
        return moved

    def _take_up_partitions(self) -> None:
        """Read all partitions that there are, each from where the file is; new ones from their first record."""
        found = {
            TopicPartition(topic, number)
            for topic in self._topics
            if self._consumer.has_topic(topic)
            for number in self._consumer.partitions_for_topic(topic) or ()
        }
        if new := sorted(found - self._assigned):
            self._consumer.assign(sorted(self._assigned | found))
            self._seek(new)
            self._assigned |= found
            log.info("reading", partitions=[f"{one.topic}/{one.partition}" for one in new])

    def _seek(self, partitions: Sequence[TopicPartition]) -> None:
        recreated = set()
        for partition in partitions:
            identity, stored = self._identities[partition.topic], self._stored.get(partition)
            identity.looks_recreated()  # learns the id
            if stored is not None and not _is_of_another(stored, identity.id):
                self._consumer.seek(partition, stored.next_offset)
                continue
            self._consumer.seek_to_beginning(partition)
            if stored is not None:
                recreated.add(partition.topic)
        for topic in sorted(recreated):
            self._lose(topic, "topic_recreated", 0, f"was recreated while nobody read it; {_ANEW}")

    def _begin_anew_where_recreated(self, polled: _Records = _NONE) -> bool:
        """Begin with topics that were deleted and created again; True where nothing of this poll is of use."""
        looks_so = [topic for topic, identity in self._identities.items() if identity.looks_recreated()]
        begun = set()
        for topic in looks_so:
            identity = self._identities[topic]
            if (recreated := identity.confirm()) is None:
                self._back_off(identity.due_s)
            elif recreated:
                self._begin_anew(topic)
                begun.add(topic)
        if looks_so:
            for partition, records in polled.items():
                if partition.topic not in begun and partition in self._assigned:
                    self._consumer.seek(partition, records[0].offset)  # read again later
        return bool(looks_so)

    def _begin_anew(self, topic: str) -> None:
        """Read a topic from its beginning: positions in the one before mean nothing in it."""
        unread = sum(len(offsets) for one, offsets in self.unread_now().items() if one.topic == topic)
        there = self._consumer.partitions_for_topic(topic) or set()
        self._assigned = {one for one in self._assigned if one.topic != topic or one.partition in there}
        self._consumer.assign(sorted(self._assigned))
        self._consumer.seek_to_beginning(*(one for one in self._assigned if one.topic == topic))
        self._consumer.forget_fetched()
        self._unjudged = None  # it was of positions that are no more
        identity = self._identities[topic]
        identity.adopt(self._consumer.topic_id(topic))
        self._lose(topic, "topic_recreated", unread, f"was recreated with about {unread} records unread; {_ANEW}")

    def _mend(self, error: KafkaError) -> None:
        """Do what makes the next poll succeed, or raise our own error."""
        match meaning_of(error):
            case Meaning.NO_OFFSET:
                self._consumer.seek_to_beginning(*error.args[0])
            case Meaning.OFFSET_OUT_OF_RANGE:
                self._meet_loss(error, error.args[0])
            case Meaning.LOG_TRUNCATED:
                diverging: dict[TopicPartition, OffsetAndMetadata | None] = error.divergent_offsets
                ours = {partition: self._consumer.known_position(partition) for partition in diverging}
                positions = {partition: position for partition, position in ours.items() if position is not None}
                self._meet_loss(error, positions, {one: at.offset for one, at in diverging.items() if at})
            case _ if is_retriable(error):
                self._untold = self._translator.error(error)
                log.warning("reading failed, retrying", error=type(error).__name__)
                self._back_off(BACKOFF_S)
            case _:
                raise self._translator.error(error) from error

    def _meet_loss(
        self,
        error: KafkaError,
        positions: Mapping[TopicPartition, int],
        diverging: Mapping[TopicPartition, int] = _NOWHERE,
    ) -> None:
        """Records at our positions are not there: say so, and go on with the first one that is.

        Args:
            error: that told of it.
            positions: where we are.
            diverging: from which offset on the log is another one than we have read.
        """
        for topic in {partition.topic for partition in positions}:
            recreated = self._identities[topic].confirm()
            if recreated is None:  # too early to tell: it is judged again
                self._back_off(self._identities[topic].due_s)
                self._unjudged = error
            if recreated is not False:
                return  # the next poll begins it anew
        try:
            begins = self._consumer.beginning_offsets(positions, timeout_ms=TIMEOUT_MS)
            ends = self._consumer.end_offsets(positions, timeout_ms=TIMEOUT_MS)
        except KafkaError as asking:
            if not is_retriable(asking):
                raise self._translator.error(asking) from asking
            self._back_off(BACKOFF_S)
            self._unjudged = error
            return
        for partition, position in positions.items():
            end = min(ends[partition], diverging.get(partition, ends[partition]))
            self._pass(partition, position, begins[partition], end)

    def _pass(self, partition: TopicPartition, position: int, begin: int, end: int) -> None:
        place = f"{partition.partition}"
        if position < begin:
            gone = begin - position
            self._consumer.seek(partition, begin)
            told = f"partition {place}: {gone} records from offset {position} on were deleted unread (retention)"
            self._lose(partition.topic, "deleted_unread", gone, told)
        elif position > end:
            self._consumer.seek(partition, end)
            told = f"partition {place}: nothing we know stands from {end} to our position {position}; {_UNCLEAN}"
            self._lose(partition.topic, "truncated", 0, told)

    def _lose(self, topic: str, kind: str, count: int, told: str) -> None:
        """Tell of records that nobody will read; the file holds it with the offsets behind them."""
        log.error("records lost, going on", topic=topic, kind=kind, records=count, what=told)
        counter = "lost_preferences" if topic == self._names.preferences_topic else "lost_votes"
        self._counters[counter] = self._counters.get(counter, 0) + count
        self._notes.append(Note(int(time.time() * 1000), kind, f"{topic} {told}"))

    def _listen(self) -> None:
        """How long nobody has answered; asks brokers about the topics where it has become quiet."""
        self._silent_s = self._silence.lasts_s()
        if self._silent_s > ASK_EVERY_S and time.monotonic() > self._ask_at:
            self._ask_at = time.monotonic() + ASK_EVERY_S
            self._consumer.ask_for_topics()

    def _back_off(self, seconds: float) -> None:
        self._backoff_until = max(self._backoff_until, time.monotonic() + seconds)


def _is_of_another(stored: StoredOffset, topic_id: UUID | None) -> bool:
    """Whether an offset means another topic than the one of that id, as far as both are known."""
    return stored.topic_id is not None and topic_id is not None and stored.topic_id != str(topic_id)
