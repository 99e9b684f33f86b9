"""A training run from files to an adapter folder: read, plan, train, keep the best, store, evaluate as stored."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from prefstream.scoring.atomic_file import hash_file, write_json
from prefstream.scoring.errors import ConfigError, FileError, FinetuneError
from prefstream.scoring.file_names import printable
from prefstream.scoring.files.data_report import DataReport
from prefstream.scoring.files.labelled import LabelledBattle, read_labelled
from prefstream.scoring.finetune.callbacks import (
    BEST_WEIGHTS,
    FiniteLoss,
    Interruption,
    KeepBest,
    Report,
    TrainingObserver,
    WholeCheckpoints,
    newest_checkpoint,
    read_best,
)
from prefstream.scoring.finetune.checks import IDENTITY, WORK, read_reports, shared_prompts
from prefstream.scoring.finetune.dev_metrics import DevReading, dev_part
from prefstream.scoring.finetune.export import Receipt, store_adapter, write_curves, write_predictions
from prefstream.scoring.finetune.model import Student, load_student, open_student
from prefstream.scoring.finetune.pairs import Pairs, alike_and_decided, encode_pairs, keep_one_order, take
from prefstream.scoring.finetune.passes import StepDataset
from prefstream.scoring.finetune.recipe import Recipe
from prefstream.scoring.finetune.steps import TrainingPlan, longer_win_rate, plan_steps
from prefstream.scoring.finetune.trainer import JudgeTrainer, Reading, training_arguments
from prefstream.scoring.loading.base_model import quiet_libraries
from prefstream.scoring.loading.sources import public_name
from prefstream.scoring.runtime import is_first_process

_TIE_SHARE_BOUNDS: Final = (0.01, 0.9)
"""Of the share of ties that the first answer assumes: data without ties must not make them impossible for good."""


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
    """Both files, encoded, with what was found in them."""

    train: Pairs
    train_report: DataReport
    dev: Pairs | None
    dev_report: DataReport | None


def finetune(
    recipe: Recipe,
    train: Path,
    output: Path,
    *,
    dev: Path | None = None,
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
        dev: labelled pairs to select by; without them the last weights are kept.
        resume: go on at the newest whole checkpoint, if there is one.
        observer: told what happens.
        interrupted: asked after each step; when true the run saves and ends.
        seen: told what was found in each file.

    Raises:
        FileError: the data can't be read or learnt from.
        ConfigError: the recipe doesn't fit base or data, or what is resumed was another run.
        LoadError: the base can't be loaded.
        FinetuneError: the loss is no number, or the card's memory is too small.
    """
    began = time.monotonic()
    work = output / WORK
    work.mkdir(parents=True, exist_ok=True)
    identity = _identity(recipe, train, dev)
    if resume:
        _check_same(work, identity)
    reports = read_reports(train, dev, recipe, seen)
    student = open_student(recipe, say=observer.say)
    data = _encode(student, train, dev, reports, observer)
    plan = plan_steps(data.train, recipe.data, recipe.step, seed=recipe.seed, max_steps=recipe.max_steps)
    if is_first_process():
        _claim(work, identity, resume=resume)
    observer.say(_describe(data.train, plan))
    torch.manual_seed(recipe.seed)
    reading = Reading(
        kind=recipe.kind,
        tau=_first_tau(data.train, plan),
        consistency=recipe.data.consistency,
        dtype=student.placement.dtype,
        pad_id=student.base.tokenizer.pad_token_id,
        pass_tokens=recipe.step.pass_tokens,
    )
    observer.say(f"loading {public_name(recipe.base)} onto {student.placement.device}")
    interruption = Interruption(interrupted)
    checkpoint = newest_checkpoint(work) if resume else None
    with _lack_of_memory_explained():
        trainer = _trainer(student, data, plan, reading, work, [Report(observer), interruption])
        if checkpoint:
            observer.say(f"going on at step {checkpoint.name.rpartition('-')[2]}")
        with quiet_libraries():
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    steps = trainer.state.global_step
    if interruption.happened:
        return Outcome(finished=False, metrics={}, steps=steps)
    trainer.accelerator.wait_for_everyone()  # the first process may still be writing the best weights
    best = _take_best(trainer, work) if data.dev is not None else None
    if is_first_process():
        store_adapter(student, trainer.model, output, tau=reading.tau)
    trainer.accelerator.wait_for_everyone()
    chosen = dev_part(data.dev, None, tiers=recipe.dev.tiers) if data.dev is not None else None
    final = _read_as_stored(trainer, chosen, output) if chosen is not None else None
    if chosen is not None:
        observer.say(f"on {len(chosen):,} dev pairs, with the adapter as stored:")
    metrics = final.metrics if final else {}
    if is_first_process():
        if final is not None and chosen is not None:
            write_predictions(output, chosen, final.probabilities)
        receipt = Receipt(
            recipe=recipe,
            student=student,
            data={
                "train": _data_record(train, identity["train"], data.train_report),
                "dev": _data_record(dev, identity["dev"], data.dev_report),
            },
            plan=_plan_record(data.train, plan),
            best_step=best,
            steps=steps,
            metrics=metrics,
            seconds=time.monotonic() - began,
        )
        receipt.write(output)
        write_curves(output, trainer.state.log_history, title=recipe.name)
    return Outcome(finished=True, metrics=metrics, steps=steps)


