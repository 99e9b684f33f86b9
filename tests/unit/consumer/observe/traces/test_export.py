"""Where spans go is said by OpenTelemetry's own variables; a collector that is away holds nobody up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from prefstream.consumer.errors import UsageError
from prefstream.consumer.observe.traces import export
from prefstream.consumer.observe.traces.export import close_provider, open_provider
from tests.support.collector import Collector, collecting


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector


def send(links: int = 0) -> None:
    provider = open_provider("one", most_links=5)
    assert provider is not None
    span = provider.get_tracer("t").start_span("a")
    for _ in range(links):
        span.add_link(span.get_span_context())
    span.end()
    close_provider(provider)


def test_the_last_spans_are_sent_at_the_end(collector: Collector) -> None:
    send()
    (span,) = collector.spans
    assert (span.name, span.service) == ("a", "prefstream")


def test_the_service_has_the_name_that_the_environment_gives(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "judges")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=two,k8s.pod.name=pod")
    send()
    assert collector.spans[0].service == "judges"
    assert b"pod" in collector.bodies[0]
    assert b"two" in collector.bodies[0]


@pytest.mark.parametrize(("limit", "links"), [(None, 5), ("2", 2)])
def test_a_batch_links_all_its_battles_unless_the_environment_says_how_many(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, limit: str | None, links: int
) -> None:
    if limit:
        monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", limit)
    send(links=9)
    assert len(collector.spans[0].links) == links


def test_opentelemetrys_own_switch_turns_traces_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "TRUE")
    with capture_logs() as lines:
        assert open_provider("one", 1) is None
    assert [line["why"] for line in lines] == ["OTEL_SDK_DISABLED is true"]


def test_a_sampler_in_the_environment_is_told_to_have_no_effect(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with capture_logs() as lines:
        send()
    assert "OTEL_TRACES_SAMPLER" in lines[0]["detail"]
    assert len(collector.spans) == 1


@pytest.mark.parametrize("variable", ["OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_BSP_MAX_QUEUE_SIZE"])
def test_a_variable_that_can_not_be_read_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "-1")
    with pytest.raises(UsageError, match=r"traces: a variable OTEL_\.\.\. can't be read"):
        open_provider("one", 1)


def test_a_collector_that_does_not_answer_is_not_waited_for(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "CLOSE_S", 0.2)
    collector.answers.clear()
    with capture_logs() as lines:
        send()
    assert collector.asked.is_set()
    assert [line["event"] for line in lines] == ["the last spans are lost, the collector did not take them"]
    assert collector.bodies == []
