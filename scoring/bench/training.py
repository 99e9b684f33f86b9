"""Throughput of training by transformers' Trainer, as `finetune` trains, against a bare PyTorch loop.

Both sides do the same steps: the same base with LoRA and head, the same micro-batches, the same loss, AdamW with the
same groups of parameters, the same clipping and schedule, under the same malloc and threads. They run in processes of
their own, taking turns. The clock runs over optimiser steps, from the end of the first one, which warms up: loading,
checkpoints and looks at the dev pairs are outside it. That both sides did the same work shows in their losses.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from prefstream.schemas import Battle
from prefstream.scoring.bench.process import run_worker
from prefstream.scoring.bench.side_by_side import SideBySide, TimedRun, take_turns
from prefstream.scoring.bench.throughput import bench_battles
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.finetune.recipe import Recipe, StageRecipe, StepRecipe

DEFAULT_RECIPE: Final = "smollm2-135m"
"""The smallest of those that ship."""

LOSS_TOLERANCES: Final = {"float32": 1e-4, "bfloat16": 2e-2}
"""Most that a loss of one side may differ from the other's, relative to it: rounding, carried on through the steps."""

_LEAST_LOSS: Final = 1e-9
"""What a smaller loss counts as where it divides: judges that sure have nothing left to learn."""

_WORKER: Final = "prefstream.scoring.bench.training_worker"
_BARE_OPTIMIZERS: Final = ("adamw_torch", "adamw_torch_fused")
"""What PyTorch alone has."""


