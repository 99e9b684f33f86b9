"""What the stream could not score: its dead letters of the last day by reason, and each new one as it comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from typing import Final
from uuid import UUID

from prefstream.consumer.board.report.stream_payloads import DeadLetterCounts, RecordPlace
from prefstream.consumer.board.watch.announcer import Announcer, Publish
from prefstream.consumer.board.watch.tally import Tally, known_reason
from prefstream.consumer.client.clients import make_consumer
from prefstream.consumer.client.connection_errors import explain, overheard
from prefstream.consumer.client.kafka_errors import KafkaError, Meaning, meaning_of
from prefstream.consumer.client.offsets import spans_since
from prefstream.consumer.client.protocols import ConsumerRecord, GroupConsumer, TopicPartition
from prefstream.consumer.client.silence import Silence
from prefstream.consumer.client.topics import find_partitions
from prefstream.consumer.config import TopicNames
from prefstream.consumer.dead_letters.reader import letter_of, reading
from prefstream.consumer.errors import BrokersSilentError, StreamError
from prefstream.scoring.moments import moment_of

MOST_READ_BACK: Final = 100_000
"""Dead letters that a start reads at most: some seconds of one core. Of a flood nobody needs to know more."""

POLL_MS: Final = 250
"""How soon a stop is heard while nothing comes."""

GAP_S: Final = 0.25
"""Between two polls: of a flood, pages are told four times a second, which is as much as they can show."""

MAX_RECORDS: Final = 5_000
"""Of a poll; the client bounds its bytes."""

FETCH_MAX_BYTES: Final = 4 * 1024 * 1024
"""Of all partitions in one fetch: only headers are wanted, but values come along."""

METADATA_MAX_AGE_MS: Final = 10_000
"""New partitions are found this soon, and that the topic was recreated."""

TIMEOUT_MS: Final = 10_000
"""A leader moves in about 9 s; what could not be asked by then is asked again later."""

SILENT_S: Final = 5.0
"""Brokers that answer nothing for so long are away, though one was asked each second."""

ASK_EVERY_S: Final = 1.0
"""How often that is, while none has answered for as long."""

_ANEW: Final = frozenset({Meaning.OFFSET_OUT_OF_RANGE, Meaning.LOG_TRUNCATED})
"""What was counted, or our place, is not there: all is counted anew."""


class DeadLetterWatch:
    """Counts what is on the topic, then what comes. Its thread calls `watch`; `counts` is for any.

    Args:
        names: the topics, and where they are.
        publish: is told of each input that becomes a dead letter from now on.
        most_read_back: what a start reads at most.
    """

    def __init__(self, names: TopicNames, publish: Publish, *, most_read_back: int = MOST_READ_BACK) -> None:
        self._names = names
        self._topic = names.dead_letters_topic
        self._most_read_back = most_read_back
        self._announcer = Announcer(names.battles_topic, publish)
        self._tally = Tally()
        self._topic_id: UUID | None = None
        self._next: dict[TopicPartition, int] = {}
        self._ends: Mapping[TopicPartition, int] = {}  # what stands before is not new
        self._cut_until_ms = 0  # letters from before may be missing: too many were there
        self._caught_up = False

    def counts(self) -> DeadLetterCounts:
        """Dead letters of the last day, as far as they are counted."""
        return self._tally.counts(complete=self._caught_up and self._cut_until_ms <= self._tally.since_ms)

    def watch(self, stop: threading.Event, tell: Callable[[StreamError | None], None]) -> None:
        """Read until a stop is asked for, or until the topic is one that must be taken up anew.

        Raises:
            StreamError: the topic can't be read now.
        """
        with reading(self._topic), overheard("kafka") as heard, closing(self._consumer()) as consumer:
            partitions = find_partitions(consumer, self._topic)
            self._take_up(consumer, partitions)
            silence = Silence(consumer.heard_at)
            while not self._is_another(consumer, partitions):
                try:
                    polled = consumer.poll(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
                except KafkaError as error:
                    if meaning_of(error) not in _ANEW:
                        raise
                    self._forget()
                    return
                self._count(polled)
                if (silent_s := silence.lasts_s()) > ASK_EVERY_S:
                    consumer.ask_for_topics()
                if silent_s > SILENT_S:
                    why = explain(list(heard), self._names) or "are they up?"
                    tell(BrokersSilentError(f"no broker at {self._names.bootstrap_servers} answers: {why}"))
                elif any(consumer.highwater(one) is not None for one in partitions):  # it may be read, indeed
                    tell(None)
                self._look_how_far(consumer)
                if stop.wait(GAP_S):
                    return

    def _consumer(self) -> GroupConsumer:
        consumer: GroupConsumer = make_consumer(
            self._names,
            client_id="prefstream-board-watch",
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            fetch_max_bytes=FETCH_MAX_BYTES,
        )
        return consumer

    def _take_up(self, consumer: GroupConsumer, partitions: list[TopicPartition]) -> None:
        """Read on where we were; at first, and in another topic of the name, from a day ago."""
        topic_id = consumer.topic_id(self._topic)
        if topic_id != self._topic_id:
            self._forget()
            self._topic_id = topic_id
        if not self._next:
            begins = consumer.beginning_offsets(partitions, timeout_ms=TIMEOUT_MS)
            ends = consumer.end_offsets(partitions, timeout_ms=TIMEOUT_MS)
            now_ms, since_ms = int(time.time() * 1000), self._tally.since_ms
            spans = {one: range(begins[one], ends[one]) for one in partitions}
            day = spans_since(consumer, spans, since_ms, timeout_ms=TIMEOUT_MS)
            read = newest_of(day, self._most_read_back)
            self._cut_until_ms = 0 if read == day else now_ms
            self._next = {one: offsets.start for one, offsets in read.items()}
            self._ends = ends
        consumer.assign(partitions)
        for partition in partitions:
            if partition in self._next:
                consumer.seek(partition, self._next[partition])
            else:  # added meanwhile
                consumer.seek_to_beginning(partition)

    def _forget(self) -> None:
        self._tally.clear()
        self._next, self._ends, self._caught_up = {}, {}, False

    def _is_another(self, consumer: GroupConsumer, partitions: Collection[TopicPartition]) -> bool:
        """Whether the topic was recreated, is gone, or has more partitions."""
        if not consumer.has_topic(self._topic):
            return True
        there = consumer.partitions_for_topic(self._topic) or ()
        topic_id = consumer.topic_id(self._topic)
        return len(there) != len(partitions) or (topic_id is not None and topic_id != self._topic_id)

    def _count(self, polled: Mapping[TopicPartition, list[ConsumerRecord]]) -> None:
        now_ms = int(time.time() * 1000)
        for partition, records in polled.items():
            for letter in map(letter_of, records):
                reason = known_reason(letter.reason)
                at_ms = min(max(0, letter.timestamp_ms), now_ms)  # of a wrong clock may come anything
                offset = letter.position.offset
                place = RecordPlace(topic=self._topic, partition=partition.partition, offset=offset)
                self._tally.add(reason, at_ms, place)
                if offset >= self._ends.get(partition, 0):
                    self._announcer.add(letter.origin, reason, moment_of(at_ms))
            self._next[partition] = records[-1].offset + 1
        self._announcer.publish()

    def _look_how_far(self, consumer: GroupConsumer) -> None:
        """Behind the last record may stand markers of transactions: the position tells."""
        if not self._caught_up:
            self._caught_up = all((consumer.known_position(one) or 0) >= end for one, end in self._ends.items())


def newest_of(spans: Mapping[TopicPartition, range], most: int) -> dict[TopicPartition, range]:
    """The last offsets of each partition, of all together at most so many; each partition gives the same share.

    Args:
        spans: offsets by partition.
        most: how many may be left.
    """
    every = sum(map(len, spans.values()))
    if every <= most:
        return dict(spans)
    return {one: offsets[len(offsets) - len(offsets) * most // every :] for one, offsets in spans.items()}
