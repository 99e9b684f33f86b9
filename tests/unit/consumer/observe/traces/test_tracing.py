"""Which battles are traced, and how their spans and those of their batch end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from prefstream.consumer.client.protocols import ConsumerRecord
from prefstream.consumer.observe.traces.traceparent import parse_traceparent
from prefstream.schemas import Battle
from tests.support.samples import a_preference
from tests.support.streams import make_event
from tests.support.traced import Traced

SAMPLED = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOT_SAMPLED = SAMPLED[:-2] + b"00"
BATTLE = Battle(id="1", prompt="zqprompt", response_a="zqa", response_b="zqb", response_id_a="chat-1")


@pytest.fixture
def traced() -> Iterator[Traced]:
    traced = Traced()
    with traced.tracing:
        yield traced


def record(traceparent: bytes | None = None, offset: int = 5, **fields: Any) -> ConsumerRecord:
    headers = [] if traceparent is None else [("traceparent", traceparent)]
    return make_event(offset=offset, headers=headers, **fields).record


# --- who is traced -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_battle_whose_producer_traces_is_traced_as_the_producer_says(ratio: float) -> None:
    tracing = Traced(ratio).tracing
    assert tracing.begin([record(NOT_SAMPLED)], 0.0) is None
    assert tracing.begin([record(SAMPLED)], 0.0) is not None


@pytest.mark.parametrize("traceparent", [None, b"zq no trace"])
def test_of_battles_without_a_trace_a_share_is_traced(traceparent: bytes | None) -> None:
    assert Traced(0.0).tracing.begin([record(traceparent)], 0.0) is None
    assert Traced(1.0).tracing.begin([record(traceparent)], 0.0) is not None
    half = Traced(0.5)
    batch = half.begin(*(record(traceparent, offset) for offset in range(2_000)))
    batch.end({})
    assert 800 < len(half.named("process battles")) < 1_200  # nine standard deviations


# --- what a span says ----------------------------------------------------------------------------------------------


def test_a_battle_is_a_trace_of_its_own_that_links_producer_and_batch(traced: Traced) -> None:
    batch = traced.begin(record(SAMPLED, 5), record(None, 6))
    batch.end({(0, 5): None, (0, 6): None})
    first, second = traced.named("process battles")
    whole = traced.one("batch battles")
    trace_id, span_id, _ = parse_traceparent(SAMPLED)
    assert first.kind is SpanKind.CONSUMER
    assert first.parent is None
    assert (first.links[0].context.trace_id, first.links[0].context.span_id) == (trace_id, span_id)
    assert first.links[1].context == second.links[0].context == whole.context
    assert [link.context for link in whole.links] == [first.context, second.context]
    assert dict(first.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "battles",
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 5,
        "messaging.consumer.group.name": "g",
        "messaging.client.id": "g-one",
        "prefstream.committed": True,
    }


def test_a_record_that_was_read_twice_into_a_batch_is_one_battle(traced: Traced) -> None:
    batch = traced.begin(record(), record())
    batch.end({(0, 5): None})
    assert ends(traced.one("process battles")) == (True, None, None)
    assert len(traced.one("batch battles").links) == 1


def test_stages_lie_within_their_batch_in_the_order_of_their_times(traced: Traced) -> None:
    batch = traced.begin(record())
    now = time.monotonic()
    batch.stage("decode", now, now + 0.25)
    batch.judged("gemma", now + 0.5, now + 0.75, None)
    batch.judged("llama", now + 0.5, now + 1.0, "JudgeFaultError")
    batch.combined(now + 1.5)
    batch.end({(0, 5): None})
    whole = traced.one("batch battles")
    assert whole.attributes
    assert (whole.attributes["messaging.batch.message_count"], whole.attributes["prefstream.sampled_battles"]) == (1, 1)
    seconds = {}
    for name in ("decode", "judge gemma", "judge llama", "combine"):
        span = traced.one(name)
        assert span.parent == whole.context
        assert span.start_time is not None
        assert span.end_time is not None
        seconds[name] = (span.end_time - span.start_time) / 1e9
    assert seconds == pytest.approx({"decode": 0.25, "judge gemma": 0.25, "judge llama": 0.5, "combine": 0.5}, abs=1e-3)
    assert traced.one("judge gemma").status.status_code is StatusCode.UNSET
    assert traced.one("judge llama").status.description == "JudgeFaultError"


def test_who_reads_the_preference_is_told_of_the_battles_own_span(traced: Traced) -> None:
    batch = traced.begin(record(SAMPLED))
    traceparent = batch.answer(record(), BATTLE, a_preference())
    assert batch.answer(record(offset=6), BATTLE, a_preference()) is None
    batch.end({(0, 5): None})
    span = traced.one("process battles")
    assert traceparent is not None
    assert span.context is not None
    assert parse_traceparent(traceparent)[:2] == (span.context.trace_id, span.context.span_id)


# --- how they end --------------------------------------------------------------------------------------------------


def ends(span: ReadableSpan) -> tuple[bool | None, str | None, str | None]:
    """Whether it says that it was committed, the error's code, and the words of its status."""
    attributes = dict(span.attributes or {})
    committed, code = attributes.get("prefstream.committed"), attributes.get("error.type")
    assert (span.status.status_code is StatusCode.ERROR) == (code is not None)
    assert isinstance(committed, bool | None)
    assert isinstance(code, str | None)
    return committed, code, span.status.description


