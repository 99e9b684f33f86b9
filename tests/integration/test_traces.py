"""Traces of the stream, as a collector gets them: from the producer's span to a reader's, whatever happens between."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanKind, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.observe.traces import export
from prefstream.consumer.stream.service import Service
from prefstream.schemas.dead_letter import header
from prefstream.scoring.errors import MissingExtraError
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.panel.panel import Panel
from tests.support.collector import CLIENT, CONSUMER, Collector, SentSpan, collecting, tree_of
from tests.support.priors import HeldJudge, prior_panel
from tests.support.streams import (
    MALFORMED,
    MARKERS,
    WAIT_S,
    Running,
    assert_exactly_once,
    battle_event,
    battle_events,
    fresh_config,
    produce,
    read_topic,
    running,
    wait_until,
)

MakeConfig = Callable[..., StreamConfig]
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
INVALID_RECORD = 87


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Where this process's spans go."""
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector


@contextmanager
def span_of(service: str, name: str, kind: SpanKind, links: Sequence[bytes] = ()) -> Iterator[bytes]:
    """A span of another program, which is sent when it ends; the header by which its trace goes on."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    wire = TraceContextTextMapPropagator()
    linked = [Link(get_current_span(wire.extract({"traceparent": one.decode()})).get_span_context()) for one in links]
    carrier: dict[str, str] = {}
    with provider.get_tracer(service).start_as_current_span(name, kind=kind, links=linked):
        wire.inject(carrier)
        yield carrier["traceparent"].encode()
    provider.shutdown()


def processed(config: StreamConfig, collector: Collector) -> list[SentSpan]:
    """Spans of battles, in the order of their offsets."""
    spans = collector.named(f"process {config.battles_topic}")
    return sorted(spans, key=lambda span: span.attributes["messaging.kafka.offset"])


def consumed(service: Running) -> float:
    return service.service.metrics.registry.get_sample_value("prefstream_battles_consumed_total") or 0.0


class Noticed(HeldJudge):
    """Tells that it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    def score(self, batch: JudgeBatch) -> Scores:
        self.asked.set()
        return super().score(batch)


# --- the way of a battle -------------------------------------------------------------------------------------------


def test_a_trace_leads_from_the_producer_to_a_reader(stream_config: MakeConfig, collector: Collector) -> None:
    config = stream_config(partitions=1, traces=True)
    event = battle_event(0, response_id_a="chatcmpl-a", response_id_b="chatcmpl-b")
    with span_of("chat", "send battles", SpanKind.PRODUCER) as trace:
        produce(config, [event], headers=[("traceparent", trace)])
    with running(config, lambda: prior_panel(0.02, judges=2)) as service:
        service.wait_published(1)
    (record,) = read_topic(config.bootstrap_servers, config.preferences_topic)
    passed_on = header(record, "traceparent") or ""
    with span_of("dashboard", "process preferences", SpanKind.CONSUMER, [passed_on.encode()]):
        pass
    topic = config.battles_topic
    spans = {span.name: span for span in collector.spans}
    print(tree_of(collector.spans))  # noqa: T201 - shown by pytest with -rP
    battle, batch = spans[f"process {topic}"], spans[f"batch {topic}"]
    assert (battle.kind, battle.parent_id, batch.parent_id) == (CONSUMER, b"", b"")
    assert battle.links == (spans["send battles"].span_id, batch.span_id)
    assert batch.links == (battle.span_id,)
    assert passed_on.encode().startswith(battle.traceparent)
    assert spans["process preferences"].links == (battle.span_id,)
    stages = sorted((span for span in spans.values() if span.parent_id == batch.span_id), key=lambda s: s.start_ns)
    names = [span.name for span in stages]
    assert sorted(names[3:5]) == ["judge prior-0", "judge prior-1"]
    del names[3:5]
    assert names == ["gather", "decode", "encode", "combine", "compose", f"commit {topic}"]
    assert {span.trace_id for span in stages} == {batch.trace_id} != {battle.trace_id}
    assert all(earlier.end_ns <= later.start_ns for earlier, later in pairwise([*stages[:3], *stages[5:]]))
    assert batch.start_ns <= stages[0].start_ns
    assert stages[-1].end_ns <= batch.end_ns == battle.end_ns
    assert spans[f"commit {topic}"].kind == CLIENT
    assert [(name, said["gen_ai.response.id"]) for name, said in battle.events] == [
        ("gen_ai.evaluation.result", "chatcmpl-a"),
        ("gen_ai.evaluation.result", "chatcmpl-b"),
    ]
    assert battle.error is None


