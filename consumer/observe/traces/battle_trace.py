"""The span of one battle: from when its batch is taken up until readers have its answer, or get none from us."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, TraceFlags, Tracer

from prefstream.consumer.client.protocols import ConsumerRecord
from prefstream.consumer.observe.traces.evaluations import evaluations_of
from prefstream.consumer.observe.traces.names import (
    COMMITTED,
    ERROR_TYPE,
    EVALUATION_RESULT,
    OFFSET,
    PARTITION,
    TOMBSTONE,
)
from prefstream.consumer.observe.traces.traceparent import parse_traceparent, write_traceparent
from prefstream.schemas import Battle, Preference

PARTITION_MOVED: Final = "partition_moved"
"""The error of a battle whose partition moved: who has it now answers."""


class BattleTrace:
    """A battle's span, a trace of its own; it links the producer's span, and the batch that the battle went with.

    Not the producer's child: the conventions want a link where messages are processed in batches.

    Args:
        tracer: makes the span.
        name: of the span.
        record: the battle as it was read.
        producer: the record's `traceparent`; None where it has none.
        attributes: that all battles of the stream have.
        batch: the span of the batch.
        start_ns: when it begins, since the epoch.

    Attributes:
        context: of the span.
        traceparent: for who goes on with the trace.
    """

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        record: ConsumerRecord,
        producer: bytes | None,
        attributes: dict[str, str],
        batch: SpanContext,
        start_ns: int,
    ) -> None:
        own: dict[str, str | int | bool] = {PARTITION: str(record.partition), OFFSET: record.offset}
        if record.value is None:
            own[TOMBSTONE] = True
        links = [Link(batch)] if producer is None else [Link(_remote(producer)), Link(batch)]
        self._span: Span = tracer.start_span(
            name, kind=SpanKind.CONSUMER, attributes={**attributes, **own}, links=links, start_time=start_ns
        )
        self.context = self._span.get_span_context()
        self.traceparent = write_traceparent(self.context.trace_id, self.context.span_id, int(self.context.trace_flags))
        self._evaluations: Sequence[dict[str, str | float]] = ()

    def answer(self, battle: Battle, preference: Preference) -> None:
        """Note the answer, which is told once readers have it."""
        self._evaluations = evaluations_of(battle, preference)

    def commit(self, reason: str | None, end_ns: int) -> None:
        """End: readers have the preference, or the dead letter with this reason."""
        self._span.set_attribute(COMMITTED, value=True)
        if reason is not None:
            self._fail(reason, "dead letter")
        else:
            for attributes in self._evaluations:
                self._span.add_event(EVALUATION_RESULT, attributes, end_ns)
        self._span.end(end_ns)

    def drop(self, why: str, end_ns: int, *, known: bool = True) -> None:
        """End without a commit.

        Args:
            why: a stable code, or an error's class.
            end_ns: when, since the epoch.
            known: False where the transaction may have been committed all the same.
        """
        if known:
            self._span.set_attribute(COMMITTED, value=False)
        self._fail(why, "not committed" if known else "nobody knows whether it was committed")
        self._span.end(end_ns)

    def _fail(self, code: str, what: str) -> None:
        self._span.set_attribute(ERROR_TYPE, code)
        self._span.set_status(StatusCode.ERROR, f"{what}: {code}")


def _remote(traceparent: bytes) -> SpanContext:
    trace_id, span_id, flags = parse_traceparent(traceparent)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
