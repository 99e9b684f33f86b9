"""`prefstream bench train`: what it refuses before anything costly starts, and what it says about the losses."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner, Result

from prefstream.consumer.cli import app
from prefstream.consumer.errors import UsageError
from prefstream.scoring.bench.training import TrainBenchResult, TrainRun, summarise
from prefstream.scoring.errors import ConfigError


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
