"""A step's gradient is that of its pairs, however it is cut up; each part learns at its rate; and it learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from prefstream.scoring.errors import ConfigError
from prefstream.scoring.files.labelled import LabelledBattle
from prefstream.scoring.finetune.data.pairs import Pairs, encode_pairs
from prefstream.scoring.finetune.losses import divergence
from prefstream.scoring.finetune.model import load_student, open_student
from prefstream.scoring.finetune.passes import StepDataset
from prefstream.scoring.finetune.recipe import OptimizerRecipe
from prefstream.scoring.finetune.steps import plan_steps
from prefstream.scoring.finetune.trainer import BATCH, JudgeTrainer, Reading, training_arguments
from tests.support.labelled_pairs import make_recipe, make_rows, read_rows, write_rows
from tests.support.models import Family
from tests.unit.scoring.finetune.conftest import MakeBase

Gradients = dict[str, torch.Tensor]
MakeTrainer = Callable[..., JudgeTrainer]

TAU = 0.2
STILL = {"learning_rate": 1e-30, "max_grad_norm": 1e9}
"""Rates at which no weight moves, and no gradient is clipped."""


class Capture(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Remembers the gradient of every update."""

    def __init__(self) -> None:
        self.updates: list[Gradients] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, *, model: Any, **_: Any) -> None:
        self.updates.append(gradients_of(model))


def gradients_of(model: Any) -> Gradients:
    named = model.named_parameters()
    return {name: weight.grad.clone() for name, weight in named if weight.grad is not None}


def relative_error(one: Gradients, other: Gradients) -> float:
    assert one.keys() == other.keys()
    flat, flat_other = (torch.cat([found[name].ravel() for name in sorted(one)]) for found in (one, other))
    assert flat.norm() > 0
    return float((flat - flat_other).norm() / flat.norm())


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledBattle]:
    return read_rows(write_rows(tmp_path_factory.mktemp("rows") / "train.jsonl", make_rows(20, prompts=6)))


@pytest.fixture
def make_trainer(base: MakeBase, rows: list[LabelledBattle], tmp_path: Path) -> MakeTrainer:
    """Makes a trainer of a tiny Gemma 2, or of another family, on the rows; keyword arguments change its recipe."""

    def make(
        *,
        family: Family = "gemma2",
        count: int = 20,
        std: float = 0.2,
        callbacks: Sequence[TrainerCallback] = (),
        **settings: Any,
    ) -> JudgeTrainer:
        recipe = make_recipe(base(family), **settings)
        student = open_student(recipe, say=lambda _line: None)
        pairs = encode_pairs(rows[:count], student.encoder, soft_labels=recipe.data.soft_labels)
        plan = plan_steps(pairs, recipe.data, recipe.step, seed=0)
        pad_id = student.base.tokenizer.pad_token_id
        torch.manual_seed(0)
        model = load_student(student)
        for weight in model.parameters():
            if std and weight.requires_grad:  # zeros, as training begins with, would hide most of the gradient
                torch.nn.init.normal_(weight.data, std=std)
        reading = Reading(
            kind=recipe.kind,
            tau=TAU,
            consistency=recipe.data.consistency,
            dtype=torch.float32,
            pad_id=pad_id,
            pass_tokens=recipe.step.pass_tokens,
        )
        return JudgeTrainer(
            model,
            args=training_arguments(recipe, str(tmp_path), steps=len(plan.steps), on_cpu=True, evaluates=False),
            steps=StepDataset(pairs, plan, recipe, pad_id=pad_id),
            dev=pairs,
            reading=reading,
            optimizer=recipe.optimizer,
            callbacks=callbacks,
        )

    return make


def gradients(trainer: JudgeTrainer, step: int = 0) -> Gradients:
    """Of one planned step."""
    trainer.model.zero_grad()
    trainer.current_gradient_accumulation_steps = 1
    trainer.training_step(trainer.model, {BATCH: trainer.train_dataset[step]})
    return gradients_of(trainer.model)


def dev_pairs(trainer: JudgeTrainer) -> Pairs:
    pairs = trainer.eval_dataset
    assert isinstance(pairs, Pairs)
    return pairs


# Gradients.


@pytest.mark.parametrize("kind", ["pointwise", "pairwise"])
def test_a_gradient_does_not_depend_on_how_its_step_is_cut_up(make_trainer: MakeTrainer, kind: str) -> None:
    """One backward pass for all, one a pair, and passes of single sequences give the same, up to float32's rounding."""
    data = {"consistency": 0.5 if kind == "pairwise" else 0.0, "prompt_exponent": 0.5}

    def step(**tokens: int) -> Gradients:
        trainer = make_trainer(kind=kind, data=data, step={"weight": 6, **tokens})
        micro_batches = trainer.train_dataset[0]
        assert (len(micro_batches) == 1) == (tokens["micro_batch_tokens"] > 1)
        return gradients(trainer)

    whole = step(micro_batch_tokens=100_000, pass_tokens=100_000)
    assert relative_error(whole, step(micro_batch_tokens=1, pass_tokens=100_000)) < 2e-6
    assert relative_error(whole, step(micro_batch_tokens=100_000, pass_tokens=1)) < 2e-6


