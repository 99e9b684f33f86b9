"""The header by which a trace goes on: read as it was written; what is none is no trace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from prefstream.consumer.observe.traces.traceparent import (
    TRACEPARENT,
    is_sampled,
    parse_traceparent,
    traceparent_of,
    write_traceparent,
)

TRACE_IDS = st.integers(1, 2**128 - 1)
SPAN_IDS = st.integers(1, 2**64 - 1)
FLAGS = st.integers(0, 255)
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@given(TRACE_IDS, SPAN_IDS, FLAGS)
def test_what_is_written_is_read_alike_by_us_and_by_opentelemetry(trace_id: int, span_id: int, flags: int) -> None:
    written = write_traceparent(trace_id, span_id, flags)
    assert traceparent_of([("other", b"x"), (TRACEPARENT, written)]) == written
    assert parse_traceparent(written) == (trace_id, span_id, flags)
    theirs = get_current_span(TraceContextTextMapPropagator().extract({TRACEPARENT: written.decode()}))
    context = theirs.get_span_context()
    assert (context.trace_id, context.span_id) == (trace_id, span_id)
    assert is_sampled(written) == context.trace_flags.sampled


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(TRACEPARENT, None)],
        [(TRACEPARENT, TRACE), (TRACEPARENT, TRACE)],
        [(TRACEPARENT, TRACE.upper())],
        [(TRACEPARENT, TRACE[:-1])],
        [(TRACEPARENT, b"00-" + b"0" * 32 + TRACE[35:])],
    ],
)
def test_several_or_a_wrong_one_are_none(headers: list[tuple[str, bytes | None]]) -> None:
    assert traceparent_of(headers) is None
