"""What a reader downstream sees while faults strike: how long nothing new came, and whether anything came twice.

It reads with librdkafka and isolation level read_committed, in a thread of its own, all the while; the verifier reads
the same topics once more at the end. What the one saw and the other does not was never committed.

It reads the input as well, and so knows what waits for an answer. Of the time without one it measures two things:
a *silence* is as long as any input waits, whatever is the matter; a *stall* only as long as an input waits in a
partition that a healthy process reads, and no broker is struck. Nothing excuses a stall: somebody could work and did
not, or worked and could not be seen.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from tests.chaos.world.verifier import Place, headers

LOOK_S: Final = 0.1
"""Longest wait for records: how exactly a silence is measured."""

QUIET: Final = {"log_level": 2}
"""That a broker is away is no news where brokers are killed."""

SETTINGS: Final = {
    **QUIET,
    "group.id": "reader",
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    # Its own waits should add little to the silences that it is there to measure: librdkafka would try a broker that
    # was away again after up to 10 s, and wait a minute for one that is frozen.
    "reconnect.backoff.max.ms": 500,
    "socket.timeout.ms": 3_000,
    "fetch.wait.max.ms": 100,
}

OutputPlace = tuple[str, int, int]
"""Topic, partition and offset of an output record."""


@dataclass(frozen=True)
class Sight:
    """What the reader saw, beside what there is at the end.

    Attributes:
        seen: records that it saw.
        twice: inputs of which it saw more than one answer.
        withdrawn: records that it saw and that are not there at the end: of transactions that were aborted.
        missed: records that are there at the end and that it did not see.
    """

    seen: int
    twice: int
    withdrawn: int
    missed: int

    @property
    def is_clean(self) -> bool:
        """Whether it saw every record once, and none that does not count."""
        return not (self.twice or self.withdrawn or self.missed)

    def __str__(self) -> str:
        return (
            f"a reader meanwhile saw {self.seen:,} records: twice {self.twice}, aborted {self.withdrawn}, "
            f"missed {self.missed}"
        )


@dataclass
class Stopwatch:
    """The longest time without an event while there was reason to expect one.

    Attributes:
        since: from when it counts now; None while there is no reason.
        longest_s: the longest that it counted until now.
    """

    since: float | None = None
    longest_s: float = 0.0

    def look(self, now: float, *, runs: bool, ends: bool) -> None:
        """Take note of what there is now.

        Args:
            now: the time, in seconds.
            runs: whether there is reason to expect an event.
            ends: whether one came since the last look.
        """
        if self.since is not None:
            self.longest_s = max(self.longest_s, now - self.since)
        if not runs:
            self.since = None
        elif ends or self.since is None:
            self.since = now

    def take(self) -> float:
        """The longest since this was last asked; what counts now goes on."""
        longest_s, self.longest_s = self.longest_s, 0.0
        return longest_s


class Reader:
    """Reads the input and the output topics for as long as it is open. Use it as a context manager.

    Args:
        bootstrap_servers: the brokers.
        input_topic: what is to be answered.
        topics: the output topics, with their numbers of partitions.
        preferences_topic: which of them holds the preferences.
        served: the partitions that healthy processes read while no broker is struck; callable from any thread.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        input_topic: str,
        topics: Mapping[str, int],
        preferences_topic: str,
        served: Callable[[], AbstractSet[int]] = frozenset,
    ) -> None:
        self._outputs = [(topic, number) for topic in topics for number in range(topics[topic])]
        self._next: dict[tuple[str, int], int] = {}
        self._input_topic = input_topic
        self._preferences_topic = preferences_topic
        self._served = served
        self._inputs: set[Place] = set()
        self._unanswered: dict[int, set[Place]] = defaultdict(set)
        self._input_partitions = 0
        self._assigned = 0
        self._seen: set[OutputPlace] = set()
        self._answers: Counter[Place] = Counter()
        self._silence = Stopwatch()
        self._stall = Stopwatch()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._consumer = Consumer({"bootstrap.servers": bootstrap_servers, **SETTINGS})
        self._thread = threading.Thread(target=self._read, name="reader", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        self._consumer.close()

    def read_input(self, partitions: int) -> None:
        """Read so many partitions of the input from now on."""
        self._input_partitions = partitions

    def note_inputs(self, places: Iterable[Place]) -> None:
        """Take note of inputs that are about to be deleted, seen or not."""
        with self._lock:
            self._note_inputs(places)

    @property
    def seen(self) -> int:
        """Records that it saw on the output topics."""
        return len(self._seen)

    @property
    def inputs(self) -> int:
        """Records that it saw on the input topic."""
        return len(self._inputs)

    @property
    def unanswered(self) -> int:
        """Inputs whose answer it has not seen yet."""
        with self._lock:
            return sum(map(len, self._unanswered.values()))

    @property
    def twice(self) -> int:
        """Inputs of which it saw more than one answer."""
        with self._lock:
            return sum(count > 1 for count in self._answers.values())

    def take_silence(self) -> float:
        """The longest silence since this was last asked: seconds without a new answer while any input had none."""
        with self._lock:
            return self._silence.take()

    def take_stall(self) -> float:
        """The longest stall since this was last asked: the same, but only while a healthy process had such an input."""
        with self._lock:
            return self._stall.take()

    def compare(self, records: Iterable[Message]) -> Sight:
        """Compare what it saw with what is there at the end.

        Args:
            records: all of the output topics.
        """
        there = {_place(record) for record in records}
        with self._lock:
            return Sight(
                seen=len(self._seen),
                twice=sum(count > 1 for count in self._answers.values()),
                withdrawn=len(self._seen - there),
                missed=len(there - self._seen),
            )

    def _read(self) -> None:
        while not self._closing.is_set():
            records: list[Message] = []
            with suppress(KafkaException):  # a broker that is away is what it is here for
                self._assign()
                records = self._consumer.consume(500, LOOK_S)
            served = self._served()
            with self._lock:
                self._note([record for record in records if record.error() is None], served, time.monotonic())

    def _assign(self) -> None:
        """Read what there is to read: all of it from where we are, when there is more than before."""
        wanted = [*self._outputs, *((self._input_topic, number) for number in range(self._input_partitions))]
        if len(wanted) != self._assigned:
            self._consumer.assign([TopicPartition(*part, self._next.get(part, OFFSET_BEGINNING)) for part in wanted])
            self._assigned = len(wanted)

    def _note(self, records: Iterable[Message], served: AbstractSet[int], now: float) -> None:
        """Count what is new, and measure the silence that it ends, or that goes on."""
        fresh = {_place(record): record for record in records if _place(record) not in self._seen}
        self._next |= {place[:2]: place[2] + 1 for place in fresh}
        inputs = [place for place in fresh if place[0] == self._input_topic]
        self._note_inputs(place[1:] for place in inputs)
        answers = fresh.keys() - inputs
        self._seen.update(answers)
        for place in answers:
            answered = self._answered(fresh[place])
            self._answers[answered] += 1
            self._unanswered[answered[0]].discard(answered)
        waiting = {partition for partition, places in self._unanswered.items() if places}
        self._silence.look(now, runs=bool(waiting), ends=bool(answers))
        self._stall.look(now, runs=not waiting.isdisjoint(served), ends=bool(answers))

    def _note_inputs(self, places: Iterable[Place]) -> None:
        for place in places:
            self._inputs.add(place)
            if place not in self._answers:
                self._unanswered[place[0]].add(place)

    def _answered(self, record: Message) -> Place:
        """Which input a record answers, by its headers."""
        found = headers(record)
        if record.topic() == self._preferences_topic:
            _, partition, offset = found.get("ce_id", b"/-1/-1").decode().rsplit("/", 2)
        else:
            partition, offset = (
                found.get(f"__streams.errors.{part}", b"-1").decode() for part in ("partition", "offset")
            )
        return int(partition), int(offset)


def _place(record: Message) -> OutputPlace:
    return record.topic() or "", record.partition() or 0, record.offset() or 0