def test_accumulated_steps_count_alike(make_trainer: MakeTrainer) -> None:
    """Two steps an update, and the last one alone: each update's gradient is the mean of its steps'."""
    capture = Capture()
    trainer = make_trainer(
        callbacks=[capture], optimizer=STILL, step={"weight": 5, "accumulation": 2}, data={"prompt_exponent": 0}
    )
    steps = len(trainer.train_dataset)
    assert steps % 2 == 1
    single = [gradients(trainer, step) for step in range(steps)]
    trainer.model.zero_grad()
    trainer.train()
    assert len(capture.updates) == steps // 2 + 1
    assert trainer.state.global_step == trainer.state.max_steps == len(capture.updates)
    for number, found in enumerate(capture.updates):
        parts = single[2 * number : 2 * number + 2]
        expected = {name: sum((part[name] for part in parts), torch.zeros(())) / len(parts) for name in found}
        assert relative_error(found, expected) < 2e-6


def test_gradient_checkpointing_changes_no_gradient(make_trainer: MakeTrainer) -> None:
    kept, twice = Capture(), Capture()
    for capture, checkpointing in ((kept, False), (twice, True)):
        step = {"weight": 100, "gradient_checkpointing": checkpointing}
        make_trainer(callbacks=[capture], optimizer=STILL, step=step).train()
    assert len(kept.updates) == len(twice.updates) == 1
    assert relative_error(kept.updates[0], twice.updates[0]) < 2e-6


def test_frozen_layers_have_no_gradient(make_trainer: MakeTrainer) -> None:
    found = gradients(make_trainer(lora={"rank": 4, "frozen_layers": 1}))
    assert {name for name in found if "layers.0." in name} == set()
    assert any("layers.1." in name for name in found)
    assert any("score" in name for name in found)