@contextmanager
def _lack_of_memory_explained() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise FinetuneError(
            "the card's memory is too small for this run; lower step.micro_batch_tokens and step.pass_tokens, or set "
            "step.gradient_checkpointing: true or a quantization"
        ) from None


def _identity(recipe: Recipe, train: Path, dev: Path | None) -> dict[str, Any]:
    """What decides the course of a run."""
    return {
        "recipe": recipe.model_dump(mode="json"),
        "train": hash_file(train),
        "dev": hash_file(dev) if dev else None,
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
    for stale in work.glob("best.*"):
        stale.unlink()
    write_json(place, identity)


def _encode(
    student: Student,
    train: Path,
    dev: Path | None,
    reports: tuple[DataReport, DataReport | None],
    observer: TrainingObserver,
) -> _Data:
    """Tokenise both files; what can't be learnt from is left out of the training pairs, and told."""
    recipe = student.recipe
    train_report, dev_report = reports

    def encoded(path: Path, report: DataReport) -> Pairs:
        observer.say(f"tokenising {path.name}")
        labelled = (record.content for record in read_labelled(path) if isinstance(record.content, LabelledBattle))
        pairs = encode_pairs(labelled, student.encoder, soft_labels=recipe.data.soft_labels)
        report.alike = int(alike_and_decided(pairs).sum())
        return pairs

    train_pairs = encoded(train, train_report)
    if train_report.alike:
        observer.say(
            f"{train_report.alike:,} of {len(train_pairs):,} pairs read the same on both sides, cut and masked as this "
            "judge reads them, though people preferred one: not trained on"
        )
        train_pairs = take(train_pairs, np.flatnonzero(~alike_and_decided(train_pairs)))
    if not (train_pairs.weights > 0).any():
        raise FileError(f"{train} holds nothing to learn from: in every pair that counts both answers read the same")
    if recipe.kind == "pairwise" and recipe.data.swap == "random":
        train_pairs = keep_one_order(train_pairs, seed=recipe.seed)
    if dev is None or dev_report is None:
        return _Data(train_pairs, train_report, None, None)
    if shared := shared_prompts(train, train_report, dev, dev_report):
        observer.say(shared)
    return _Data(train_pairs, train_report, encoded(dev, dev_report), dev_report)


def _trainer(
    student: Student, data: _Data, plan: TrainingPlan, reading: Reading, work: Path, callbacks: list[Any]
) -> JudgeTrainer:
    recipe = student.recipe
    part = None
    if data.dev is not None:
        part = dev_part(data.dev, recipe.dev.max_battles, tiers=recipe.dev.tiers, seed=recipe.seed)
        callbacks.append(KeepBest(work, recipe.dev.patience))
    dataset = StepDataset(data.train, plan, recipe, pad_id=reading.pad_id)
    arguments = training_arguments(
        recipe,
        str(work),
        steps=len(plan.steps),
        on_cpu=student.placement.device.type == "cpu",
        evaluates=part is not None,
    )
    return JudgeTrainer(
        load_student(student),
        args=arguments,
        steps=dataset,
        dev=part,
        reading=reading,
        optimizer=recipe.optimizer,
        callbacks=[FiniteLoss(), *callbacks, WholeCheckpoints(), _tensorboard(work)],
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


def _first_tau(pairs: Pairs, plan: TrainingPlan) -> float:
    """Tie's offset with which equal scores give the share of ties in the pairs that can have them."""
    seen = np.concatenate(plan.steps)
    weights = plan.weights[seen] * pairs.ties_possible[seen]
    if not weights.sum():
        return 0.0
    share = float((weights * pairs.targets[seen, 2]).sum() / weights.sum())
    share = min(max(share, _TIE_SHARE_BOUNDS[0]), _TIE_SHARE_BOUNDS[1])
    return math.log(2 * share / (1 - share))


def _describe(pairs: Pairs, plan: TrainingPlan) -> str:
    tokens = sum(map(len, pairs.sequences))
    described = (
        f"{len(pairs):,} pairs, {len(pairs.sequences):,} distinct sequences of {tokens:,} tokens; "
        f"{len(plan.steps):,} steps over {plan.pairs_seen:,} pairs"
    )
    left_out = int(((pairs.weights > 0) & (plan.weights == 0)).sum())
    if left_out:
        described += f"; {left_out:,} pairs are left out: no stage of the recipe takes them, or it weighs them 0"
    return described


def _plan_record(pairs: Pairs, plan: TrainingPlan) -> dict[str, Any]:
    return {
        "steps": len(plan.steps),
        "pairs_seen": plan.pairs_seen,
        "longer_wins": longer_win_rate(pairs, pairs.weights),
        "longer_wins_as_weighted": longer_win_rate(pairs, plan.weights),
    }


def _data_record(path: Path | None, sha256: str, report: DataReport | None) -> dict[str, Any] | None:
    return {"file": printable(path.name), "sha256": sha256, **report.to_dict()} if path and report else None
