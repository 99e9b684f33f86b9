"""What the log tells of batches and of each minute, and that it is what the metrics tell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from prefstream.consumer.client.protocols import TopicPartition
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.observe.stream_metrics import StreamMetrics
from prefstream.consumer.stream.batch import Batch
from prefstream.consumer.stream.messages import Message, dead_letter
from prefstream.consumer.stream.partitions.assignment import Event
from prefstream.consumer.stream.pipeline import Scored
from prefstream.consumer.stream.publisher import Published
from prefstream.consumer.stream.source import Source
from prefstream.consumer.stream.telemetry import SUMMARY_EVERY_S, Telemetry
from prefstream.schemas import Reason
from tests.support.fake_clock import FakeClock
from tests.support.scripted_clients import ScriptedConsumer
from tests.support.streams import make_event
from tests.support.traced import Traced

P0 = TopicPartition("battles", 0)


@pytest.fixture
def metrics() -> StreamMetrics:
    return StreamMetrics()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def telemetry(metrics: StreamMetrics, clock: FakeClock) -> Telemetry:
    return Telemetry(metrics, clock.monotonic)


@pytest.fixture
def source() -> Source:
    """One partition of ours, six records behind its end."""
    consumer = ScriptedConsumer()
    consumer.positions[P0] = 4
    source = Source(consumer, StreamConfig())
    consumer.give(P0)
    return source


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as captured:
        yield captured


def preference(offset: int, *, age_s: float = 0.0) -> Message:
    event = make_event(offset=offset)
    record = SimpleNamespace(**{**vars(event.record), "timestamp": int((time.time() - age_s) * 1000)})
    return Message(Event.of(record, event.epoch), b"k", b"v", [])


def refused(offset: int, reason: Reason) -> Message:
    return dead_letter(make_event(offset=offset), reason, ValueError())


def published(*messages: Message, lost: int = 0) -> Published:
    """A batch of these messages; `lost` more were of partitions that moved away."""
    all_messages = messages + tuple(preference(1000 + number) for number in range(lost))
    batch = Batch(tuple(message.event for message in all_messages), 0.0)
    return Published(Scored(batch, all_messages, (), 0, 0.0, 0.0, 0.5), messages, 0.1)


def test_a_batch_is_told_at_debug(telemetry: Telemetry, lines: list[Any]) -> None:
    telemetry.batch_published(published(preference(0), preference(1)))
    (line,) = lines
    assert line == {
        "event": "batch published",
        "log_level": "debug",
        "battles": 2,
        "preferences": 2,
        "dead_letters": {},
        "stale": 0,
        "inference_s": 0.5,
        "commit_s": 0.1,
    }


def test_spans_end_as_their_battles_do(telemetry: Telemetry) -> None:
    traced = Traced()
    answered, letter, moved = preference(0), refused(1, Reason.NOT_JSON), preference(2)
    batch = published(answered, letter)
    everything = replace(batch.scored, messages=(answered, letter, moved))
    trace = traced.begin(*(message.event.record for message in everything.messages))
    telemetry.batch_published(replace(batch, scored=replace(everything, trace=trace)))
    codes = [(span.attributes or {}).get("error.type") for span in traced.named("process battles")]
    assert codes == [None, "not_json", "partition_moved"]


def test_a_batch_with_dead_letters_is_a_warning_with_their_reasons(telemetry: Telemetry, lines: list[Any]) -> None:
    letters = [refused(2, Reason.NOT_JSON), refused(3, Reason.NULL_VALUE), refused(4, Reason.NOT_JSON)]
    telemetry.batch_published(published(preference(0), preference(1), *letters))
    (line,) = lines
    assert (line["log_level"], line["battles"], line["preferences"]) == ("warning", 5, 2)
    assert line["dead_letters"] == {"not_json": 2, "null_value": 1}


def test_what_was_answered_is_counted_for_each_partition(telemetry: Telemetry, metrics: StreamMetrics) -> None:
    telemetry.batch_published(published(preference(0), refused(1, Reason.NOT_JSON), lost=3))
    answered = metrics.registry.get_sample_value(
        "prefstream_records_answered_total", {"topic": "battles", "partition": "0"}
    )
    assert answered == 2


def test_once_a_minute_it_tells_what_the_minute_brought(
    telemetry: Telemetry, clock: FakeClock, source: Source, lines: list[Any]
) -> None:
    telemetry.report(source, 0)
    telemetry.battles_consumed(4)
    telemetry.batch_published(published(preference(0, age_s=20), preference(1), refused(2, Reason.NOT_JSON), lost=1))
    clock.now += SUMMARY_EVERY_S - 1
    telemetry.report(source, 0)
    assert [line["event"] for line in lines] == ["batch published"]
    clock.now += 6
    telemetry.report(source, 0)
    line = lines[-1]
    assert (line["event"], line["log_level"]) == ("serving", "info")
    assert (line["battles"], line["preferences"], line["dead_letters"]) == (4, 2, {"not_json": 1})
    assert line["stale"] == 1  # with it the others add up to what was read
    assert 20 <= line["p50_s"] < 1_000
    assert line["p99_s"] > 86_400  # the record of the dead letter is of 2023
    assert (line["lag"], line["partitions"]) == (6, 1)


def test_the_ages_of_a_minute_are_those_that_its_records_had(
    telemetry: Telemetry, clock: FakeClock, source: Source, lines: list[Any]
) -> None:
    """Not places in a wide bucket: 120 s is told as 120 s, and nothing as older than the oldest."""
    telemetry.batch_published(published(*(preference(number, age_s=120) for number in range(4))))
    clock.now += SUMMARY_EVERY_S
    telemetry.report(source, 0)
    age = lines[-1]["p50_s"]
    assert lines[-1]["p99_s"] == pytest.approx(age, abs=1)
    assert 120 <= age < 140


def test_an_idle_minute_is_told_too_and_what_was_told_is_not_told_again(
    telemetry: Telemetry, clock: FakeClock, source: Source, lines: list[Any]
) -> None:
    telemetry.batch_published(published(preference(0)))
    for _ in range(2):
        clock.now += SUMMARY_EVERY_S
        telemetry.report(source, 0)
    first, second = [line for line in lines if line["event"] == "serving"]
    assert first["preferences"] == 1
    assert (second["battles"], second["preferences"], second["dead_letters"]) == (0, 0, {})
    assert (second["p50_s"], second["p99_s"]) == (None, None)


def test_a_minute_in_which_it_is_held_up_is_a_warning_that_says_by_what(
    telemetry: Telemetry, clock: FakeClock, source: Source, lines: list[Any]
) -> None:
    for held_up in ("no broker answers", None):
        clock.now += SUMMARY_EVERY_S
        telemetry.report(source, 0, held_up)
    assert [(line["log_level"], line["held_up"]) for line in lines] == [
        ("warning", "no broker answers"),
        ("info", None),
    ]


def test_nothing_is_given_up_where_all_that_was_read_was_answered_or_moved_away(
    telemetry: Telemetry, metrics: StreamMetrics
) -> None:
    telemetry.battles_consumed(6)
    telemetry.batch_published(published(preference(0), refused(2, Reason.NOT_JSON), lost=2))
    assert metrics.totals().unanswered == 2
    telemetry.batch_published(published(preference(3), preference(4)))
    assert metrics.totals().unanswered == 0
