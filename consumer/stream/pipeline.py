"""Threads between Kafka in and Kafka out: one decodes and tokenises, some wait for the panel, one composes.

While one batch is scored the next one is prepared, and begun by each judge that is done with its part of the first: the
faster one does not wait for the slower. Results come out in the order in which batches went in. None of the threads
ever touches a Kafka client.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefstream.consumer.client.protocols import ConsumerRecord
from prefstream.consumer.client.values import unpacked
from prefstream.consumer.stream.batch import Batch
from prefstream.consumer.stream.choice.review import ReviewRule
from prefstream.consumer.stream.messages import Composer, Message, dead_letter
from prefstream.consumer.stream.partitions.assignment import Event
from prefstream.schemas import Battle, Framing, InvalidEventError, KafkaSource, Reason, Timings, decode_battle
from prefstream.schemas.cloud_event import content_type_of
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.panel.combine import PanelAnswer
from prefstream.scoring.panel.panel import EncodedBatch
from prefstream.scoring.panel.scorer import Scorer

if TYPE_CHECKING:
    from prefstream.consumer.observe.traces.batch_trace import BatchTrace
    from prefstream.consumer.observe.traces.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch, decoded and tokenised. `battles[i]` belongs to `events[i]`; what is no battle is in `refused`."""

    batch: Batch
    events: tuple[Event, ...]
    battles: tuple[Battle, ...]
    refused: tuple[Message, ...]
    encoded: EncodedBatch | None
    ready_at: float
    tokenise_s: float
    trace: BatchTrace | None
    scorer: Scorer


@dataclass(frozen=True, slots=True)
class JudgedBatch:
    """A batch with what the panel said of each of its battles.

    `inference_s` is what the slowest judge took for it, `queue_s` the rest of the time from when it was tokenised.
    """

    prepared: Prepared
    results: tuple[PanelAnswer | BattleTooLargeError, ...]
    queue_s: float
    inference_s: float


class _Turns:
    """How long each judge took for a batch, attempts that failed included; told on to a trace."""

    def __init__(self, trace: BatchTrace | None) -> None:
        self._trace = trace
        self._seconds: defaultdict[tuple[str, int], float] = defaultdict(float)

    def judged(self, judge: str, began: float, ended: float, failure: str | None) -> None:
        # A judge is its thread: of two panels each may have one of the same name, and both work at the same time.
        self._seconds[judge, threading.get_ident()] += ended - began
        if self._trace:
            self._trace.judged(judge, began, ended, failure)

    @property
    def longest_s(self) -> float:
        return max(self._seconds.values(), default=0.0)


@dataclass(frozen=True, slots=True)
class Scored:
    """A batch with one message per event, and the seconds it took.

    `queue_s` is how long, tokenised, it waited for the judges. `trace` is None where none of its battles is traced.
    """

    batch: Batch
    messages: tuple[Message, ...]
    answers: tuple[PanelAnswer, ...]
    padded_tokens: int
    queue_s: float
    tokenise_s: float
    inference_s: float
    trace: BatchTrace | None = None


def battle_of(record: ConsumerRecord, framing: Framing) -> Battle:
    """The battle that a record holds.

    Args:
        record: of the battles' topic.
        framing: what stands before a battle's JSON.

    Raises:
        InvalidEventError: it is no battle; its reason says why, its text holds nothing of the record.
    """
    return decode_battle(unpacked(record), framing=framing, content_type=content_type_of(record))


