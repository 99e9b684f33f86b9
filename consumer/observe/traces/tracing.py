"""Which battles are traced, and that every span ends, whatever ends the stream."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from opentelemetry.trace import TracerProvider

from prefstream.consumer.client.protocols import ConsumerRecord
from prefstream.consumer.observe.traces.batch_trace import BatchTrace
from prefstream.consumer.observe.traces.names import CLIENT_ID, DESTINATION, GROUP, SCHEMA_URL, SYSTEM
from prefstream.consumer.observe.traces.traceparent import is_sampled, producer_trace
from prefstream.scoring.version import own_version

GIVEN_UP: Final = "given_up"
"""The error of a battle that was in flight when the stream was stopped, and whose time to drain was over."""


class Tracing:
    """Traces batches and their battles. A context manager: what has not ended by its end ends with that said.

    A battle whose producer traces it is sampled as the producer's span is; any other by chance.

    Args:
        provider: makes spans, and exports them; whoever made it closes it afterwards.
        ratio: share of the battles without a trace that get one, 0 to 1.
        topic: of the battles.
        group: consumer group.
        client_id: of the consumer.
    """

    def __init__(self, provider: TracerProvider, ratio: float, *, topic: str, group: str, client_id: str) -> None:
        self._tracer = provider.get_tracer("prefstream", own_version(), SCHEMA_URL)
        self._ratio = ratio
        self._topic = topic
        self._attributes = {SYSTEM: "kafka", DESTINATION: topic, GROUP: group, CLIENT_ID: client_id}
        self._open: set[BatchTrace] = set()
        self._closed = False

    def begin(self, records: Sequence[ConsumerRecord], opened_at: float) -> BatchTrace | None:
        """Begin the spans of a batch; for any thread.

        Args:
            records: of the batch.
            opened_at: when the first one came, in monotonic seconds.

        Returns:
            None where none of its battles is sampled.
        """
        sampled = []
        for record in records:
            producer = producer_trace(record)
            if random.random() < self._ratio if producer is None else is_sampled(producer):  # noqa: S311 - no secret
                sampled.append((record, producer))
        if not sampled or self._closed:
            return None
        trace = BatchTrace(
            self._tracer, self._topic, self._attributes, len(records), opened_at, sampled, self._open.discard
        )
        self._open.add(trace)
        return trace

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for batch in tuple(self._open):
            batch.give_up(GIVEN_UP if kind is None else kind.__name__)
