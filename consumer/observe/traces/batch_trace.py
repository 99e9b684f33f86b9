"""The span of one batch, with a child for each stage; it links the battles of the batch that are sampled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.trace import SpanKind, StatusCode, Tracer, set_span_in_context

from prefstream.consumer.client.protocols import ConsumerRecord
from prefstream.consumer.observe.traces.battle_trace import PARTITION_MOVED, BattleTrace
from prefstream.consumer.observe.traces.names import (
    ERROR_TYPE,
    JUDGE,
    MESSAGE_COUNT,
    OPERATION_NAME,
    OPERATION_TYPE,
    SAMPLED_BATTLES,
)
from prefstream.schemas import Battle, Preference

Place = tuple[int, int]
"""Partition and offset of a record of the battles topic."""


class BatchTrace:
    """What is told of one batch and of its sampled battles. One thread after the other has it, as the batch itself.

    Args:
        tracer: makes the spans.
        topic: of the battles.
        attributes: that all spans of messages have.
        size: battles of the batch, sampled or not.
        opened_at: when the first one came, in monotonic seconds.
        sampled: the records that are, each with its `traceparent`, if it has one.
        on_end: called when all its spans have ended.

    Attributes:
        unsettled: whether nobody knows how its transaction ended; set by who finds out.
    """

    def __init__(
        self,
        tracer: Tracer,
        topic: str,
        attributes: dict[str, str],
        size: int,
        opened_at: float,
        sampled: Sequence[tuple[ConsumerRecord, bytes | None]],
        on_end: Callable[[BatchTrace], None],
    ) -> None:
        self.unsettled = False
        self._tracer = tracer
        self._topic = topic
        self._attributes = attributes
        self._on_end = on_end
        self._ended = False
        self._epoch_ns = time.time_ns() - time.monotonic_ns()
        began = time.monotonic()
        self._span = tracer.start_span(
            f"batch {topic}",
            attributes={**attributes, MESSAGE_COUNT: size, SAMPLED_BATTLES: len(sampled)},
            start_time=self._ns(opened_at),
        )
        self._context = set_span_in_context(self._span)
        self._turns_ended = [began]
        processing = {**attributes, OPERATION_NAME: "process", OPERATION_TYPE: "process"}
        batch = self._span.get_span_context()
        self._battles: dict[Place, BattleTrace] = {}
        for record, producer in sampled:
            place = (record.partition, record.offset)
            if place in self._battles:
                continue  # read again while the batch was open: its partition went away and came back
            battle = BattleTrace(
                tracer, f"process {topic}", record, producer, processing, batch, start_ns=self._ns(began)
            )
            self._battles[place] = battle
            self._span.add_link(battle.context)
        self.stage("gather", opened_at, began)

    def answer(self, record: ConsumerRecord, battle: Battle, preference: Preference) -> bytes | None:
        """Note the answer to a battle, which is told once readers have it.

        Returns:
            The `traceparent` by which they go on with its trace; None where it has none.
        """
        trace = self._battles.get((record.partition, record.offset))
        if trace is None:
            return None
        trace.answer(battle, preference)
        return trace.traceparent

    def stage(self, name: str, began: float, ended: float) -> None:
        """A stage that the batch has gone through.

        Args:
            name: of the stage.
            began: in monotonic seconds.
            ended: likewise.
        """
        if not self._ended:
            self._tracer.start_span(name, self._context, start_time=self._ns(began)).end(self._ns(ended))

    def judged(self, judge: str, began: float, ended: float, failure: str | None) -> None:
        """A judge's turn; called in that judge's thread.

        Args:
            judge: its name.
            began: in monotonic seconds.
            ended: likewise.
            failure: the class of the error that it raised, if it did.
        """
        if self._ended:
            return
        self._turns_ended.append(ended)
        span = self._tracer.start_span(
            f"judge {judge}", self._context, attributes={JUDGE: judge}, start_time=self._ns(began)
        )
        if failure is not None:
            span.set_attribute(ERROR_TYPE, failure)
            span.set_status(StatusCode.ERROR, failure)
        span.end(self._ns(ended))

    def combined(self, ended: float) -> None:
        """The judges' answers are put together; that began when the last judge had ended."""
        self.stage("combine", max(self._turns_ended), ended)

    @contextmanager
    def attempt(self, messages: int) -> Iterator[None]:
        """A transaction: an attempt to send the messages and commit the offsets behind their battles.

        Args:
            messages: in the transaction.
        """
        operation: dict[str, str | int] = {OPERATION_NAME: "commit", OPERATION_TYPE: "settle", MESSAGE_COUNT: messages}
        span = self._tracer.start_span(
            f"commit {self._topic}", self._context, SpanKind.CLIENT, {**self._attributes, **operation}
        )
        try:
            yield
        except BaseException as error:
            span.set_attribute(ERROR_TYPE, type(error.__cause__ or error).__name__)
            span.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            span.end()

    def end(self, answers: Mapping[Place, str | None]) -> None:
        """The batch is dealt with.

        Args:
            answers: of the battles that readers have an answer to: the dead letter's reason, None for a preference. The
                others' partitions have moved.
        """
        end_ns = time.time_ns()
        for place, battle in self._battles.items():
            if place in answers:
                battle.commit(answers[place], end_ns)
            else:
                battle.drop(PARTITION_MOVED, end_ns)
        self._end(end_ns)

    def give_up(self, why: str) -> None:
        """End what has not ended: the stream ends first.

        Args:
            why: a stable code, or an error's class.
        """
        end_ns = time.time_ns()
        for battle in self._battles.values():
            battle.drop(why, end_ns, known=not self.unsettled)
        self._span.set_attribute(ERROR_TYPE, why)
        self._span.set_status(StatusCode.ERROR, why)
        self._end(end_ns)

    def _end(self, end_ns: int) -> None:
        self._ended = True
        self._span.end(end_ns)
        self._on_end(self)

    def _ns(self, monotonic_s: float) -> int:
        return self._epoch_ns + int(monotonic_s * 1e9)