class Pipeline:
    """Prepares and scores batches in order.

    Args:
        scorer: the panel, until `use` names another.
        composer: writes the messages.
        overlap: batches that the panel may have at a time.
        framing: what stands before a battle's JSON.
        publish_models: pass on who wrote the responses.
        review: with which probability a battle is chosen for review; None where there is no review.
        tracing: traces battles; None where that is off.
    """

    def __init__(
        self,
        scorer: Scorer,
        composer: Composer,
        *,
        overlap: int = 1,
        framing: Framing = "none",
        publish_models: bool = True,
        review: ReviewRule | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._scorer = scorer
        self._tracing = tracing
        self._framing = framing
        self._publish_models = publish_models
        self._review = review
        self._composer = composer
        self._prepare_thread = ThreadPoolExecutor(1, "prepare")
        self._score_threads = ThreadPoolExecutor(overlap, "score")
        self._compose_thread = ThreadPoolExecutor(1, "compose")
        self._in_flight: deque[tuple[Scorer, Future[Scored]]] = deque()
        self._weight_bytes = 0
        self._head_since = time.monotonic()
        self._finished = threading.Event()

    def __len__(self) -> int:
        return len(self._in_flight)

    @property
    def weight_bytes(self) -> int:
        """About what the records in flight take of memory."""
        return self._weight_bytes

    @property
    def scoring(self) -> bool:
        """Whether a batch in flight is not scored yet, so that another one would wait for it."""
        return bool(self._in_flight) and not self._in_flight[-1][1].done()

    @property
    def head_age_s(self) -> float:
        """Seconds since the oldest batch in flight became the oldest; 0 when none is in flight."""
        return time.monotonic() - self._head_since if self._in_flight else 0.0

    def use(self, scorer: Scorer) -> None:
        """Score the next batches by another panel; those that are in flight stay with the one they were given to."""
        self._scorer = scorer

    def uses(self, scorer: Scorer) -> bool:
        """Whether a batch in flight was given to a panel, or the next one will be."""
        return scorer is self._scorer or any(scorer is given for given, _ in self._in_flight)

    def submit(self, batch: Batch) -> None:
        """Put a batch in; returns at once."""
        if not self._in_flight:
            self._head_since = time.monotonic()
        prepared = self._prepare_thread.submit(self._prepare, batch, self._scorer)
        judged = self._score_threads.submit(self._judge, prepared)
        scored = self._compose_thread.submit(self._compose, judged)
        scored.add_done_callback(lambda _: self._finished.set())
        self._in_flight.append((self._scorer, scored))
        self._weight_bytes += batch.weight_bytes

    def take(self) -> Scored | None:
        """The oldest batch in flight, if it is scored.

        Raises:
            JudgeFaultError: a judge failed for good.
        """
        if not self._in_flight or not self._in_flight[0][1].done():
            return None
        self._head_since = time.monotonic()
        _, finished = self._in_flight.popleft()
        scored = finished.result()
        self._weight_bytes -= scored.batch.weight_bytes
        return scored

    def wait_finished(self, timeout_s: float) -> None:
        """Wait until the oldest batch is scored, or the time is up."""
        self._finished.clear()
        if self._in_flight and not self._in_flight[0][1].done():
            self._finished.wait(timeout_s)

    def close(self) -> None:
        """Forget what is in flight. A forward pass can't be interrupted: its thread ends with it."""
        self._prepare_thread.shutdown(wait=False, cancel_futures=True)
        self._score_threads.shutdown(wait=False, cancel_futures=True)
        self._compose_thread.shutdown(wait=False, cancel_futures=True)

    def _prepare(self, batch: Batch, scorer: Scorer) -> Prepared:
        trace = self._begin_trace(batch)
        started = time.monotonic()
        events: list[Event] = []
        battles: list[Battle] = []
        refused: list[Message] = []
        for event in batch.events:
            try:
                battles.append(battle_of(event.record, self._framing))
            except InvalidEventError as error:
                refused.append(dead_letter(event, error.reason, error))
            else:
                events.append(event)
        decoded_at = time.monotonic()
        encoded = scorer.encode(battles) if battles else None
        ready_at = time.monotonic()
        if trace:
            trace.stage("decode", started, decoded_at)
            trace.stage("encode", decoded_at, ready_at)
        return Prepared(
            batch,
            tuple(events),
            tuple(battles),
            tuple(refused),
            encoded,
            ready_at=ready_at,
            tokenise_s=ready_at - started,
            trace=trace,
            scorer=scorer,
        )

    def _begin_trace(self, batch: Batch) -> BatchTrace | None:
        if self._tracing is None:
            return None
        return self._tracing.begin([event.record for event in batch.events], batch.opened_at)

    def _judge(self, preparing: Future[Prepared]) -> JudgedBatch:
        prepared = preparing.result()
        turns = _Turns(prepared.trace)
        results = prepared.scorer.score_encoded(prepared.encoded, on_judged=turns.judged) if prepared.encoded else []
        judged_at = time.monotonic()
        if prepared.trace and prepared.encoded:
            prepared.trace.combined(judged_at)
        waited_s = judged_at - prepared.ready_at - turns.longest_s
        return JudgedBatch(prepared, tuple(results), queue_s=max(0.0, waited_s), inference_s=turns.longest_s)

    def _compose(self, judging: Future[JudgedBatch]) -> Scored:
        judged = judging.result()
        prepared = judged.prepared
        trace = prepared.trace
        began = time.monotonic()
        timings = Timings(
            queue_s=judged.queue_s,
            tokenise_s=prepared.tokenise_s,
            inference_s=judged.inference_s,
            scored_at=datetime.now(UTC),
        )
        messages = list(prepared.refused)
        answers = []
        for event, battle, result in zip(prepared.events, prepared.battles, judged.results, strict=True):
            if isinstance(result, BattleTooLargeError):
                messages.append(dead_letter(event, Reason.TOO_LARGE_FOR_JUDGE, result))
                continue
            answers.append(result)
            record = event.record
            source = KafkaSource(topic=record.topic, partition=record.partition, offset=record.offset)
            preference = result.to_preference(battle, source, timings, publish_models=self._publish_models)
            if self._review is not None:
                preference = self._review.mark(preference)
            traceparent = trace.answer(record, battle, preference) if trace else None
            messages.append(self._composer.preference(event, preference, timings.scored_at, traceparent))
        if trace:
            trace.stage("compose", began, time.monotonic())
        return Scored(
            prepared.batch,
            tuple(messages),
            tuple(answers),
            prepared.encoded.padded_tokens if prepared.encoded else 0,
            timings.queue_s,
            timings.tokenise_s,
            timings.inference_s,
            trace,
        )