@dataclass(frozen=True, slots=True)
class TrainRun(TimedRun):
    """One run of one side; times and tokens are those of all steps but the first.

    Attributes:
        pairs: of these steps.
        losses: of every step of the plan, the first included.
        dtype: computed in.
    """

    pairs: int
    losses: tuple[float, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class TrainBenchResult:
    """What was measured: Trainer is *ours*, the bare loop *theirs*.

    Attributes:
        recipe: name of it.
        steps: of the plan; all but the first were timed.
        pairs: timed in each run.
        tokens: timed in each run, padding excluded.
        padded_tokens: with padding.
        speed: pairs per second.
        cpu_speed: pairs per CPU second: what to look at on a machine that other programs use, too.
        trainer_loss: of the last step.
        bare_loss: of the last step.
        largest_loss_gap: most that any step's loss of one side differs from the other's, relative to it, in any run.
        loss_tolerance: what it may be.
        trainer_settings: what decides Trainer's speed.
        bare_settings: what decides the bare loop's speed.
        trainer_memory_bytes: most memory that Trainer's process held.
        bare_memory_bytes: most memory that the bare loop's process held.
    """

    recipe: str
    steps: int
    pairs: int
    tokens: int
    padded_tokens: int
    speed: SideBySide
    cpu_speed: SideBySide
    trainer_loss: float
    bare_loss: float
    largest_loss_gap: float
    loss_tolerance: float
    trainer_settings: Mapping[str, str]
    bare_settings: Mapping[str, str]
    trainer_memory_bytes: int
    bare_memory_bytes: int

    @property
    def same_work(self) -> bool:
        """Whether the losses agree; otherwise the ratio compares unlike things."""
        return self.largest_loss_gap <= self.loss_tolerance

    def to_fields(self) -> dict[str, Any]:
        """All of it, for a JSON file."""
        speeds = {"speed": self.speed.to_fields(), "cpu_speed": self.cpu_speed.to_fields()}
        return {**asdict(self), **speeds, "same_work": self.same_work}


def bench_train(
    recipe: Recipe,
    *,
    battles: Sequence[Battle] | None = None,
    repetitions: int = 1,
    say: Callable[[str], None],
) -> TrainBenchResult:
    """Measure Trainer against the bare loop.

    Args:
        recipe: what is trained, and how. Its stages become one over all battles, each of weight 1. An optimiser
            that PyTorch doesn't have becomes PyTorch's AdamW, on both sides.
        battles: by default `bench_battles()`; they are given labels, which decide nothing about speed.
        repetitions: runs of each side; they take turns.
        say: told what is being run, a line at a time.

    Raises:
        ConfigError: the battles don't make two steps.
        BenchError: a run failed.
    """
    chosen = list(bench_battles() if battles is None else battles)
    recipe = comparable(recipe)
    least = _least_battles(recipe.step)
    if len(chosen) < least:
        error = f"{recipe.name}: {len(chosen)} battles make one step, which warms up; take at least {least}"
        raise ConfigError("bench", (error,))
    with tempfile.TemporaryDirectory(prefix="prefstream-bench-") as folder:
        request = write_request(Path(folder), recipe, chosen)

        def run(arm: str) -> TrainRun:
            return read_run(run_worker(_WORKER, arm, request))

        trainer, bare = take_turns("trainer", "bare", run, repetitions, say=say)
    return summarise(recipe.name, trainer, bare)


def read_run(fields: Mapping[str, Any]) -> TrainRun:
    """What a worker wrote."""
    return TrainRun(**{**fields, "losses": tuple(map(float, fields["losses"]))})


def summarise(recipe: str, trainer: Sequence[TrainRun], bare: Sequence[TrainRun]) -> TrainBenchResult:
    """Compare runs of both sides; those at the same place are neighbours in time."""
    last = trainer[-1]
    return TrainBenchResult(
        recipe=recipe,
        steps=len(last.losses),
        pairs=last.pairs,
        tokens=last.tokens,
        padded_tokens=last.padded_tokens,
        speed=SideBySide.of_seconds(last.pairs, [run.seconds for run in trainer], [run.seconds for run in bare]),
        cpu_speed=SideBySide.of_seconds(
            last.pairs, [run.cpu_seconds for run in trainer], [run.cpu_seconds for run in bare]
        ),
        trainer_loss=last.losses[-1],
        bare_loss=bare[-1].losses[-1],
        largest_loss_gap=max(
            _gap(one, other)
            for ours, theirs in zip(trainer, bare, strict=True)
            for one, other in zip(ours.losses, theirs.losses, strict=True)
        ),
        loss_tolerance=LOSS_TOLERANCES[last.dtype],
        trainer_settings=last.settings,
        bare_settings=bare[-1].settings,
        trainer_memory_bytes=max(run.peak_memory_bytes for run in trainer),
        bare_memory_bytes=max(run.peak_memory_bytes for run in bare),
    )


def _gap(one: float, other: float) -> float:
    """Between two losses, relative to the second; infinite where one is no number."""
    gap = abs(one - other) / max(abs(other), _LEAST_LOSS)
    return gap if math.isfinite(gap) else math.inf


def comparable(recipe: Recipe) -> Recipe:
    """The recipe for data without tiers in which every pair weighs 1, with an optimiser that the bare loop has."""
    balance = "step" if recipe.data.balance_length == "step" else "none"
    plain = {"stages": (StageRecipe(),), "weights": {}, "prompt_exponent": 0.0, "shorter_won": 1.0}
    data = recipe.data.model_copy(update={**plain, "balance_length": balance})
    optimizer = recipe.optimizer
    if optimizer.name not in _BARE_OPTIMIZERS:
        optimizer = optimizer.model_copy(update={"name": _BARE_OPTIMIZERS[0]})
    return recipe.model_copy(update={"data": data, "optimizer": optimizer})


def _least_battles(step: StepRecipe) -> int:
    """That make a second update: what is left of a step counts as one from half its weight."""
    return step.accumulation * math.ceil(step.weight) + math.ceil(step.weight / 2)


def write_request(folder: Path, recipe: Recipe, battles: Sequence[Battle]) -> Path:
    """Write what a worker reads; returns where."""
    path = folder / "request.json"
    fields = {
        "recipe": recipe.model_dump(mode="json"),
        "battles": [battle.model_dump(mode="json") for battle in battles],
    }
    path.write_text(json.dumps(fields), encoding="utf-8")
    return path