def test_dead_letters_say_their_reason_and_nothing_that_anybody_wrote_is_sent(
    stream_config: MakeConfig, collector: Collector
) -> None:
    config = stream_config(partitions=1, traces=True)
    trace = ("traceparent", TRACE + b"-01")
    sent = produce(config, [value for value, _ in MALFORMED.values()], headers=[trace, ("zqheader", b"zqheader")])
    sent += produce(config, battle_events(3))
    with running(config) as service:
        service.wait_published(len(sent))
    spans = processed(config, collector)
    reasons = [str(reason) for _, reason in MALFORMED.values()]
    assert [span.attributes.get("error.type") for span in spans] == [*reasons, None, None, None]
    assert [span.error for span in spans] == [*(f"dead letter: {reason}" for reason in reasons), None, None, None]
    assert {span.attributes["prefstream.committed"] for span in spans} == {True}
    tombstones = [span.attributes.get("messaging.kafka.message.tombstone") for span in spans]
    assert tombstones.count(True) == 1
    for record in read_topic(config.bootstrap_servers, config.dead_letters_topic):
        assert header(record, "traceparent") == trace[1].decode()
    said = b"".join(collector.bodies)
    assert [marker for marker in MARKERS if marker.encode() in said] == []


def test_a_battle_that_is_not_sampled_has_no_span_and_its_header_is_passed_on_as_it_came(
    stream_config: MakeConfig, collector: Collector
) -> None:
    config = stream_config(partitions=1, traces=True, traces_ratio=0.0)
    headers = (TRACE + b"-00", b"no trace", TRACE + b"-01")
    for number, trace in enumerate(headers):
        produce(config, battle_events(1, first=number), headers=[("traceparent", trace)])
    with running(config) as service:
        service.wait_published(3)
    records = read_topic(config.bootstrap_servers, config.preferences_topic)
    (span,) = processed(config, collector)
    assert span.attributes["messaging.kafka.offset"] == 2
    passed_on = [(header(record, "traceparent") or "").encode() for record in records]
    assert passed_on[:2] == [headers[0], b""]
    assert passed_on[2].startswith(span.traceparent)


# --- faults --------------------------------------------------------------------------------------------------------


def test_an_aborted_transaction_is_an_attempt_and_the_battle_ends_with_the_one_that_committed(
    collector: Collector,
) -> None:
    with EmbeddedBroker() as broker:
        config = fresh_config(broker.bootstrap_servers, traces=True, instance_id="one")
        sent = produce(config, battle_events(2))
        broker.faults.fail("Produce", error_code=INVALID_RECORD, client_id=f"{config.group_id}-one")
        with running(config) as service:
            service.wait_published(2)
        assert_exactly_once(config, sent)
        records = read_topic(config.bootstrap_servers, config.preferences_topic)
    failed, committed = collector.named(f"commit {config.battles_topic}")
    assert (failed.error, committed.error) == ("AbortedError", None)
    assert failed.end_ns <= committed.start_ns
    spans = processed(config, collector)
    assert [span.error for span in spans] == [None, None]
    assert all(span.end_ns >= committed.end_ns for span in spans)
    for record, span in zip(records, spans, strict=True):
        assert (header(record, "traceparent") or "").encode().startswith(span.traceparent)


def test_a_battle_whose_partition_moves_ends_here_and_is_answered_there(
    stream_config: MakeConfig, collector: Collector
) -> None:
    config = stream_config(
        partitions=2, traces=True, max_batch_battles=4, linger_ms=1_000, session_timeout_ms=6_000, leave_on_stop=True
    )
    for partition in range(2):
        produce(config, battle_events(2, first=2 * partition), partition=partition)
    judge = HeldJudge()
    first_config = config.model_copy(update={"instance_id": "one"})
    with running(first_config, lambda: Panel([judge])) as first:
        wait_until(lambda: consumed(first) == 4, what="one batch of both partitions")
        with running(config.model_copy(update={"instance_id": "two", "linger_ms": 1}), prior_panel) as second:
            wait_until(lambda: second.published == 2, what="the second's share")
            judge.let()
            wait_until(lambda: first.published == 2, what="what stayed")
    ends = [
        (span.attributes["messaging.client.id"].rpartition("-")[2], span.attributes.get("error.type"))
        for span in processed(config, collector)
    ]
    assert sorted(ends, key=str) == [
        *[("one", "partition_moved")] * 2,
        *[("one", None)] * 2,
        *[("two", None)] * 2,
    ]


def test_a_battle_that_is_given_up_at_a_stop_says_so(stream_config: MakeConfig, collector: Collector) -> None:
    config = stream_config(partitions=1, traces=True, drain_seconds=0.0)
    produce(config, battle_events(1))
    judge = Noticed()
    with running(config, lambda: Panel([judge])) as service:
        assert judge.asked.wait(WAIT_S)
        service.stop()
    judge.let()
    (span,) = processed(config, collector)
    assert span.error == "not committed: given_up"
    assert span.attributes["prefstream.committed"] is False


def test_a_collector_that_is_away_holds_nothing_up(stream_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
        monkeypatch.setattr(export, "CLOSE_S", 0.2)
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "2")
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
        config = stream_config(partitions=1, traces=True, max_batch_battles=10)
        sent = produce(config, battle_events(50))
        with running(config) as service:
            service.wait_published(50)
    assert_exactly_once(config, sent)


def test_without_the_extra_it_says_so_before_anything_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    service = Service(StreamConfig.load(traces=True, http=False), prior_panel)
    with pytest.raises(MissingExtraError) as caught:
        service.run()
    assert str(caught.value) == ("prefstream run --traces needs prefstream[traces]: pip install 'prefstream[traces]'")
