"""The loop that ties source, panel and sink: read, publish, report, until told to stop.

It runs in one thread, the only one that touches Kafka's clients. Scoring happens in the pipeline's threads; when
enough batches are in flight, reading pauses and polling goes on, so that scoring may take minutes without losing the
group. Batches are committed in order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final
from uuid import UUID

import structlog
from kafka import OffsetAndMetadata, TopicPartition

from prefstream.consumer.client.watchdog import Watchdog
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import (
    BrokerUnreachableError,
    StalledError,
    StreamError,
    TopicMissingError,
    TransactionFailedError,
)
from prefstream.consumer.observe.metrics import StreamMetrics
from prefstream.consumer.stream.batch import Batcher
from prefstream.consumer.stream.dead_letter_limit import DeadLetterLimit, Window
from prefstream.consumer.stream.messages import Message, shrink
from prefstream.consumer.stream.offset_metadata import OffsetMetadata
from prefstream.consumer.stream.pipeline import Pipeline, Scored
from prefstream.consumer.stream.sink import AbortedError, Sink, UnsettledError
from prefstream.consumer.stream.source import Source

log = structlog.get_logger(__name__)

IDLE_POLL_S: Final = 0.25
"""Longest wait for records: bounds how late a signal to stop is seen."""

BUSY_POLL_S: Final = 0.01
"""Longest wait for records while a batch is scored: bounds how late its result is published."""

REPORT_EVERY_S: Final = 5.0
"""Lag changes slowly, and dashboards read every 15 s or so."""

RETRY_FIRST_S: Final = 0.1
"""First wait before an aborted transaction is tried again, doubled each time: most faults pass at once."""

RETRY_MOST_S: Final = 2.0
"""Longest such wait: a coordinator moves within seconds."""


class Stream:
    """Consumes battles, publishes preferences and dead letters, exactly once.

    Args:
        config: the settings.
        source: Kafka in.
        sink: Kafka out.
        pipeline: decodes, scores, composes.
        metrics: what operators see.
        watchdog: bounds polling, too: kafka-python's time-outs are not always kept.
        on_poll: called once per turn of the loop (liveness).
        on_obstacle: called with what keeps us from reading, or with None, each time that it changes.
        on_committed: called with each batch once it is visible to readers.
    """

    def __init__(
        self,
        config: StreamConfig,
        source: Source,
        sink: Sink,
        pipeline: Pipeline,
        metrics: StreamMetrics,
        watchdog: Watchdog,
        *,
        on_obstacle: Callable[[str | None], None] = lambda _: None,
        on_poll: Callable[[], None] = lambda: None,
        on_committed: Callable[[Scored], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._source = source
        self._sink = sink
        self._pipeline = pipeline
        self._metrics = metrics
        self._watchdog = watchdog
        self._on_obstacle = on_obstacle
        self._on_poll = on_poll
        self._on_committed = on_committed
        self._batcher = Batcher(config.max_batch_battles, config.max_batch_tokens, config.linger_ms / 1000)
        self._limit = DeadLetterLimit(config.dead_letter_limit, config.dead_letter_window, source.committed_note)
        self._stopping = threading.Event()
        self._aborted: Scored | None = None  # sent again before any later batch
        self._aborted_since: float | None = None
        self._retry_at = 0.0
        self._retry_wait_s = RETRY_FIRST_S
        self._unsettled: list[Message] = []  # of a transaction that may be committed, aborted or open
        self._report_at = 0.0
        self._obstacle: str | None = str(source.obstacle())
        self._free_until = time.monotonic()
        self._lagging: set[TopicPartition] = set()

    def stop(self) -> None:
        """Ask the loop to end; callable from any thread and from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Stream until `stop`, then finish what is in flight within `drain_seconds`.

        Raises:
            PrefstreamError: a lasting fault; nothing is lost, a new process goes on from the committed offsets.
        """
        self._sink.open()
        while not self._stopping.is_set():
            self._read()
            self._publish()
            self._require_free_way()
            self._report()
        self._drain()

    @property
    def _in_flight(self) -> int:
        return len(self._pipeline) + (self._aborted is not None)

    def _read(self) -> None:
        """Step 1: poll, and put closed batches into the pipeline."""
        self._on_poll()
        full = self._in_flight >= self._config.max_in_flight
        if full:
            self._source.pause()
            self._wait_for_results(IDLE_POLL_S)
            wait_s = 0.0
        else:
            self._source.resume()
            wait_s = BUSY_POLL_S if self._in_flight else IDLE_POLL_S
            if (due_s := self._batcher.wait_s()) is not None:
                wait_s = min(wait_s, due_s)
        # Polling keeps us in the group. While paused it returns nothing, unless it brings partitions along.
        with self._watchdog.guard("poll"):
            events = self._source.poll(wait_s, max_records=self._batcher.room)
        self._metrics.battles_consumed(len(events))
        for batch in self._batcher.add(events):
            self._pipeline.submit(batch)
        if not full and (batch_due := self._batcher.due()):
            self._pipeline.submit(batch_due)

    def _require_free_way(self) -> None:
        """A process that can't read does no work: who asks hears why, and after a while it ends."""
        now = time.monotonic()
        obstacle = self._source.obstacle()
        told = None if obstacle is None else str(obstacle)
        if told != self._obstacle:
            self._obstacle = told
            self._on_obstacle(told)
            if isinstance(obstacle, TopicMissingError):  # to be out of the group for a moment is everyday life
                log.error("reading is held up", why=told)
        if obstacle is None:
            self._free_until = now
        elif now - self._free_until > self._config.broker_timeout_s:
            raise obstacle

    def _wait_for_results(self, timeout_s: float) -> None:
        if self._aborted:
            time.sleep(min(timeout_s, max(0.0, self._retry_at - time.monotonic())))
        else:
            self._pipeline.wait_finished(timeout_s)

    def _publish(self) -> None:
        """Steps 3 to 5: publish scored batches, in order, an aborted one first."""
        if self._aborted and time.monotonic() < self._retry_at:
            return
        while scored := self._aborted or self._pipeline.take():
            if not self._try_publish(scored):
                return
        if self._pipeline.head_age_s > self._config.score_timeout_s:
            raise StalledError(
                f"a batch has been scored for more than {self._config.score_timeout_s:.0f} s; "
                "raise score_timeout_s if the judges are that slow"
            )

    def _try_publish(self, scored: Scored) -> bool:
        try:
            if self._unsettled and self._learn_outcome(scored):
                return True
            return self._publish_owned(scored)
        except AbortedError as aborted:
            self._metrics.transaction_aborted()
            self._retry_later(_shrink(scored, aborted.oversized) if aborted.oversized else scored, aborted)
        except (UnsettledError, BrokerUnreachableError) as error:
            self._retry_later(scored, error)
        return False

    def _publish_owned(self, scored: Scored) -> bool:
        membership = self._source.membership()
        owned = [message for message in scored.messages if membership.owns(message.event)]  # step 3
        partitions = {_partition(message) for message in owned}
        with self._watchdog.guard("committed offsets"):
            if owned and not (membership.joined and self._source.began_in_this_topic(partitions)):
                self._aborted = scored  # the next poll joins again, or tells what we lost
                self._retry_at = time.monotonic() + RETRY_FIRST_S
                return False
            windows = self._limit.check(owned)
        started = time.monotonic()
        if owned:
            try:
                self._sink.publish(owned, _offsets(owned, windows, self._source.topic_id), membership)  # step 4
            except UnsettledError:
                self._unsettled = owned
                raise
            self._limit.accept(windows)
        self._settle(scored, owned, time.monotonic() - started)
        return True

    def _learn_outcome(self, scored: Scored) -> bool:
        """Settle the transaction that nobody knows the end of: whether it was committed, and with it the batch."""
        self._sink.open()
        held, partitions = self._unsettled, {_partition(message) for message in self._unsettled}
        with self._watchdog.guard("committed offsets"):
            ends = {partition: self._source.committed_offset(partition) for partition in partitions}
        self._unsettled = []
        self._limit.forget(partitions)
        committed = all(message.event.record.offset < ends[_partition(message)] for message in held)
        log.info("transaction settled", committed=committed, battles=len(held))
        if committed:
            self._settle(scored, held, time.monotonic() - (self._aborted_since or time.monotonic()))
        else:
            self._metrics.transaction_aborted()
        return committed

    def _retry_later(self, scored: Scored, cause: StreamError) -> None:
        """Step 5: send the batch again after a while, before any later one."""
        now = time.monotonic()
        if self._aborted_since is None:
            self._aborted_since, self._retry_wait_s = now, RETRY_FIRST_S
        elif now - self._aborted_since > self._config.broker_timeout_s:
            raise TransactionFailedError(
                f"a batch could not be committed for {self._config.broker_timeout_s:.0f} s; last: {cause}"
            ) from cause
        self._aborted = scored
        self._retry_at = now + self._retry_wait_s
        self._retry_wait_s = min(RETRY_MOST_S, 2 * self._retry_wait_s)

    def _settle(self, scored: Scored, published: list[Message], commit_s: float) -> None:
        self._aborted = self._aborted_since = None
        if not published:
            log.info("batch dropped, its partitions moved", battles=len(scored.messages))
            self._metrics.dropped_stale(len(scored.messages))
            return
        metrics = self._metrics
        metrics.dropped_stale(len(scored.messages) - len(published))
        metrics.batch_scored(
            len(scored.messages), scored.padded_tokens, scored.tokenise_s, scored.queue_s, scored.inference_s
        )
        metrics.preferences_published(sum(message.reason is None for message in published))
        for message in published:
            if message.reason is not None:
                metrics.dead_letter(message.reason)
        metrics.batch_committed(commit_s, _ages_s(published))
        metrics.disagreements([answer.disagreement for answer in scored.answers])
        for judge in {judge for answer in scored.answers for judge in answer.left_out}:
            metrics.judge_left_out(judge)
        for answer in scored.answers:
            for opinion in answer.judges:
                if cut := opinion.truncation:
                    metrics.truncated(opinion.name, cut.dropped_prompt, cut.dropped_response_a, cut.dropped_response_b)
        log.info(
            "batch published",
            battles=len(published),
            stale=len(scored.messages) - len(published),
            inference_s=round(scored.inference_s, 3),
            commit_s=round(commit_s, 3),
        )
        self._on_committed(replace(scored, messages=tuple(published)))

    def _report(self) -> None:
        self._metrics.in_flight(self._in_flight)
        now = time.monotonic()
        if now < self._report_at:
            return
        self._report_at = now + REPORT_EVERY_S
        lags = self._source.lag()
        self._metrics.forget_partitions(self._lagging - lags.keys())
        self._lagging = set(lags)
        for partition, records in lags.items():
            self._metrics.lag(partition.topic, partition.partition, records)

    def _drain(self) -> None:
        """Finish what is in flight, or give it up: it is scored again by whoever reads on.

        A transaction that is unsettled is left to them, too: the coordinator may be away for longer than we have.
        """
        deadline = time.monotonic() + self._config.drain_seconds
        self._source.pause()
        while self._in_flight and not self._unsettled and time.monotonic() < deadline:
            self._on_poll()
            self._wait_for_results(BUSY_POLL_S)
            with self._watchdog.guard("poll"):
                self._source.poll(0, max_records=1)
            self._publish()
        if self._in_flight:
            log.warning("gave up batches in flight; they will be scored again", batches=self._in_flight)


