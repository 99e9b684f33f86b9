"""The benchmark of training: two sides that do the same work, and what is made of their times."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prefstream.schemas import Battle
from prefstream.scoring.bench.training import TrainBenchResult, TrainRun, bench_train, comparable, read_run, summarise
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.finetune.recipe import DataRecipe, Recipe
from tests.support.models import make_tiny_base, one_torch_thread

pytestmark = pytest.mark.timeout(900)
"""Processes that load torch: minutes on a machine with twenty times the work."""

RUN = TrainRun(
    seconds=2.0,
    cpu_seconds=4.0,
    pairs=12,
    tokens=1000,
    padded_tokens=1200,
    losses=(1.1, 1.0),
    dtype="float32",
    settings={"threads": "2"},
    peak_memory_bytes=1,
)


def recipe(base: Path, kind: str = "pointwise", **settings: Any) -> Recipe:
    """Steps of four pairs, two micro-batches each or more; rates at which every update shows in the next loss."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "base": str(base),
        "kind": kind,
        "max_length": 64,
        "dtype": "float32",
        "lora": {"rank": 4, "dropout": 0.1, "frozen_layers": 1},
        "optimizer": {"learning_rate": 1e-2, "head_learning_rate": 5e-2, "weight_decay": 0.1, "max_grad_norm": 0.5},
        "step": {"weight": 4, "micro_batch_tokens": 150, "pass_tokens": 100},
    }
    return Recipe.model_validate({**fields, **settings})


def battles(count: int) -> list[Battle]:
    return [
        Battle(id=str(n), prompt=(f"fox {n}?",), response_a=("dog " * (1 + n % 7),), response_b=("lazy fox " * 3,))
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench-train") / "base"
    make_tiny_base(folder, "gemma3")
    return folder


def run_both(recipe: Recipe, folder: Path, count: int) -> dict[str, TrainRun]:
    """Both sides one after the other in this process, each from its own start."""
    from prefstream.scoring.bench.training import write_request
    from prefstream.scoring.bench.training_arms import ARMS, Job

    request = write_request(folder, comparable(recipe), battles(count))
    with one_torch_thread():
        return {name: read_run({**arm(Job.read(request)), "peak_memory_bytes": 1}) for name, arm in ARMS.items()}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("pointwise", {}),
        ("pointwise", {"step": {"weight": 2, "accumulation": 2, "gradient_checkpointing": True}}),
        ("pairwise", {"data": {"consistency": 0.5, "balance_length": "step"}}),
        ("pairwise", {"data": {"swap": "random"}, "dtype": "bfloat16"}),
    ],
    ids=["pointwise", "accumulating", "consistent", "bfloat16"],
)
def test_both_sides_have_the_same_loss_in_every_step(
    kind: str, settings: dict[str, Any], base: Path, tmp_path: Path
) -> None:
    """Any difference in clipping, schedule, rates or accumulation would show from the third step on."""
    runs = run_both(recipe(base, kind, **settings), tmp_path, 18)
    result = summarise("tiny", [runs["trainer"]], [runs["bare"]])
    assert result.same_work
    assert result.steps >= 4
    assert len({round(loss, 6) for loss in runs["bare"].losses}) > 2  # weights do move


def test_every_pair_weighs_the_same_whatever_the_recipe_weighs(base: Path) -> None:
    data = {
        "stages": [{"tiers": ["core"], "max_length_ratio": 2}],
        "weights": {"core": 3},
        "prompt_exponent": 1,
        "shorter_won": 2,
    }
    assert comparable(recipe(base, data=data)).data == DataRecipe(prompt_exponent=0.0)


def test_only_what_follows_the_first_update_is_timed_and_counted(base: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"step": {"weight": 4, "accumulation": 2}}
    for run in run_both(recipe(base, **settings), tmp_path, 20).values():
        assert len(run.losses) == 5
        assert run.pairs == 12
        assert 0 < run.tokens <= run.padded_tokens
        assert run.seconds > 0
        assert run.cpu_seconds > 0


@pytest.fixture(scope="module")
def result(base: Path) -> TrainBenchResult:
    """One run of each side, in processes of their own."""
    return bench_train(recipe(base), battles=battles(10), say=lambda _line: None)


@pytest.mark.long
def test_processes_of_their_own_do_the_same_work(result: TrainBenchResult) -> None:
    assert result.same_work
    assert result.trainer_loss == pytest.approx(result.bare_loss, rel=1e-4)
    assert (result.steps, result.pairs) == (3, 6)


@pytest.mark.long
def test_the_result_is_plausible_and_becomes_json(result: TrainBenchResult) -> None:
    assert min(result.trainer_memory_bytes, result.bare_memory_bytes) > 10_000_000
    fields = json.loads(json.dumps(result.to_fields()))
    assert fields["same_work"] is True
    assert fields["speed"]["ratio"] == result.speed.ratio > 0
    assert set(fields["trainer_settings"]) >= {"judge", "optimizer", "threads", "malloc"}
    assert fields["trainer_settings"] == fields["bare_settings"]


def test_the_ratio_is_the_median_over_neighbours() -> None:
    trainer = [replace(RUN, seconds=seconds, cpu_seconds=seconds) for seconds in (1.0, 10.0, 4.0)]
    bare = [replace(RUN, seconds=seconds, cpu_seconds=2 * seconds) for seconds in (0.5, 9.0, 4.0)]
    result = summarise("tiny", trainer, bare)
    assert result.speed.ratio == pytest.approx(0.9)
    assert result.cpu_speed.ratio == pytest.approx(1.8)


@pytest.mark.parametrize("loss", [1.001, math.nan])
def test_losses_that_differ_are_no_same_work(loss: float) -> None:
    result = summarise("tiny", [RUN, replace(RUN, losses=(1.1, loss))], [RUN, RUN])
    assert not result.same_work


def test_too_few_battles_for_a_step_after_the_warm_up_are_refused(base: Path) -> None:
    with pytest.raises(ConfigError, match="tiny: 5 battles make one step, which warms up; take at least 6"):
        bench_train(recipe(base), battles=battles(5), say=lambda _line: None)
