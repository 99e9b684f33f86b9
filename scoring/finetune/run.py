"""A training run from files to an adapter folder: read, plan, train, keep the best, store, evaluate as stored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from prefstream.scoring.atomic_file import hash_file, write_json
from prefstream.scoring.errors import ConfigError, FinetuneError
from prefstream.scoring.file_names import printable
from prefstream.scoring.files.data_report import DataReport
from prefstream.scoring.finetune.callbacks import (
    BEST_WEIGHTS,
    FiniteLoss,
    Interruption,
    KeepBest,
    Report,
    RunClock,
    TrainingObserver,
    WholeCheckpoints,
    cost_until,
    newest_checkpoint,
    read_best,
)
from prefstream.scoring.finetune.checks import IDENTITY, WORK, read_reports
from prefstream.scoring.finetune.data.pairs import Pairs
from prefstream.scoring.finetune.data.parts import DataPart, Fold, parts
from prefstream.scoring.finetune.data.teacher import Teacher, read_teacher
from prefstream.scoring.finetune.dev_metrics import DevReading, dev_part
from prefstream.scoring.finetune.encode import EncodedPart, encode_dev, encode_train
from prefstream.scoring.finetune.export import Receipt, store_adapter, write_curves
from prefstream.scoring.finetune.fitted.beginning import begin_with_fitted_head
from prefstream.scoring.finetune.fitted.kept_states import drop_states
from prefstream.scoring.finetune.model import Student, load_student, open_student
from prefstream.scoring.finetune.passes import StepDataset
from prefstream.scoring.finetune.receipt import write_predictions
from prefstream.scoring.finetune.recipe import Recipe
from prefstream.scoring.finetune.start import Origin, start_hash
from prefstream.scoring.finetune.steps import TrainingPlan, first_tau, longer_win_rate, plan_steps, step_tokens
from prefstream.scoring.finetune.trainer import JudgeTrainer, Reading, training_arguments
from prefstream.scoring.judges.memory.device_errors import is_out_of_memory
from prefstream.scoring.loading.base_model import quiet_libraries
from prefstream.scoring.loading.sources import public_name
from prefstream.scoring.runtime import is_first_process


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        finished: False when it was interrupted; it can then be resumed.
        metrics: on the dev pairs, of the adapter as stored.
        steps: optimiser steps done.
    """

    finished: bool
    metrics: Mapping[str, float]
    steps: int


@dataclass(frozen=True, slots=True)
class _Data:
    """Both parts, encoded."""

    train: EncodedPart
    dev: EncodedPart | None


def finetune(
    recipe: Recipe,
    train: Path,
    output: Path,
    *,
    dev: Path | None = None,
    hold_out: Fold | None = None,
    teachers: Sequence[Path] = (),
    start: Path | None = None,
    resume: bool = False,
    observer: TrainingObserver,
    interrupted: Callable[[], bool] = lambda: False,
    seen: Callable[[str, DataReport], None] = lambda _name, _report: None,
) -> Outcome:
    """Train a judge.

    Args:
        recipe: how.
        train: labelled pairs, CSV or JSONL.
        output: folder for the adapter; checkpoints lie in a folder within.
        dev: labelled pairs to select by; without any the last weights are kept.
        hold_out: the prompts of `train` whose pairs are not learnt from, and selected by in place of `dev`.
        teachers: files of predictions about the training pairs, to be mixed into their labels.
        start: folder of an adapter to begin with, of this base and LoRA's shape; its head is taken where it is of the
            same kind of judge.
        resume: go on at the newest whole checkpoint, if there is one.
        observer: told what happens.
        interrupted: asked after each step; when true the run saves and ends.
        seen: told what was found in each part of the data.

    Raises:
        FileError: the data can't be read or learnt from.
        ConfigError: the recipe doesn't fit base or data, or what is resumed was another run.
        LoadError: the base, or the adapter to begin with, can't be loaded.
        FinetuneError: the loss is no number, or the card's memory is too small.
    """
    work = output / WORK
    work.mkdir(parents=True, exist_ok=True)
    learnt_from, measured_on = parts(train, dev, hold_out)
    teacher = read_teacher(teachers, learnt_from)
    identity = _identity(recipe, learnt_from, measured_on, teacher, start)
    if resume:
        _check_same(work, identity)
    checkpoint = newest_checkpoint(work) if resume else None
    clock = RunClock(cost_until(checkpoint) if checkpoint else None)
    reports = read_reports(learnt_from, measured_on, recipe, seen)
    student = open_student(recipe, say=observer.say)
    origin = Origin.of(start, student) if start else None
    data = _encode(student, learnt_from, measured_on, reports, teacher, observer)
    pairs = data.train.pairs
    plan = plan_steps(pairs, recipe.data, recipe.step, seed=recipe.seed, max_steps=recipe.max_steps)
    if is_first_process():
        _claim(work, identity, resume=resume)
    observer.say(_describe(pairs, plan))
    torch.manual_seed(recipe.seed)
    tau = first_tau(pairs, plan) if origin is None or origin.tau is None else origin.tau
    reading = _reading(student, tau)
    observer.say(f"loading {public_name(recipe.base)} onto {student.placement.device}")
    interruption = Interruption(interrupted)
    with _lack_of_memory_explained():
        steps = StepDataset(pairs, plan, recipe, pad_id=reading.pad_id)
        callbacks = [Report(observer, steps.tokens), interruption, WholeCheckpoints(clock)]
        trainer = _trainer(student, origin, steps, data.dev, reading, work, callbacks)
        begun = recipe.head.begin == "zeros" or begin_with_fitted_head(
            trainer, pairs, plan.weights, recipe.head.penalties, work, say=observer.say, interrupted=interrupted
        )
        if begun and plan.steps:
            _train(trainer, checkpoint, observer)
    done = trainer.state.global_step
    if not begun or interruption.happened:
        _leave_other_processes(trainer)
        return Outcome(finished=False, metrics={}, steps=done)
    best, metrics = _store(student, trainer, data, work, output, observer)
    _leave_other_processes(trainer)
    if is_first_process():
        receipt = Receipt(
            recipe=recipe,
            student=student,
            data=_data_record(data, identity, teacher),
            start=printable(start.resolve().name) if start else None,
            plan=_plan_record(pairs, plan),
            best_step=best,
            steps=done,
            metrics=metrics,
            cost=clock.cost(),
        )
        receipt.write(output)
        if plan.steps:
            write_curves(output, trainer.state.log_history, title=recipe.name)
    return Outcome(finished=True, metrics=metrics, steps=done)