def _offsets(
    messages: list[Message], windows: Mapping[TopicPartition, Window], topic_id: UUID | None
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Per partition, the offset behind its last record, and what is noted with it."""
    ends: dict[TopicPartition, int] = {}
    for message in messages:
        partition = _partition(message)
        ends[partition] = max(ends.get(partition, 0), message.event.record.offset + 1)
    bits = {partition: window.bits for partition, window in windows.items()}
    return {
        partition: OffsetAndMetadata(end, OffsetMetadata(topic_id, bits.get(partition, 0)).encode(), -1)
        for partition, end in ends.items()
    }


def _partition(message: Message) -> TopicPartition:
    return TopicPartition(message.event.record.topic, message.event.record.partition)


def _ages_s(messages: list[Message]) -> list[float]:
    """Seconds since each record was written; a record without a timestamp has no age."""
    now_s = time.time()
    return [
        now_s - message.event.record.timestamp / 1000 for message in messages if message.event.record.timestamp >= 0
    ]


def _shrink(scored: Scored, oversized: tuple[Message, ...]) -> Scored:
    """The batch with smaller forms of the messages that the broker found too large."""
    too_large = {id(message) for message in oversized}
    messages = []
    for message in scored.messages:
        smaller = shrink(message) if id(message) in too_large else message
        if smaller is None:
            record = message.event.record
            raise StreamError(
                f"the dead letter of {record.topic}/{record.partition}/{record.offset} is too large even without "
                "value, key and headers: raise max.message.bytes of the dead-letters topic"
            )
        messages.append(smaller)
    return replace(scored, messages=tuple(messages))
