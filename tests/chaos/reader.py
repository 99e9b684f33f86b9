"""What a reader downstream sees while faults strike: how long nothing new came, and whether anything came twice.

It reads with librdkafka and isolation level read_committed, in a thread of its own, all the while; the verifier reads
the same topics once more at the end. What the one saw and the other does not was never committed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from tests.chaos.verifier import headers

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


class Reader:
    """Reads the output topics for as long as it is open. Use it as a context manager.

    Args:
        bootstrap_servers: the brokers.
        topics: the output topics, with their numbers of partitions.
        preferences_topic: which of them holds the preferences.
        produced: how many input records there are by now, on the brokers or on their way to them; callable from any
            thread.
    """

    def __init__(
        self, bootstrap_servers: str, topics: Mapping[str, int], preferences_topic: str, produced: Callable[[], int]
    ) -> None:
        self._partitions = [
            TopicPartition(topic, number, OFFSET_BEGINNING) for topic in topics for number in range(topics[topic])
        ]
        self._preferences_topic = preferences_topic
        self._produced = produced
        self._seen: set[OutputPlace] = set()
        self._answers: Counter[str] = Counter()
        self._quiet_since: float | None = None
        self._longest_s = 0.0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._consumer = Consumer({"bootstrap.servers": bootstrap_servers, **SETTINGS})
        self._thread = threading.Thread(target=self._read, name="reader", daemon=True)

    def __enter__(self) -> Self:
        self._consumer.assign(self._partitions)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        self._consumer.close()

    @property
    def seen(self) -> int:
        """Records that it saw."""
        return len(self._seen)

    @property
    def twice(self) -> int:
        """Inputs of which it saw more than one answer."""
        with self._lock:
            return sum(count > 1 for count in self._answers.values())

    def take_silence(self) -> float:
        """The longest silence since this was last asked: seconds without a new record while an input had no answer."""
        with self._lock:
            longest_s, self._longest_s = self._longest_s, 0.0
            return longest_s

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
                records = self._consumer.consume(500, LOOK_S)
            with self._lock:
                self._note([record for record in records if record.error() is None], time.monotonic())

    def _note(self, records: Iterable[Message], now: float) -> None:
        """Count what is new, and measure the silence that it ends, or that goes on."""
        fresh = {_place(record): record for record in records if _place(record) not in self._seen}
        self._seen.update(fresh)
        self._answers.update(self._answered(record) for record in fresh.values())
        if self._quiet_since is not None:
            self._longest_s = max(self._longest_s, now - self._quiet_since)
        if len(self._seen) >= self._produced():
            self._quiet_since = None
        elif fresh or self._quiet_since is None:
            self._quiet_since = now

    def _answered(self, record: Message) -> str:
        """Which input a record answers, by its headers."""
        found = headers(record)
        if record.topic() == self._preferences_topic:
            return found.get("ce_id", b"").decode()
        return "/".join(
            found.get(f"__streams.errors.{part}", b"").decode() for part in ("topic", "partition", "offset")
        )


def _place(record: Message) -> OutputPlace:
    return record.topic() or "", record.partition() or 0, record.offset() or 0
