"""Traces whose spans stay in the test's process."""

from __future__ import annotations

import time

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from prefstream.consumer.client.protocols import ConsumerRecord
from prefstream.consumer.observe.traces.batch_trace import BatchTrace
from prefstream.consumer.observe.traces.tracing import Tracing


class Traced:
    """Tracing, and what it has made.

    Args:
        ratio: share of the battles without a trace that get one.
    """

    def __init__(self, ratio: float = 1.0) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = Tracing(provider, ratio, topic="battles", group="g", client_id="g-one")

    def begin(self, *records: ConsumerRecord) -> BatchTrace:
        """A batch of which at least one battle is sampled."""
        trace = self.tracing.begin(records, time.monotonic())
        assert trace is not None
        return trace

    def named(self, name: str) -> list[ReadableSpan]:
        """Spans of a name that have ended, in the order in which they did."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The one span of a name."""
        (span,) = self.named(name)
        return span
