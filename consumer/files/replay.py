"""Feeds a file to a topic as battles or as votes, by an idempotent producer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from kafka.admin import ConfigResource, ConfigResourceType

from prefstream.consumer.client.clients import admin_client, make_producer
from prefstream.consumer.client.kafka_errors import KafkaError, KafkaTimeoutError, Meaning, Translator, meaning_of
from prefstream.consumer.client.topics import require_topic
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.files.observer import FileObserver
from prefstream.consumer.votes.file import FileVote, read_votes
from prefstream.consumer.votes.replay import votes_of_row
from prefstream.schemas import encode_battle, encode_vote
from prefstream.scoring.files.battles import read_battles
from prefstream.scoring.files.rows import FileRecord, RejectedRow

TOO_LARGE_FOR_TOPIC: Final = "too_large_for_topic"
"""Reason of a row that is larger than the topic takes."""

BATCH_BYTES: Final = 256 * 1024
"""Of one produce batch, where the topic takes as much; see `make_producer`."""

MAX_UNACKNOWLEDGED_BYTES: Final = 64 << 20
"""kafka-python buffers without a bound: a file larger than memory would end up in it when the broker is slower."""

GRACE_S: Final = 5.0
"""Over the delivery time-out, within which kafka-python should have reported on every record. It can miss one: a
record whose retries ended at about its time-out stayed without an answer (seen on 3.0.12)."""

CLOSE_TIMEOUT_S: Final = 5.0
"""Nothing is left to wait for by then, but kafka-python waits for ever for a record that it lost."""

_LIMIT_CONFIG: Final = "max.message.bytes"

_RowT = TypeVar("_RowT")

_Records: TypeAlias = Sequence[tuple[bytes | None, bytes]]
"""Keys and values that a row is sent as."""

PROGRESS_EVERY_ROWS: Final = 200
"""Often enough for a smooth bar at any rate that matters, rare enough to cost nothing."""


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """What a replay did.

    Attributes:
        delivered: records that the broker acknowledged.
        malformed: how many of them were rows that are no battle, sent as they are.
        rejected: rows that were not sent.
        seconds: from the first row to the last acknowledgement.
        complete: whether the file's end was reached.
    """

    delivered: int
    malformed: int
    rejected: int
    seconds: float
    complete: bool


@contextmanager
def topic_producer(connection: KafkaConnection, topic: str, **settings: Any) -> Iterator[Any]:
    """An idempotent producer for a topic, closed at the end.

    Args:
        connection: how to reach the brokers.
        topic: must exist: a producer would wait a minute for it, then say no more than "timeout".
        settings: kafka-python's, over those of `make_producer`.

    Raises:
        TopicMissingError: the topic does not exist, or may not be seen.
        BrokerUnreachableError: no broker answered.
    """
    limit = _record_limit_bytes(connection, topic)
    if limit is not None:
        # A record, or a batch of several, that the broker finds too large stops an idempotent producer for good
        # (seen on 3.0.12). With the topic's own bounds the producer refuses such a record alone.
        settings = {"max_request_size": limit, "batch_size": min(BATCH_BYTES, limit), **settings}
    producer = make_producer(connection, **settings)
    try:
        yield producer
    finally:
        # Whatever was sent was waited for, or the failure is on its way up; closing could only hide it.
        with suppress(KafkaError):
            producer.close(timeout=CLOSE_TIMEOUT_S)


def _record_limit_bytes(connection: KafkaConnection, topic: str) -> int | None:
    """The largest record that the topic takes; None where the broker does not tell."""
    with admin_client(connection) as admin:
        require_topic(connection, admin, topic, "WRITE")
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, [_LIMIT_CONFIG])
        described = admin.describe_configs([resource], config_filter="all")
    # Without the permission to see it, the answer has no entry.
    entry = described.get("topic", {}).get(topic, {}).get(_LIMIT_CONFIG)
    return int(entry["value"]) if entry else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """How a file is sent.

    Attributes:
        producer: an idempotent KafkaProducer, as of `topic_producer`; stays open.
        topic: where to.
        observer: is told of progress and rejected rows.
        stop: when set, nothing more is sent; what was sent is waited for.
        rate: rows per second; None as fast as it goes.
        delay: how long to wait before the first row.
        keep_malformed: send rows that can't be used as they are, without a key, instead of rejecting them.
    """

    producer: Any
    topic: str
    observer: FileObserver
    stop: threading.Event
    rate: float | None = None
    delay: timedelta = timedelta()
    keep_malformed: bool = False

    def battles(self, path: Path) -> ReplaySummary:
        """Send every battle of a file; the key is its id.

        Args:
            path: CSV, JSONL or Parquet.

        Raises:
            FileError: the file can't be used.
            StreamError: a record could not be delivered; the message says how many were.
        """
        return self._send(read_battles(path), lambda battle, _: [(battle.id.encode(), encode_battle(battle))])

    def votes(self, path: Path) -> ReplaySummary:
        """Send what people said of the battles of a file, a vote for each of them; the key is the battle's id.

        A voter without a name gets that of the row: sent a second time, a vote takes the place of the first.

        Args:
            path: CSV, JSONL or Parquet, of votes or of labelled battles.

        Raises:
            FileError: the file can't be used.
            StreamError: a record could not be delivered; the message says how many were.
        """

        def records(found: FileVote, line: int) -> _Records | RejectedRow:
            votes = votes_of_row(found, f"{path.name}:{line}", self.delay)
            if isinstance(votes, RejectedRow):
                return votes
            return [(vote.id.encode(), encode_vote(vote)) for vote in votes]

        return self._send(read_votes(path), records)

    def _send(
        self, rows: Iterable[FileRecord[_RowT]], to_records: Callable[[_RowT, int], _Records | RejectedRow]
    ) -> ReplaySummary:
        deliveries = _Deliveries(self.producer, self.topic)
        pace = _Pace(self.rate, self.stop, self.delay.total_seconds())
        rejected = malformed = count = 0
        complete = True
        try:
            for row in rows:
                if not pace.wait():
                    complete = False
                    break
                count += 1
                for warning in row.warnings:
                    self.observer.warned(row.line, warning)
                content = row.content if isinstance(row.content, RejectedRow) else to_records(row.content, row.line)
                if isinstance(content, RejectedRow):
                    refused = deliveries.send_all([(None, row.raw)]) if self.keep_malformed else content
                    malformed += refused is None
                else:
                    refused = deliveries.send_all(content)
                if refused is not None:
                    rejected += 1
                    self.observer.rejected(row.line, refused)
                if count % PROGRESS_EVERY_ROWS == 0:
                    self.observer.advanced(row.done_bytes, count)
        finally:
            deliveries.wait_all()
        return ReplaySummary(
            delivered=deliveries.delivered,
            malformed=malformed,
            rejected=rejected,
            seconds=max(0.0, time.perf_counter() - pace.began),
            complete=complete,
        )


class _Pace:
    """Lets rows pass at a steady rate, after a while, until told to stop.

    Attributes:
        began: when the first row may pass, by the performance counter.
    """

    def __init__(self, rate: float | None, stop: threading.Event, delay_s: float) -> None:
        self.began = time.perf_counter() + delay_s
        self._interval_s = 1 / rate if rate else 0.0
        self._stop = stop
        self._next = self.began

    def wait(self) -> bool:
        """Wait until the next row is due; False when told to stop."""
        pause_s = self._next - time.perf_counter()
        # A row that comes late does not move those behind it: the mean rate holds.
        self._next += self._interval_s
        if pause_s > 0:
            self._stop.wait(pause_s)
        return not self._stop.is_set()


class _Deliveries:
    """What became of the records that were sent. The producer's thread reports, the sending thread reads."""

    def __init__(self, producer: Any, topic: str) -> None:
        self.delivered = 0
        self._producer = producer
        self._topic = topic
        self._translator = Translator(
            f"writing to topic {topic}",
            acls=lambda _: f"Write on topic {topic}",
            remedies={Meaning.TOPIC_MISSING: "was it deleted meanwhile?"},
        )
        self._patience_s = producer.config["delivery_timeout_ms"] / 1000 + GRACE_S
        self._sent = 0
        self._unacknowledged_bytes = 0
        self._first_error: Exception | None = None
        self._changed = threading.Condition()

    def send_all(self, records: _Records) -> RejectedRow | None:
        """Send the records of one row, waiting while too much is under way.

        Returns:
            Why one of them can't be sent, None when all are on their way.

        Raises:
            StreamError: an earlier record could not be delivered.
        """
        for key, value in records:
            if (refused := self._send(key, value)) is not None:
                return refused
        return None

    def _send(self, key: bytes | None, value: bytes) -> RejectedRow | None:
        size = len(value)
        self._wait_until_below(MAX_UNACKNOWLEDGED_BYTES)
        self._count(sent=1, size=size)
        try:
            future = self._producer.send(self._topic, value=value, key=key)
        except KafkaError as error:
            if meaning_of(error) is not Meaning.TOO_LARGE:
                self._count(size=-size, error=error)
                return None
            self._count(sent=-1, size=-size)
            return RejectedRow(TOO_LARGE_FOR_TOPIC, f"its {size:,} bytes are more than topic {self._topic} takes")
        future.add_callback(lambda _metadata: self._count(size=-size, delivered=1))
        future.add_errback(lambda error: self._count(size=-size, error=error))
        return None

    def wait_all(self) -> None:
        """Wait until every record was acknowledged or has failed. The producer lingers for milliseconds only.

        Raises:
            StreamError: one has failed.
        """
        self._wait_until_below(1)

    def _wait_until_below(self, size: int) -> None:
        """Wait until fewer bytes than this are under way; raise when one record has failed, or was lost."""
        with self._changed:
            while self._unacknowledged_bytes >= size:
                if not self._changed.wait(self._patience_s):
                    self._first_error = self._first_error or KafkaTimeoutError()
                    break
            if self._first_error is not None:
                count = f"{self.delivered:,} records were delivered, {self._sent - self.delivered:,} were not"
                raise self._translator.error(self._first_error, count) from self._first_error

    def _count(self, *, sent: int = 0, size: int = 0, delivered: int = 0, error: Exception | None = None) -> None:
        with self._changed:
            self._sent += sent
            self.delivered += delivered
            self._unacknowledged_bytes += size
            self._first_error = self._first_error or error
            self._changed.notify_all()
