"""`prefstream bench`: what it refuses before anything costly starts, and what it says of what was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from prefstream.consumer.bench import stream as bench_stream
from prefstream.consumer.bench.arms import ArmRun
from prefstream.consumer.bench.growth import GrowthRun
from prefstream.consumer.bench.latency import LatencyRun
from prefstream.consumer.cli import app
from prefstream.consumer.cli.exit_codes import exit_code_of
from prefstream.consumer.cli.ui.measurements import print_results
from prefstream.consumer.errors import UsageError
from prefstream.scoring.bench.gpu.report import CardReport, Section, Status
from prefstream.scoring.bench.side_by_side import SideBySide
from prefstream.scoring.bench.throughput import CompetitorResult
from prefstream.scoring.bench.training import TrainBenchResult, TrainRun, summarise
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.errors import ConfigError, LoadError
from tests.support.priors import write_prior_panel


def result(trainer_loss: float) -> TrainBenchResult:
    run = {"seconds": 2.0, "cpu_seconds": 3.0, "pairs": 8, "tokens": 1000, "padded_tokens": 1100}
    rest: dict[str, Any] = {"dtype": "float32", "settings": {}, "peak_memory_bytes": 1}
    trainer = TrainRun(**{**run, **rest, "losses": (1.1, trainer_loss)})
    bare = TrainRun(**{**run, **rest, "losses": (1.1, 1.0), "seconds": 1.0})
    return summarise("tiny", [trainer], [bare])


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[TrainBenchResult]:
    """What is to be measured; the measuring itself takes minutes and has tests of its own."""
    results: list[TrainBenchResult] = []
    monkeypatch.setattr("prefstream.scoring.bench.training.bench_train", lambda *_args, **_settings: results[0])
    return results


def bench_train(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["bench", "train", *arguments], env={"COLUMNS": "160"})


@pytest.mark.parametrize(
    ("gap", "told"),
    [
        (0.02, "a careful loop on OpenVINO, 1.00 to 1.00 battles/s: ratio 2.00, by CPU seconds 2.00; probabilities"),
        (
            0.2,
            "a careful loop on OpenVINO, 1.00 to 1.00 battles/s, does NOT answer as the panel does, so there is no",
        ),
    ],
)
def test_another_program_is_told_with_a_ratio_where_it_does_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, gap: float, told: str
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    speed = SideBySide((2.0,), (1.0,))
    names = ("speed", "cpu_speed", "careful_speed", "careful_cpu_speed")
    panel: dict[str, Any] = {name: speed.to_fields() for name in names}
    openvino = CompetitorResult(speed, speed, gap, {}, 1).to_fields()
    print_results({"panel": {**panel, "largest_gap": 0.0, "careful_gap": 0.0, "competitors": {"openvino": openvino}}})
    assert told in capsys.readouterr().out


def test_losses_that_agree_are_said_and_the_ratio_shown(measured: list[TrainBenchResult]) -> None:
    measured.append(result(1.00001))
    done = bench_train()
    assert done.exit_code == 0
    assert "0.50" in done.output
    assert "both sides did the same work" in done.output
    assert "500 to 500 tokens/s by finetune, 1,000 to 1,000 by the bare loop; ratio by CPU seconds 1.00" in done.output


def test_losses_that_differ_are_said_and_end_with_exit_code_1(measured: list[TrainBenchResult]) -> None:
    measured.append(result(1.01))
    done = bench_train()
    assert done.exit_code == 1
    assert "did NOT do the same work" in done.output


@pytest.mark.parametrize(
    ("arguments", "error", "fault"),
    [
        (["--recipe", "none-such"], ConfigError, "no such recipe"),
        (["--battles", "2"], ConfigError, "take at least "),
        (["--output", "none-such/bench.json"], UsageError, "there is no folder none-such"),
    ],
)
def test_what_cannot_be_done_is_refused_before_minutes_are_spent(
    arguments: list[str], error: type[Exception], fault: str
) -> None:
    done = bench_train(*arguments)
    assert isinstance(done.exception, error)
    assert fault in str(done.exception)


def test_growth_is_told_for_each_command_and_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The measuring itself starts processes, and has a test of its own."""
    asked: list[tuple[list[str], Sequence[int], Sequence[str]]] = []

    def measured(config: PanelConfig, rows: Sequence[int], *, commands: Sequence[str], say: object) -> list[GrowthRun]:
        asked.append(([judge.kind for judge in config.judges], rows, commands))
        small = GrowthRun("score", 1_000, 2.0, 1.0, 60_000_000)
        return [small, GrowthRun("score", 11_000, 5.5, 2.2, 63_000_000, bytes_per_row=300.0)]

    monkeypatch.setattr("prefstream.consumer.bench.growth.growth", measured)
    words = ["bench", "growth", "--rows", "1000", "--rows", "11000", "-o", str(tmp_path / "found.json")]
    words += ["--panel", str(write_prior_panel(tmp_path)), "--only", "score"]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "160"})
    assert done.exit_code == 0
    assert asked == [(["prior"], [1_000, 11_000], ["score"])]
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.output.splitlines() if "score" in line]
    assert lines == [["score", "1,000", "500", "1,000", "60", ""], ["score", "11,000", "2,000", "5,000", "63", "300"]]
    [_, large] = json.loads((tmp_path / "found.json").read_text())["growth"]
    assert (large["bytes_per_row"], large["rows_per_s"], large["peak_memory_bytes"]) == (300.0, 2_000.0, 63_000_000)


