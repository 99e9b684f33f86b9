"""Who writes the battles: a plain producer, and transactional ones whose commits and aborts leave markers in the input.

A transaction is made in a thread of its own: where brokers are away its calls wait, and the supervisor must not.
"""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tests.chaos.world.verifier import EXPECTED
from tests.support.streams import battle_event, malformed_events

MALFORMED_SHARE: Final = 0.1

PLAIN_SHARE: Final = 0.6
COMMITTED_SHARE: Final = 0.3
"""Of the chunks; the others are aborted, and written beside what counts."""

MOST_IN_CHUNK: Final = 10
"""Small transactions: markers stand everywhere among the records."""

TRANSACTION_S: Final = 60
"""Longer than brokers are away, and than a machine with much else to do takes for a transaction."""

LEFT_OPEN_S: Final = 15
"""After so long the broker aborts what a producer has left open."""

CALL_S: Final = 30.0
"""Longest wait in a call of a transaction, which is made again as long as that makes sense."""

AGAIN_S: Final = 0.5
"""Wait before a transaction that failed is tried again."""

STOP_S: Final = 60.0


@dataclass(frozen=True)
class Record:
    """A record to write."""

    partition: int
    key: str
    value: bytes
    expected: str

    def send(self, producer: Producer, topic: str, **options: object) -> None:
        """Hand it to a producer."""
        producer.produce(
            topic,
            self.value,
            key=self.key,
            partition=self.partition,
            headers=[(EXPECTED, self.expected)],
            **options,
        )


class Upstream:
    """Writes to the input topic. Belongs to one thread.

    Args:
        client: settings of every client.
        topic: the input topic.
        transactional: whether some of the records come in transactions.
    """

    def __init__(self, client: Mapping[str, object], topic: str, *, transactional: bool) -> None:
        self._topic = topic
        self._written = 0
        self._numbered = 0
        self._refused: list[str] = []
        self._malformed = [value for value, _ in malformed_events(100) if value is not None]
        self.plain = Producer({**client, "enable.idempotence": True, "message.timeout.ms": 120_000})
        self._transactional = [
            _Transactional(client, topic, f"{topic}-upstream-{number}") for number in range(2 if transactional else 0)
        ]
        self._dying = _Transactional(client, topic, f"{topic}-upstream-dying", LEFT_OPEN_S)

    @property
    def produced(self) -> int:
        """Records that readers of committed ones see, now or once the brokers have them."""
        return self._written + sum(producer.committed for producer in self._transactional)

    @property
    def is_done(self) -> bool:
        """Whether every transaction that was asked for is over."""
        return all(producer.is_done for producer in (*self._transactional, self._dying))

    @property
    def says(self) -> str:
        """What the brokers said last of a transaction that did not end as it should."""
        return "; ".join(producer.says for producer in self._transactional if producer.says)

    @property
    def refused(self) -> Sequence[str]:
        """What the brokers said of records that they would not have."""
        return self._refused

    def produce(self, count: int, partitions: int, generator: random.Random) -> None:
        """Write so many records that count, a tenth of them malformed; aborted ones beside them."""
        while count > 0:
            records = self._make(min(count, MOST_IN_CHUNK), partitions, generator)
            draw = generator.random()
            if not self._transactional or draw < PLAIN_SHARE:
                count -= len(records)
                self._write(records)
            else:
                is_committed = draw < PLAIN_SHARE + COMMITTED_SHARE
                generator.choice(self._transactional).put(records, commit=is_committed)
                count -= len(records) if is_committed else 0

    def end_partitions(self, partitions: int, generator: random.Random, *, commit: bool) -> None:
        """Write a transaction that is the last thing in every partition."""
        records = [self._make(1, partitions, generator)[0] for _ in range(partitions)]
        placed = [Record(n, record.key, record.value, record.expected) for n, record in enumerate(records)]
        self._transactional[0].put(placed, commit=commit)

    def leave_open(self, partitions: int, generator: random.Random) -> None:
        """Write a transaction that nobody ends: the broker aborts it when its time is up."""
        self._dying.put(self._make(MOST_IN_CHUNK, partitions, generator), commit=None)

    def serve(self) -> None:
        """Let the plain producer tell what became of its records."""
        self.plain.poll(0)

    def close(self) -> None:
        """End the threads; what is not written yet is dropped."""
        for producer in (*self._transactional, self._dying):
            producer.close()

    def _make(self, count: int, partitions: int, generator: random.Random) -> list[Record]:
        records = []
        for _ in range(count):
            number, self._numbered = self._numbered, self._numbered + 1
            is_bad = generator.random() < MALFORMED_SHARE
            records.append(
                Record(
                    generator.randrange(partitions),
                    f"zqkey-{number}",
                    generator.choice(self._malformed) if is_bad else battle_event(number),
                    "dead letter" if is_bad else "preference",
                )
            )
        return records

    def _write(self, records: Sequence[Record]) -> None:
        for record in records:
            record.send(self.plain, self._topic, on_delivery=self._note_refused)
            self.plain.poll(0)
        self._written += len(records)

    def _note_refused(self, error: KafkaError | None, _: Message) -> None:
        """Called when the brokers have a record, or will not have it."""
        if error is not None:
            self._refused.append(str(error))


