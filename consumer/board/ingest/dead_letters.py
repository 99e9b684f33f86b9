"""Votes that are none, onto their dead letters' topic: each once, also where the process is killed in between.

A dead letter is delivered before the transaction that moves the offset behind its vote. Who is killed in between reads
that vote again; so the first dead letter after a start, and after a failure of which nobody knows how it ended, waits
until the topic was looked through from the place that the file keeps: what is there already is not sent again. Dead
letters name the record that they are of by topic, partition, offset and timestamp.

That holds for one board. Two that read the same votes write a dead letter each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog

from prefstream.consumer.board.ingest.decode import BadVote
from prefstream.consumer.board.store.records import StoredOffset
from prefstream.consumer.client.clients import make_producer
from prefstream.consumer.client.kafka_errors import KafkaError, Meaning, Translator, meaning_of
from prefstream.consumer.client.protocols import Delivery, Producer
from prefstream.consumer.config import TopicNames
from prefstream.consumer.dead_letters.reader import read_dead_letters
from prefstream.consumer.errors import BrokerUnreachableError
from prefstream.consumer.stream.messages import Message, dead_letter, shrink
from prefstream.consumer.stream.partitions.assignment import Event
from prefstream.schemas.dead_letter import whole_number

log = structlog.get_logger(__name__)

CLOSE_S: Final = 1.0
"""A stop does not wait longer for what was not delivered: its votes are read again."""

LOOK_S: Final = 0.02
"""Between two looks at what is under way."""

_Original = tuple[int, int, int]
"""Partition, offset and timestamp of a vote's record."""


class VoteDeadLetters:
    """The way to the topic of dead letters. Belongs to the thread that reads.

    Args:
        names: the topics, and where they are.
        offsets: what the file holds, among it how far the dead letters' topic has been looked through.
        stopping: whether a stop was asked for: then nothing is waited for any more.
    """

    def __init__(self, names: TopicNames, offsets: Iterable[StoredOffset], stopping: Callable[[], bool]) -> None:
        self._names = names
        self._topic = names.votes_dead_letters_topic
        self._ends = {one.partition: one.next_offset for one in offsets if one.topic == self._topic}
        self._stopping = stopping
        self._delivered: set[_Original] = set()
        self._known = False
        self._producer: Producer | None = None
        self._translator = Translator(f"writing {self._topic}", acls=lambda _: f"Write on topic {self._topic}")

    def send(self, votes: Sequence[BadVote], next_offsets: Mapping[int, int]) -> None:
        """Deliver dead letters, but for those that are there already.

        Args:
            votes: what is to become dead letters.
            next_offsets: of the votes' partitions, as they stand in the file.

        Raises:
            BrokerUnreachableError: not all were delivered, or a stop was asked for; to be tried again.
            StreamError: they can't be delivered.
        """
        if not votes:
            return
        if not self._known:
            self._look_through(next_offsets)
        messages = {
            _original(vote): dead_letter(Event.of(vote.record), vote.error.reason, vote.error)
            for vote in votes
            if _original(vote) not in self._delivered
        }
        try:
            self._deliver(messages)
        except KafkaError as error:
            self._forget()
            raise self._translator.error(error) from error
        except BrokerUnreachableError:
            self._forget()
            raise

    def offsets(self, next_offsets: Mapping[int, int]) -> list[StoredOffset]:
        """What the file is to hold of the dead letters' topic, in the transaction that moves the votes' offsets there.

        Args:
            next_offsets: of the votes' partitions, as that transaction leaves them.
        """
        self._delivered = {one for one in self._delivered if one[1] >= next_offsets.get(one[0], 0)}
        if self._delivered or not self._known:
            return []
        return [StoredOffset(self._topic, partition, None, end) for partition, end in self._ends.items()]

    def close(self) -> None:
        """Let go of the producer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=CLOSE_S)

    def _look_through(self, next_offsets: Mapping[int, int]) -> None:
        """Find out which dead letters were delivered, of votes whose offsets did not move."""
        for letter in read_dead_letters(self._names, self._topic, from_offsets=self._ends):
            self._ends[letter.position.partition] = letter.position.offset + 1
            original = letter.original
            if original is None or original.position.topic != self._names.votes_topic:
                continue
            _, partition, offset = original.position.topic, original.position.partition, original.position.offset
            written = whole_number(original.timestamp_ms)
            if offset >= next_offsets.get(partition, 0) and written is not None:
                self._delivered.add((partition, offset, written))
        self._known = True

    def _deliver(self, messages: Mapping[_Original, Message]) -> None:
        under_way: dict[_Original, tuple[Message, Delivery]] = {
            original: (message, self._send(message)) for original, message in messages.items()
        }
        while under_way:
            done = {original: sent for original, sent in under_way.items() if sent[1].is_done}
            for original, (message, delivery) in done.items():
                del under_way[original]
                smaller = shrink(message) if _is_too_large(delivery) else None
                if smaller is not None:
                    under_way[original] = (smaller, self._send(smaller))
                    continue
                self._note(delivery)
                self._delivered.add(original)
            if under_way and not done:
                if self._stopping():
                    raise BrokerUnreachableError(f"writing {self._topic} was not waited for")
                time.sleep(LOOK_S)

    def _send(self, message: Message) -> Delivery:
        if self._producer is None:
            self._producer = make_producer(self._names)
        return self._producer.send(self._topic, value=message.value, key=message.key, headers=message.headers)

    def _note(self, delivery: Delivery) -> None:
        """Remember where a dead letter stands; raises why it was not delivered."""
        placed = delivery.get()
        partition, offset = getattr(placed, "partition", None), getattr(placed, "offset", None)
        if isinstance(partition, int) and isinstance(offset, int):
            self._ends[partition] = max(self._ends.get(partition, 0), offset + 1)

    def _forget(self) -> None:
        """Nobody knows what was delivered: another producer finds out first."""
        self._known = False
        self.close()


def _original(vote: BadVote) -> _Original:
    return vote.record.partition, vote.record.offset, vote.record.timestamp


def _is_too_large(delivery: Delivery) -> bool:
    return delivery.exception is not None and meaning_of(delivery.exception) is Meaning.TOO_LARGE