def _leave_other_processes(trainer: JudgeTrainer) -> None:
    """End the process group, if there is one: a process that leaves it to the interpreter's end may abort there.

    The model's wrapper goes first. As the group's last owner it would wait for the group's thread and hold the
    interpreter's lock meanwhile, for which that thread may be waiting: both for ever (pytorch/pytorch#56297).
    """
    trainer.model_wrapped = trainer.model
    trainer.accelerator.free_memory()
    trainer.accelerator.end_training()


def _train(trainer: JudgeTrainer, checkpoint: Path | None, observer: TrainingObserver) -> None:
    if checkpoint:
        observer.say(f"going on at step {checkpoint.name.rpartition('-')[2]}")
    with quiet_libraries():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def _store(
    student: Student, trainer: JudgeTrainer, data: _Data, work: Path, output: Path, observer: TrainingObserver
) -> tuple[int | None, Mapping[str, float]]:
    """Write the adapter with its best weights, and measure it as it is stored; the step of these weights, metrics."""
    trainer.accelerator.wait_for_everyone()  # the first process may still be writing the best weights
    best = _take_best(trainer, work) if data.dev is not None else None
    if is_first_process():
        store_adapter(student, trainer.model, output, tau=trainer.reading.tau)
    trainer.accelerator.wait_for_everyone()
    if data.dev is None:
        return best, {}
    chosen = dev_part(data.dev.pairs, None, tiers=student.recipe.dev.tiers)
    final = _read_as_stored(trainer, chosen, output)
    observer.say(f"on {len(chosen):,} dev pairs, with the adapter as stored:")
    if is_first_process():
        write_predictions(output, chosen, final.probabilities)
    return best, final.metrics


@contextmanager
def _lack_of_memory_explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error, beyond_doubt=True):
            raise
        raise FinetuneError(
            "the card's memory is too small for this run; lower step.micro_batch_tokens and step.pass_tokens, or set "
            "step.gradient_checkpointing: true or a quantization"
        ) from None


def _identity(
    recipe: Recipe, train: DataPart, dev: DataPart | None, teacher: Teacher | None, start: Path | None
) -> dict[str, Any]:
    """What decides the course of a run."""
    return {
        "recipe": recipe.model_dump(mode="json"),
        "train": hash_file(train.path),
        "dev": hash_file(dev.path) if dev else None,
        "held-out part": str(train.fold) if train.fold else None,
        "teacher": [found["sha256"] for found in teacher.files] if teacher else None,
        "start": start_hash(start) if start else None,
    }


def _check_same(work: Path, identity: Mapping[str, Any]) -> None:
    """Insist that what is resumed is the same run."""
    place = work / IDENTITY
    if place.exists():
        before = json.loads(place.read_text(encoding="utf-8"))
        changed = [name for name in identity if before.get(name) != identity[name]]
        if changed:
            raise ConfigError(
                str(place), (f"the run was started with another {', '.join(changed)}; start anew with --force",)
            )


