"""The benchmark of the stream's overhead: every program does the whole job, and is compared with its neighbours."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prefstream.consumer.bench import stream as bench
from prefstream.consumer.bench.arms import ArmRun, in_own_process, quix_python, run_bare_loop, run_quix, run_service
from prefstream.consumer.bench.cluster import fill, fresh_config, two_kilobytes
from prefstream.consumer.bench.span_sink import span_sink
from prefstream.consumer.broker.embedded import EmbeddedBroker
from prefstream.consumer.client.clients import make_consumer
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import StreamError
from prefstream.consumer.observe.traces.export import close_provider, open_provider
from prefstream.schemas import encode_battle

BATTLES = 60
KEYS = sorted(str(number).encode() for number in range(BATTLES))


@pytest.fixture
def filled() -> Iterator[StreamConfig]:
    with EmbeddedBroker() as broker:
        config = fresh_config(broker.bootstrap_servers, 20)
        fill(config, [two_kilobytes(number) for number in range(BATTLES)])
        yield config


def answered(config: StreamConfig) -> list[bytes]:
    """Keys of all that a reader of committed records finds, once there are as many as battles."""
    found: list[bytes] = []
    with closing(make_consumer(config, auto_offset_reset="earliest")) as consumer:
        consumer.subscribe([config.preferences_topic])
        while len(found) < BATTLES:
            for records in consumer.poll(timeout_ms=200).values():
                found += [record.key for record in records]
    return sorted(found)


def test_a_battle_has_two_kilobytes_and_is_the_same_again() -> None:
    assert encode_battle(two_kilobytes(7)) == encode_battle(two_kilobytes(7))
    assert 1_900 < len(encode_battle(two_kilobytes(7))) < 2_100


@pytest.mark.parametrize("program", [run_service, run_bare_loop])
def test_a_program_answers_every_battle(program: Callable[[dict[str, Any], int], ArmRun], filled: StreamConfig) -> None:
    run = in_own_process(program, filled, BATTLES)
    assert answered(filled) == KEYS
    assert 0 < run.cpu_seconds < 100 * run.seconds


def test_quix_streams_answers_every_battle(filled: StreamConfig) -> None:
    python = quix_python()
    if python is None:
        pytest.skip("quix-streams is not installed")
    run = run_quix(python, filled, BATTLES)
    assert answered(filled) == KEYS
    assert 0 < run.cpu_seconds < 100 * run.seconds


def test_an_interpreter_without_quix_streams_says_what_it_lacks(tmp_path: Path, filled: StreamConfig) -> None:
    bare = tmp_path / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$2"\n')  # -S: no packages
    bare.chmod(0o755)
    with pytest.raises(StreamError, match=r"bare-python failed: ModuleNotFoundError: No module named 'quixstreams'"):
        run_quix(bare, filled, BATTLES)
    with pytest.raises(StreamError, match=r"none-such did not run: .*No such file"):
        run_quix(tmp_path / "none-such", filled, BATTLES)


def test_programs_take_turns_on_one_topic_and_are_compared_with_their_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stream takes twice the bare loop's time, and both three times as long in the second round."""
    read: list[tuple[str, str, str]] = []

    def run(program: object, config: StreamConfig, battles: int) -> ArmRun:
        name = {run_service: "stream", run_bare_loop: "bare loop"}.get(program, "quix-streams")  # type: ignore[call-overload]
        read.append((name, config.battles_topic, config.group_id))
        seconds = {"stream": 2.0, "bare loop": 1.0, "quix-streams": 0.5}[name] * (1 if len(read) <= 3 else 3)
        return ArmRun(seconds, seconds / 2)

    monkeypatch.setattr(bench, "in_own_process", run)
    monkeypatch.setattr(bench, "run_quix", run)
    said: list[str] = []
    found = bench.overhead(10, 5, 2, quix=Path("python-with-quix"), say=said.append)
    assert [name for name, *_ in read] == [
        *("stream", "bare loop", "quix-streams"),
        *("bare loop", "quix-streams", "stream"),
    ]
    assert len({topic for _, topic, _ in read}) == 1
    assert len({group for *_, group in read}) == len(read)
    fields = found.to_fields()
    assert (fields["bare_loop"]["speed"]["ratio"], fields["quix_streams"]["cpu_speed"]["ratio"]) == (0.5, 0.25)
    assert fields["bare_loop"]["speed"]["ours_per_s"] == pytest.approx((5.0, 10 / 6))
    assert len(said) == len(read)


def test_the_stream_with_traces_takes_its_turns_too_where_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    ratios: list[float | None] = []

    def run(program: object, config: StreamConfig, battles: int) -> ArmRun:
        assert ("OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ) or program is run_bare_loop
        ratios.append(config.traces_ratio if config.traces else None)
        return ArmRun(1.0, 2.0 if config.traces else 1.0)

    monkeypatch.setattr(bench, "in_own_process", run)
    monkeypatch.setattr(bench, "quix_python", lambda: None)
    said: list[str] = []
    fields = bench.overhead(10, 5, 1, traces=True, say=said.append).to_fields()
    assert ratios == [None, None, 0.01, 1.0]
    assert [fields[name]["cpu_speed"]["ratio"] for name in ("traced_1_percent", "traced_all")] == [2.0, 2.0]
    assert ["spans arrived" in line for line in said] == [False, False, True, True]


def test_a_collector_that_keeps_nothing_counts_the_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://nobody")
    with span_sink() as sink:
        provider = open_provider("one", most_links=1)
        assert provider is not None
        for _ in range(3):
            provider.get_tracer("t").start_span("a").end()
        close_provider(provider)
        assert [sink.take(), sink.take()] == [3, 0]
    assert os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://nobody"


def test_what_is_not_installed_is_not_compared_with() -> None:
    runs = {name: (ArmRun(1.0, 1.0),) for name in (bench.STREAM, bench.BARE_LOOP)}
    fields = bench.Overhead(10, runs).to_fields()
    assert [fields[name] for name in ("quix_streams", "traced_1_percent", "traced_all")] == [None, None, None]