def test_the_overhead_is_told_against_each_program_and_one_that_is_missing_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = {"stream": (ArmRun(2.0, 1.0),), "bare loop": (ArmRun(1.0, 0.8),)}
    monkeypatch.setattr(bench_stream, "overhead", lambda *_args, **_settings: bench_stream.Overhead(20_000, runs))
    done = CliRunner().invoke(app, ["bench", "overhead"], env={"COLUMNS": "160"})
    assert done.exit_code == 0
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.output.splitlines() if "│" in line]
    assert lines == [
        ["stream, judges that cost nothing", "10,000 to 10,000", "bare kafka-python loop", "20,000 to 20,000", "0.50"],
        ["stream, judges that cost nothing", "", "quix-streams, on librdkafka", "not installed", ""],
    ]
    assert "stream against bare kafka-python loop: ratio by CPU seconds 0.80" in done.output


def test_latency_is_told_in_milliseconds_and_in_passes_with_commits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = LatencyRun("half load", 50, 480.0, p50_s=0.08, p95_s=0.12, p99_s=0.16, pass_s=0.067, commit_s=0.013)
    monkeypatch.setattr("prefstream.consumer.bench.latency.latency", lambda *_: iter([run]))
    words = ["bench", "latency", "-o", str(tmp_path / "found.json")]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "160"})
    assert done.exit_code == 0
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.output.splitlines() if "│" in line]
    assert lines == [["half load", "50", "480.0", "80 (1.00)", "120 (1.50)", "160 (2.00)", "67.0", "13.0"]]
    [fields] = json.loads((tmp_path / "found.json").read_text())
    assert fields["of_pass_and_commit"]["p99"] == pytest.approx(2.0)


def section(name: str, status: Status, **more: Any) -> Section:
    return Section(name, status, seconds=12.3, **more)


def test_a_report_on_a_card_is_told_section_by_section_and_written_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The sections themselves start processes, and have tests of their own."""
    asked: list[dict[str, Any]] = []
    sections = (
        section("machine", "passed", told=("NVIDIA H200, 139.8 GiB", "driver 580.65.06")),
        section("threads", "failed", reason="LoadError: no [such] file", where=("judge.py:88 _load",)),
        section("memory", "skipped", reason="only a card's memory can be capped"),
    )

    def checked(_config: PanelConfig, *, say: Any, done: Any, **settings: Any) -> CardReport:
        asked.append(settings)
        say("section 1 of 3: machine")
        for one in sections:
            done(one)
        return CardReport(settings["device"], settings["battles"], datetime(2026, 1, 2, tzinfo=UTC), sections)

    monkeypatch.setattr("prefstream.scoring.bench.gpu.check.check_card", checked)
    words = ["bench", "gpu", "--panel", str(write_prior_panel(tmp_path)), "--battles", "7"]
    words += ["--only", "machine", "--only", "threads", "-o", str(tmp_path / "card.json")]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "160"})
    assert done.exit_code == 1
    assert asked == [{"device": "cuda:0", "battles": 7, "only": ["machine", "threads"]}]
    for told in ("driver 580.65.06", "failed: LoadError: no [such] file", "  at judge.py:88 _load"):
        assert told in done.output
    assert "failed: threads\nskipped, so nothing is known of it: memory\n" in done.output
    fields = json.loads((tmp_path / "card.json").read_text())
    assert [one["status"] for one in fields["sections"]] == ["passed", "failed", "skipped"]
    assert not fields["passed"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--device", "tpu:0"], "tpu:0 is neither cpu nor a card's name such as cuda:0"),
        (["--only", "heat"], "heat is none of machine, agreement, threads, 8bit, 4bit, memory, speed, loops"),
    ],
)
def test_a_card_is_tried_by_sections_and_names_that_there_are(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["bench", "gpu", *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert told in done.output


def test_without_a_card_the_remedy_is_told_and_no_report_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    output = tmp_path / "card.json"
    done = CliRunner().invoke(app, ["bench", "gpu", "--panel", str(write_prior_panel(tmp_path)), "-o", str(output)])
    assert isinstance(done.exception, LoadError)
    assert exit_code_of(done.exception) == 2
    assert "--device cpu tries the run itself, without a card" in str(done.exception)
    assert not output.exists()


def test_what_only_other_measurements_use_is_refused() -> None:
    done = CliRunner().invoke(app, ["bench", "growth", "--repetitions", "2"])
    assert isinstance(done.exception, UsageError)
    assert "--repetitions: no effect on bench growth" in str(done.exception)


def test_growth_measures_no_command_that_it_does_not_know() -> None:
    done = CliRunner().invoke(app, ["bench", "growth", "--only", "serve"], env={"COLUMNS": "160"})
    assert done.exit_code == 2
    assert "serve is none of score, evaluate, calibrate, finetune" in done.output


def test_a_roofline_is_told_card_by_card_and_said_to_be_a_bound(tmp_path: Path) -> None:
    """Nothing is loaded: the base is known by its shapes."""
    entry = {
        "name": "llama",
        "kind": "pairwise",
        "base": "meta-llama/Meta-Llama-3-8B-Instruct",
        "revision": "8afb486c1db24fe5011ec46dfbe5b5dccdb575c2",
        "allow_untrained": True,
    }
    (tmp_path / "panel.yaml").write_text(json.dumps({"judges": [entry]}), encoding="utf-8")
    words = ["bench", "roofline", "--panel", str(tmp_path / "panel.yaml"), "--card", "h100", "--card", "L4"]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "found.json")], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.output.splitlines() if "│" in line]
    assert [line[0] for line in lines] == ["L4", "H100"]
    assert "not a measurement" in done.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert f"{found[0]['battles_per_s']:.1f} / {found[1]['battles_per_s']:.1f}" == lines[0][1]
