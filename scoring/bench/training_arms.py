"""Both sides of `prefstream.scoring.bench.training`, as its worker runs them.

They share what a step is made of: the student, the planned micro-batches, and the loss of a batch. How gradients are
computed, accumulated, clipped and applied, the bare loop does on its own, with PyTorch alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import torch
from torch.utils.tensorboard import SummaryWriter
from transformers import TrainerCallback, get_scheduler
from transformers.integrations import TensorBoardCallback

from prefstream.schemas import OUTCOMES, Battle
from prefstream.scoring import runtime
from prefstream.scoring.bench.process import Stopwatch
from prefstream.scoring.files.labelled import Label, LabelledBattle
from prefstream.scoring.finetune.callbacks import (
    FiniteLoss,
    Interruption,
    Report,
    RunClock,
    StepReport,
    WholeCheckpoints,
)
from prefstream.scoring.finetune.data.pairs import encode_pairs, keep_one_order
from prefstream.scoring.finetune.model import Student, load_student, open_student
from prefstream.scoring.finetune.passes import MicroBatchTensors, StepDataset
from prefstream.scoring.finetune.recipe import OptimizerRecipe, Recipe
from prefstream.scoring.finetune.steps import TrainingPlan, plan_steps
from prefstream.scoring.finetune.trainer import JudgeTrainer, Reading, training_arguments


@dataclass(frozen=True, slots=True)
class Job:
    """What both sides do.

    Attributes:
        student: without its weights.
        plan: of the steps.
        steps: their micro-batches.
        reading: how outputs become a loss.
        folder: for what a run leaves behind.
    """

    student: Student
    plan: TrainingPlan
    steps: StepDataset
    reading: Reading
    folder: Path

    @classmethod
    def read(cls, request: Path) -> Self:
        """Encode and plan what a request of `prefstream.scoring.bench.training` asks for."""
        fields = json.loads(request.read_bytes())
        recipe = Recipe.model_validate(fields["recipe"])
        battles = [Battle.model_validate(battle) for battle in fields["battles"]]
        student = open_student(recipe, say=lambda _line: None)
        pairs = encode_pairs(_label(battles), student.encoder)
        if recipe.kind == "pairwise" and recipe.data.swap == "random":
            pairs = keep_one_order(pairs, seed=recipe.seed)
        plan = plan_steps(pairs, recipe.data, recipe.step, seed=recipe.seed)
        reading = Reading(
            kind=recipe.kind,
            tau=0.0,
            consistency=recipe.data.consistency,
            dtype=student.placement.dtype,
            pad_id=student.base.tokenizer.pad_token_id,
            pass_tokens=recipe.step.pass_tokens,
        )
        steps = StepDataset(pairs, plan, recipe, pad_id=reading.pad_id)
        return cls(student, plan, steps, reading, request.parent)

    @property
    def recipe(self) -> Recipe:
        """How it is trained."""
        return self.student.recipe

    @property
    def device(self) -> torch.device:
        """Where."""
        return self.student.placement.device

    def updates(self) -> list[range]:
        """Steps whose gradients are added up, one range for each time that weights move; the first warms up."""
        count, together = len(self.steps), self.recipe.step.accumulation
        return [range(start, min(start + together, count)) for start in range(0, count, together)]

    def load(self) -> Any:
        """The student's model, the same at every call."""
        torch.manual_seed(self.recipe.seed)
        return load_student(self.student)

    def now(self) -> None:
        """Let a GPU finish what it was given, so that a clock that is read next counts it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def describe(self, clock: Stopwatch, losses: Sequence[torch.Tensor]) -> dict[str, Any]:
        """The answer of a run, for `prefstream.scoring.bench.training.read_run`."""
        timed = range(self.recipe.step.accumulation, len(self.steps))
        passes = [one for step in timed for batch in self.steps[step] for one in batch["passes"]]
        placement = self.student.placement
        dtype = str(placement.dtype).removeprefix("torch.")
        return {
            "seconds": clock.seconds,
            "cpu_seconds": clock.cpu_seconds,
            "pairs": sum(len(self.plan.steps[step]) for step in timed),
            "tokens": sum(int(one["attention_mask"].sum()) for one in passes),
            "padded_tokens": sum(one["input_ids"].numel() for one in passes),
            "losses": [float(loss) for loss in losses],
            "dtype": dtype,
            "settings": {
                "judge": f"{dtype}, {self.student.attention}, {placement.device}",
                "optimizer": self.recipe.optimizer.name,
                "threads": str(torch.get_num_threads()),
                **runtime.describe(),
            },
        }


def run_trainer(job: Job) -> dict[str, Any]:
    """Train as `finetune` does, with all that it does at each step: progress, checks, TensorBoard's files."""
    clock = Stopwatch()
    arguments = training_arguments(
        job.recipe, str(job.folder), steps=len(job.steps), on_cpu=job.device.type == "cpu", evaluates=False
    )
    arguments.set_save(strategy="no")
    trainer = _WatchedTrainer(
        job.load(),
        args=arguments,
        steps=job.steps,
        dev=None,
        reading=job.reading,
        optimizer=job.recipe.optimizer,
        callbacks=[
            Report(_Silent(), job.steps.tokens),
            Interruption(lambda: False),
            WholeCheckpoints(RunClock()),
            FiniteLoss(),
            TensorBoardCallback(SummaryWriter(str(job.folder / "tensorboard"))),
            _Stopwatch(clock, job),
        ],
    )
    trainer.train()
    return job.describe(clock, trainer.losses)