def _claim(work: Path, identity: Mapping[str, Any], *, resume: bool) -> None:
    """Write down what this run is; what an earlier one left is deleted, unless this one goes on with it."""
    place = work / IDENTITY
    if resume and place.exists():
        return
    for stale in [*work.glob("checkpoint-*"), work / "tensorboard"]:
        shutil.rmtree(stale, ignore_errors=True)
    for stale in [*work.glob("best.*"), *work.glob("head.*")]:
        stale.unlink()
    drop_states(work)
    write_json(place, identity)


def _encode(
    student: Student,
    train: DataPart,
    dev: DataPart | None,
    reports: tuple[DataReport, DataReport | None],
    teacher: Teacher | None,
    observer: TrainingObserver,
) -> _Data:
    train_report, dev_report = reports
    learnt = encode_train(student, train, train_report, teacher, observer.say)
    if dev is None or dev_report is None:
        return _Data(learnt, None)
    return _Data(learnt, encode_dev(student, dev, dev_report, learnt, observer.say))


def _trainer(
    student: Student,
    origin: Origin | None,
    steps: StepDataset,
    dev: EncodedPart | None,
    reading: Reading,
    work: Path,
    callbacks: list[Any],
) -> JudgeTrainer:
    recipe = student.recipe
    part = None
    if dev is not None:
        part = dev_part(dev.pairs, recipe.dev.max_battles, tiers=recipe.dev.tiers, seed=recipe.seed)
        callbacks = [*callbacks, KeepBest(work, recipe.dev.patience)]
    arguments = training_arguments(
        recipe,
        str(work),
        steps=len(steps),
        on_cpu=student.placement.device.type == "cpu",
        evaluates=part is not None,
    )
    model = load_student(student)
    if origin is not None:
        origin.put_into(model)
    return JudgeTrainer(
        model,
        args=arguments,
        steps=steps,
        dev=part,
        reading=reading,
        optimizer=recipe.optimizer,
        callbacks=[FiniteLoss(), *callbacks, _tensorboard(work)],
    )


def _tensorboard(work: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    return TensorBoardCallback(SummaryWriter(str(work / "tensorboard")))


def _take_best(trainer: JudgeTrainer, work: Path) -> int | None:
    """Put the best weights back; returns their step."""
    import peft
    from safetensors.torch import load_file

    best = read_best(work)
    if best is None:
        return None
    peft.set_peft_model_state_dict(trainer.model, load_file(work / BEST_WEIGHTS))
    return int(best["step"])


def _read_as_stored(trainer: JudgeTrainer, dev: Pairs, output: Path) -> DevReading:
    """Judge the dev pairs with the weights that were written, rounded as they are."""
    import peft
    from safetensors.torch import load_file

    weights = load_file(output / "adapter_model.safetensors")
    peft.set_peft_model_state_dict(trainer.model, {name: tensor.float() for name, tensor in weights.items()})
    return trainer.read_dev(dev)


def _reading(student: Student, tau: float) -> Reading:
    recipe = student.recipe
    return Reading(
        kind=recipe.kind,
        tau=tau,
        consistency=recipe.data.consistency,
        dtype=student.placement.dtype,
        pad_id=student.base.tokenizer.pad_token_id,
        pass_tokens=recipe.step.pass_tokens,
    )


def _describe(pairs: Pairs, plan: TrainingPlan) -> str:
    tokens = sum(map(len, pairs.sequences))
    described = (
        f"{len(pairs):,} pairs, {len(pairs.sequences):,} distinct sequences of {tokens:,} tokens; "
        f"{len(plan.steps):,} steps over {plan.pairs_seen:,} pairs, {step_tokens(pairs, plan).sum():,} tokens to read"
    )
    left_out = int(((pairs.weights > 0) & (plan.weights == 0)).sum())
    if left_out:
        described += f"; {left_out:,} pairs are left out: no stage of the recipe takes them, or it weighs them 0"
    return described


def _plan_record(pairs: Pairs, plan: TrainingPlan) -> dict[str, Any]:
    return {
        "steps": len(plan.steps),
        "pairs_seen": plan.pairs_seen,
        "tokens": int(step_tokens(pairs, plan).sum()),
        "longer_wins": longer_win_rate(pairs, pairs.weights),
        "longer_wins_as_weighted": longer_win_rate(pairs, plan.weights),
    }


def _data_record(data: _Data, identity: Mapping[str, Any], teacher: Teacher | None) -> dict[str, Any]:
    train, dev = data.train, data.dev
    return {
        "train": train.record(identity["train"]),
        "dev": dev.record(identity["dev"]) if dev else None,
        "held_out": identity["held-out part"],
        "teacher": {"files": list(teacher.files), "pairs": train.taught} if teacher else None,
    }
