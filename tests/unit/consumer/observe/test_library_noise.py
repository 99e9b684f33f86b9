"""kafka-python's commentary is counted, not written; what is news is written, once a minute."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

import pytest

from prefstream.consumer.observe.library_noise import COMMENTARY, REPEAT_S, LibraryNoise
from tests.support.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def noise(clock: FakeClock) -> LibraryNoise:
    return LibraryNoise(clock.monotonic)


def said(noise: LibraryNoise, line: str, *arguments: object, logger: str = "kafka.net.manager") -> bool:
    """Whether a warning is written."""
    return noise.filter(logging.LogRecord(logger, logging.WARNING, "", 0, line, arguments, None))


def test_what_a_broker_that_is_away_makes_it_say_is_folded_and_counted(noise: LibraryNoise) -> None:
    assert not said(noise, "Connection failed: %s", "ECONNREFUSED")
    assert not said(noise, "%s: Connection lost: %s", "<KafkaConnection>", "EOF")
    assert not said(noise, "Marking the coordinator dead (node %s) for group %s: %s.", 1, "g", "x")
    assert noise.take() == 3
    assert noise.take() == 0


def test_lines_of_ours_and_of_other_libraries_pass_however_they_begin(noise: LibraryNoise) -> None:
    assert said(noise, "Connection failed", logger="prefstream.consumer")
    assert said(noise, "Connection failed", logger="urllib3.pool")
    assert said(noise, "Connection failed", logger="kafkaesque")
    assert noise.take() == 0


def test_a_collector_of_traces_that_is_away_is_told_of_once_a_minute(noise: LibraryNoise, clock: FakeClock) -> None:
    away = ("Transient error %s encountered while exporting %s batch, retrying in %.2fs.", "refused", "spans", 1.0)
    exporter = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    assert [said(noise, *away, logger=exporter) for _ in range(3)] == [True, False, False]
    clock.now += REPEAT_S
    assert said(noise, *away, logger=exporter)
    assert noise.take() == 2


def test_what_is_unknown_passes_once_a_minute_for_each_kind(noise: LibraryNoise, clock: FakeClock) -> None:
    assert said(noise, "odd thing %d", 1)
    assert not said(noise, "odd thing %d", 2)
    assert said(noise, "another odd thing")
    assert said(noise, "odd thing %d", 2, logger="kafka.cluster")
    clock.now += REPEAT_S
    assert said(noise, "odd thing %d", 3)
    assert noise.take() == 1


def test_an_error_object_in_place_of_words_is_taken_too(noise: LibraryNoise) -> None:
    """kafka-python hands exceptions to its logger as they are."""
    assert noise.filter(logging.LogRecord("kafka.producer", 30, "", 0, ValueError("x"), (), None))


def test_every_line_that_is_folded_is_one_of_the_installed_client() -> None:
    """Else the table speaks of another version, and this one's lines come through."""
    spec = find_spec("kafka")
    assert spec is not None
    assert spec.origin is not None
    sources = " ".join(path.read_text() for path in Path(spec.origin).parent.rglob("*.py"))
    lines = [line.replace("Task <", "Task %r ran for") for line in COMMENTARY]  # that one is put together before
    assert [line for line in lines if not any(f"{quote}{line}" in sources for quote in "'\"")] == []