def test_the_base_does_not_move(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(step={"weight": 5})
    before = {name: weight.clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    moved = {name for name, weight in trainer.model.named_parameters() if not torch.equal(weight, before[name])}
    assert moved == {name for name, weight in trainer.model.named_parameters() if weight.requires_grad}
    assert all("lora_" in name or "score" in name for name in moved)


# Rates.


@pytest.mark.parametrize(("head", "expected"), [(5e-3, 5e-3), (None, 1e-3)])
def test_head_and_lora_learn_at_their_rates(make_trainer: MakeTrainer, head: float | None, expected: float) -> None:
    rates = {"learning_rate": 1e-3, "head_learning_rate": head, "weight_decay": 0.1, "beta2": 0.97}
    trainer = make_trainer(optimizer=rates)
    lora, heads = trainer.create_optimizer().param_groups
    assert (lora["lr"], heads["lr"]) == (1e-3, expected)
    assert lora["weight_decay"] == heads["weight_decay"] == 0.1
    assert lora["betas"] == (0.9, 0.97)
    trainable = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    assert len(lora["params"]) + len(heads["params"]) == len(trainable)
    assert [weight.shape for weight in heads["params"]] == [trainer.model.get_base_model().score.weight.shape]


# Learning.


def test_training_begins_with_the_prior(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(std=0)
    probabilities = trainer.read_dev(dev_pairs(trainer)).probabilities
    tie = np.exp(TAU) / (2 + np.exp(TAU))
    np.testing.assert_allclose(probabilities, [[(1 - tie) / 2, (1 - tie) / 2, tie]] * 20, atol=1e-6)


@pytest.mark.parametrize(("kind", "epochs", "reached"), [("pointwise", 15, 0.1), ("pairwise", 25, 0.7)])
def test_a_handful_of_pairs_is_learnt_by_heart(
    make_trainer: MakeTrainer, kind: str, epochs: int, reached: float
) -> None:
    """As far as two random layers of 32 can tell them apart, which pairwise is harder."""
    data = {"stages": [{"epochs": epochs}], "soft_labels": False, "prompt_exponent": 0}
    trainer = make_trainer(count=6, std=0, kind=kind, data=data)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[0] > 0.9
    assert losses[-1] < reached
    assert trainer.read_dev(dev_pairs(trainer)).metrics["log_loss"] < reached


def test_the_consistency_term_brings_both_orders_together(make_trainer: MakeTrainer) -> None:
    """Random weights answer by the order; a few steps make less of that with the term than without."""

    def spread(consistency: float) -> float:
        data = {"stages": [{"epochs": 4}], "consistency": consistency}
        trainer = make_trainer(std=0.5, kind="pairwise", data=data, optimizer={"learning_rate": 5e-3})
        trainer.train()
        pairs = dev_pairs(trainer)
        given = trainer.read_dev(pairs).probabilities
        back = trainer.read_dev(replace(pairs, first=pairs.second)).probabilities[:, [1, 0, 2]]
        return float(np.abs(given - back).mean())

    assert spread(20.0) < spread(0.0) / 2


# The loss of a pass.


def reading(kind: str = "pairwise", consistency: float = 0.0) -> Reading:
    return Reading(kind=kind, tau=TAU, consistency=consistency, dtype=torch.float32, pad_id=0, pass_tokens=100)


def batch(first: list[int], second: list[int]) -> dict[str, torch.Tensor]:
    return {
        "first": torch.tensor(first),
        "second": torch.tensor(second),
        "targets": torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]),
        "ties_possible": torch.tensor([True, True]),
        "weights": torch.tensor([0.25, 0.75]),
    }


OUTPUTS = torch.tensor([[1.0, 0.5, -0.5], [0.2, 0.1, 0.0], [-1.0, 2.0, 0.3], [0.7, 0.7, 0.1]])


def test_the_loss_is_the_weighted_sum_over_both_orders() -> None:
    loss = reading().loss(OUTPUTS, batch([0, 2], [1, 3]))
    targets = batch([0], [0])["targets"]
    one = -(targets * torch.log_softmax(OUTPUTS[[0, 2]], dim=1)).sum(dim=1)
    other = -(targets * torch.log_softmax(OUTPUTS[[1, 3]][:, [1, 0, 2]], dim=1)).sum(dim=1)
    assert float(loss) == pytest.approx(float(torch.tensor([0.25, 0.75]) @ (one + other)) / 2)


def test_the_consistency_term_adds_the_weighted_divergence() -> None:
    both = batch([0, 2], [1, 3])
    added = float(reading(consistency=2.0).loss(OUTPUTS, both) - reading().loss(OUTPUTS, both))
    apart = divergence(OUTPUTS[[0, 2]], OUTPUTS[[1, 3]][:, [1, 0, 2]])
    assert added == pytest.approx(2 * float(torch.tensor([0.25, 0.75]) @ apart))


def test_a_pair_read_in_one_order_counts_once() -> None:
    loss = reading(consistency=2.0).loss(OUTPUTS, batch([0, 2], [0, 2]))
    targets = batch([0], [0])["targets"]
    one = -(targets * torch.log_softmax(OUTPUTS[[0, 2]], dim=1)).sum(dim=1)
    assert float(loss) == pytest.approx(float(torch.tensor([0.25, 0.75]) @ one))


# Settings of the library.


@pytest.mark.parametrize("optimizer", [{"name": "adamm"}, {"schedule": "cosin"}])
def test_what_the_library_does_not_know_is_a_fault_of_the_recipe(tmp_path: Path, optimizer: dict[str, str]) -> None:
    recipe = make_recipe(tmp_path, optimizer=OptimizerRecipe.model_validate(optimizer).model_dump())
    with pytest.raises(ConfigError, match=r"optimizer: (adamm|cosin) is not a valid"):
        training_arguments(recipe, str(tmp_path), steps=10, on_cpu=True, evaluates=False)


@pytest.mark.parametrize(
    ("steps", "accumulation", "processes", "every"), [(30, 1, 1, 10), (31, 1, 1, 11), (30, 4, 1, 3), (60, 2, 2, 5)]
)
def test_looks_and_checkpoints_are_spread_over_the_updates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, accumulation: int, processes: int, every: int
) -> None:
    recipe = make_recipe(tmp_path, step={"accumulation": accumulation}, dev={"evaluations": 3}, checkpoints=3)
    monkeypatch.setattr("prefstream.scoring.finetune.trainer.process_count", lambda: processes)
    arguments = training_arguments(recipe, str(tmp_path), steps=steps, on_cpu=True, evaluates=True)
    assert (arguments.eval_steps, arguments.save_steps) == (every, every)
    assert arguments.n_gpu <= 1


# Masks.


@pytest.mark.parametrize(("family", "expected"), [("gemma2", False), ("gemma3", False), ("embeddinggemma", True)])
def test_only_a_model_that_reads_both_ways_is_told_of_padding(
    make_trainer: MakeTrainer, family: Family, expected: bool
) -> None:
    trainer = make_trainer(family=family)
    masks = []

    def look(_module: Any, _args: Any, given: dict[str, Any]) -> None:
        masks.append(given.get("attention_mask"))

    trainer.model.get_base_model().register_forward_pre_hook(look, with_kwargs=True)
    gradients(trainer)
    trainer.read_dev(dev_pairs(trainer))
    assert len(masks) > 1
    assert {mask is not None for mask in masks} == {expected}
