"""Runs that begin with a fitted head: alone, before LoRA, and over an interruption."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.torch import load_file

from prefstream.scoring.adapters.receipt import PREDICTIONS
from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.finetune.callbacks import StepReport
from prefstream.scoring.finetune.recipe import Recipe
from prefstream.scoring.finetune.run import Outcome, finetune
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.loading.adapter_record import AdapterRecord
from prefstream.scoring.loading.judge import load_judge
from tests.support.labelled_pairs import make_recipe, make_rows, read_rows, write_rows
from tests.unit.scoring.finetune.conftest import MakeBase

WEIGHTS = "adapter_model.safetensors"
PENALTIES = [0.1, 1.0]


@dataclass
class Watching:
    """An observer; what it was told."""

    lines: list[str] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.lines.append(line)

    def advanced(self, report: StepReport) -> None:
        if report.loss is not None:
            self.losses.append(report.loss)


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "train.jsonl", make_rows(80, prompts=20))


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "dev.jsonl", make_rows(18, prompts=6, seed=1))


@pytest.fixture(scope="module", params=["last", "mean"])
def recipe(base: MakeBase, request: pytest.FixtureRequest) -> Recipe:
    return make_recipe(base("llama"), head={"begin": "fitted", "penalties": PENALTIES}, pooling=request.param)


def alone(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"max_steps": 0})


def test_alone_it_is_a_judge_that_says_what_the_run_measured(
    recipe: Recipe, train: Path, dev: Path, tmp_path: Path
) -> None:
    watching = Watching()
    outcome = finetune(alone(recipe), train, tmp_path, dev=dev, observer=watching)
    assert (outcome.finished, outcome.steps) == (True, 0)
    assert outcome.metrics["log_loss"] < 1.0
    assert sum("on prompts that were not fitted on" in line for line in watching.lines) == len(PENALTIES)
    assert not (tmp_path / "curves.png").exists()
    assert "LoRA adds nothing" in (tmp_path / "README.md").read_text()
    entry = {"name": "j", "kind": "pointwise", "base": recipe.base, "adapter": str(tmp_path), "dtype": "float32"}
    config = ModelJudgeConfig.model_validate(entry)
    judge = load_judge(config, place_judges([config])["j"])
    said = judge.score(judge.encode([row.battle for row in read_rows(dev)])).probabilities
    with (tmp_path / PREDICTIONS).open(newline="") as file:
        measured = [list(map(float, row[1:])) for row in csv.reader(file) if row[0] != "id"]
    np.testing.assert_allclose(said, measured, atol=1e-4)


def test_twice_it_is_the_same_to_the_bit(recipe: Recipe, train: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        finetune(alone(recipe), train, tmp_path / name, observer=Watching())
    one, two = (load_file(tmp_path / name / WEIGHTS) for name in ("one", "two"))
    assert all((one[name] == two[name]).all() for name in one)


def test_training_goes_on_from_it(recipe: Recipe, train: Path, tmp_path: Path) -> None:
    losses = {}
    for begin in ("zeros", "fitted"):
        head = recipe.head.model_copy(update={"begin": begin})
        watching = Watching()
        finetune(recipe.model_copy(update={"head": head, "max_steps": 2}), train, tmp_path / begin, observer=watching)
        losses[begin] = watching.losses[0]
    assert losses["fitted"] < losses["zeros"] - 0.1
    taus = [AdapterRecord.read(tmp_path / begin).tau for begin in ("zeros", "fitted")]
    assert taus[0] != taus[1]


@pytest.mark.parametrize("passes", [0, 3])
def test_interrupted_while_it_reads_it_goes_on_where_it_was_to_the_same_bits(
    recipe: Recipe, train: Path, tmp_path: Path, passes: int
) -> None:
    asked = iter(range(passes + 1))
    stopped = finetune(
        alone(recipe), train, tmp_path / "one", observer=Watching(), interrupted=lambda: next(asked) == passes
    )
    assert stopped == Outcome(finished=False, metrics={}, steps=0)
    assert not (tmp_path / "one" / WEIGHTS).exists()
    watching = Watching()
    assert finetune(alone(recipe), train, tmp_path / "one", observer=watching, resume=True).finished
    assert any(f"going on: {passes} of" in line for line in watching.lines) == (passes > 0)
    assert not list((tmp_path / "one").rglob("states.*"))
    finetune(alone(recipe), train, tmp_path / "two", observer=Watching())
    one, two = (load_file(tmp_path / name / WEIGHTS) for name in ("one", "two"))
    assert all((one[name] == two[name]).all() for name in one)


def test_another_run_reads_everything_itself(recipe: Recipe, train: Path, tmp_path: Path) -> None:
    asked = iter(range(4))
    finetune(alone(recipe), train, tmp_path, observer=Watching(), interrupted=lambda: next(asked) == 3)
    assert list(tmp_path.rglob("states.*"))
    watching = Watching()
    assert finetune(alone(recipe), train, tmp_path, observer=watching).finished
    assert not any("going on" in line for line in watching.lines)


def test_a_run_that_goes_on_reads_nothing_for_a_head_again(recipe: Recipe, train: Path, tmp_path: Path) -> None:
    finetune(alone(recipe), train, tmp_path, observer=Watching())
    watching = Watching()
    assert finetune(alone(recipe), train, tmp_path, observer=watching, resume=True).finished
    assert not any("to fit a head" in line for line in watching.lines)
    watching = Watching()
    finetune(alone(recipe), train, tmp_path, observer=watching)
    assert any("to fit a head" in line for line in watching.lines)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "pairwise", "head": {"begin": "fitted"}}, "only a pointwise judge's head can be fitted"),
        ({"max_steps": 0}, "without a step nothing is learnt, unless head.begin is fitted"),
        ({"head": {"begin": "fitted", "penalties": []}}, "penalties"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_recipe("/base", **settings)