def run_bare(job: Job) -> dict[str, Any]:
    """Train with a loop as one writes it by hand."""
    recipe, updates = job.recipe, job.updates()
    model = job.load()
    model.train()
    optimizer = _adamw(model, recipe.optimizer)
    schedule = get_scheduler(
        recipe.optimizer.schedule,
        optimizer,
        num_warmup_steps=math.ceil(recipe.optimizer.warmup * len(updates)),
        num_training_steps=len(updates),
    )
    trained = [weight for group in optimizer.param_groups for weight in group["params"]]
    clock = Stopwatch()
    losses: list[torch.Tensor] = []
    for number, together in enumerate(updates):
        for step in together:
            torch.manual_seed(step)
            losses.append(_bare_step(model, job, job.steps[step], share=1 / len(together)))
        torch.nn.utils.clip_grad_norm_(trained, recipe.optimizer.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if number == 0:
            job.now()
            clock.start()
    job.now()
    clock.stop()
    return job.describe(clock, losses)


ARMS: Final[dict[str, Callable[[Job], dict[str, Any]]]] = {"trainer": run_trainer, "bare": run_bare}


class _WatchedTrainer(JudgeTrainer):
    """Keeps the loss of every step, and draws the same dropout in it as the bare loop."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.losses: list[torch.Tensor] = []
        super().__init__(*args, **settings)

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """As in `finetune`."""
        torch.manual_seed(len(self.losses))
        self.losses.append(super().training_step(model, inputs, num_items_in_batch))
        return self.losses[-1]


class _Stopwatch(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Times what lies between the ends of the first update and the last: as much of each kind of work as updates."""

    def __init__(self, clock: Stopwatch, job: Job) -> None:
        self._clock = clock
        self._job = job

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - as Trainer calls it
        """Start or stop."""
        if state.global_step == 1:
            self._job.now()
            self._clock.start()
        elif state.global_step == state.max_steps:
            self._job.now()
            self._clock.stop()


class _Silent:
    """An observer without a screen."""

    def say(self, line: str) -> None:
        """Pass over it."""

    def advanced(self, report: StepReport) -> None:
        """Pass over it."""


def _label(battles: Sequence[Battle]) -> list[LabelledBattle]:
    """Each outcome in turn."""
    labels = [
        Label(outcome, (float(place == 0), float(place == 1), float(place == 2)))
        for place, outcome in enumerate(OUTCOMES)
    ]
    return [
        LabelledBattle(battle, labels[number % len(labels)], number + 1, None, None)
        for number, battle in enumerate(battles)
    ]


def _adamw(model: torch.nn.Module, settings: OptimizerRecipe) -> torch.optim.AdamW:
    """With a rate for LoRA and one for the head."""
    trained = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    head_rate = settings.head_learning_rate or settings.learning_rate
    return torch.optim.AdamW(
        [
            {"params": [weight for name, weight in trained if "lora_" in name], "lr": settings.learning_rate},
            {"params": [weight for name, weight in trained if "lora_" not in name], "lr": head_rate},
        ],
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
        fused=True if settings.name == "adamw_torch_fused" else None,
    )


def _bare_step(model: Any, job: Job, micro_batches: list[MicroBatchTensors], *, share: float) -> torch.Tensor:
    """Gradients of one planned step; returns its loss, a scalar."""
    total = torch.zeros((), device=job.device)
    for batch in micro_batches:
        tensors = {name: value.to(job.device) for name, value in batch.items() if name != "passes"}
        with _autocast(job):
            outputs = [
                model(
                    input_ids=one["input_ids"].to(job.device),
                    attention_mask=one["attention_mask"].to(job.device),
                    use_cache=False,
                ).logits
                for one in batch["passes"]
            ]
        loss = job.reading.loss(torch.cat(outputs).float(), tensors) * share
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return total


def _autocast(job: Job) -> AbstractContextManager[object]:
    if job.reading.dtype == torch.float32:
        return nullcontext()
    return torch.autocast(job.device.type, dtype=job.reading.dtype)