def test_an_evaluation_is_told_once_readers_have_the_preference(traced: Traced) -> None:
    batch = traced.begin(record(offset=5), record(offset=6), record(offset=7))
    for offset in (5, 6, 7):
        batch.answer(record(offset=offset), BATTLE, a_preference())
    batch.end({(0, 5): None, (0, 6): "preference_too_large"})
    committed, dead, moved = traced.named("process battles")
    assert [event.name for event in committed.events] == ["gen_ai.evaluation.result"]
    assert (dead.events, moved.events) == ((), ())
    assert ends(committed) == (True, None, None)
    assert ends(dead) == (True, "preference_too_large", "dead letter: preference_too_large")
    assert ends(moved) == (False, "partition_moved", "not committed: partition_moved")


def test_each_attempt_to_commit_has_a_span_and_the_battle_ends_with_the_last(traced: Traced) -> None:
    batch = traced.begin(record())
    with pytest.raises(KeyError), batch.attempt(1):
        raise KeyError("zqprompt")
    with batch.attempt(1):
        pass
    batch.end({(0, 5): None})
    failed, done = traced.named("commit battles")
    assert (failed.kind, failed.status.description) == (SpanKind.CLIENT, "KeyError")
    assert done.status.status_code is StatusCode.UNSET
    assert ends(traced.one("process battles")) == (True, None, None)
    assert "zqprompt" not in "".join(span.to_json() for span in traced.exporter.get_finished_spans())


@pytest.mark.parametrize(
    ("unsettled", "said"),
    [
        (False, (False, "given_up", "not committed: given_up")),
        (True, (None, "given_up", "nobody knows whether it was committed: given_up")),
    ],
)
def test_what_is_in_flight_at_the_end_of_the_stream_ends_with_that_said(
    unsettled: bool, said: tuple[bool | None, str, str]
) -> None:
    traced = Traced()
    with traced.tracing:
        batch = traced.begin(record())
        batch.unsettled = unsettled
    assert ends(traced.one("process battles")) == said
    assert traced.one("batch battles").status.description == "given_up"
    batch.judged("gemma", 0.0, 1.0, None)  # it can't be interrupted
    assert traced.named("judge gemma") == []
    assert traced.tracing.begin([record()], 0.0) is None


def test_the_error_that_ends_the_stream_is_that_of_the_battles_in_flight() -> None:
    traced = Traced()
    traced.begin(record())
    error = ValueError("zqprompt")
    traced.tracing.__exit__(type(error), error, None)
    assert ends(traced.one("process battles")) == (False, "ValueError", "not committed: ValueError")