class _Transactional:
    """One transactional producer, in a thread of its own; each transaction is tried until it ended as it should."""

    def __init__(
        self, client: Mapping[str, object], topic: str, transactional_id: str, timeout_s: int = TRANSACTION_S
    ) -> None:
        self._settings = {
            **client,
            "transactional.id": transactional_id,
            "transaction.timeout.ms": timeout_s * 1000,
            "topic.metadata.refresh.interval.ms": 1_000,  # a partition may be new
        }
        self._topic = topic
        self._producer: Producer | None = None
        self._jobs: queue.Queue[tuple[Sequence[Record], bool | None]] = queue.Queue()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.committed = 0
        self.says = ""

    @property
    def is_done(self) -> bool:
        return self._jobs.unfinished_tasks == 0

    def put(self, records: Sequence[Record], *, commit: bool | None) -> None:
        """Have records written in a transaction; None leaves it open."""
        self._jobs.put((records, commit))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="upstream", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def _work(self) -> None:
        while not self._closing.is_set():
            with suppress(queue.Empty):
                records, commit = self._jobs.get(timeout=0.1)
                while not self._closing.is_set() and not self._tried(records, commit=commit):
                    pass
                self._jobs.task_done()

    def _tried(self, records: Sequence[Record], *, commit: bool | None) -> bool:
        """Whether the transaction ended as it should; if not, it has ended otherwise, or its successor ends it.

        One whose commit nobody answered may be there twice then: so may battles of an upstream that tries again.
        """
        try:
            producer = self._producer = self._producer or self._opened()
            producer.begin_transaction()
            for record in records:
                record.send(producer, self._topic)
            producer.flush(CALL_S)  # an aborted record should stand in the log, too
            if commit is None:
                self._producer = None  # as if it had died
                return True
            self._patiently(producer.commit_transaction if commit else producer.abort_transaction)
        except (KafkaException, BufferError) as error:
            self.says = str(error)
            self._abandon()
            return False
        self.committed += len(records) if commit else 0
        return True

    def _opened(self) -> Producer:
        producer = Producer(self._settings)
        self._patiently(producer.init_transactions)
        return producer

    def _patiently(self, call: Callable[[float], object]) -> None:
        """Make a call again as long as it says that this makes sense."""
        while True:
            try:
                call(CALL_S)
            except KafkaException as error:
                if not error.args[0].retriable() or self._closing.is_set():
                    raise
            else:
                return

    def _abandon(self) -> None:
        """Abort; where that is impossible a new producer of the same id does."""
        producer, self._producer = self._producer, None
        self._closing.wait(AGAIN_S)
        if producer is None:
            return
        try:
            producer.abort_transaction(CALL_S)
        except KafkaException:
            return
        self._producer = producer
