"""What a run leaves behind: the adapter folder that serving loads, with receipt, model card, curves and predictions."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from prefstream.scoring.adapters.receipt import CURVES, RECEIPT
from prefstream.scoring.atomic_file import write_atomically, write_json
from prefstream.scoring.finetune.callbacks import Cost
from prefstream.scoring.finetune.model import Student
from prefstream.scoring.finetune.receipt import data_line, drop_predictions, metrics_table, surroundings, write_card
from prefstream.scoring.finetune.recipe import Recipe
from prefstream.scoring.loading.adapter_record import RECORD, WEIGHTS, AdapterRecord
from prefstream.scoring.loading.sources import public_name

_PACKAGES: Final = ("prefstream", "torch", "transformers", "peft", "accelerate", "bitsandbytes", "tokenizers")
_POOLED: Final = {
    "last": "the last token's state",
    "mean": "the mean of all tokens' states",
    "answer": "the mean of the answer's tokens' states and half the last one's",
}
_DTYPES: Final = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a run was and what came of it; becomes `train.json` and the model card.

    Attributes:
        recipe: of the run.
        student: what was trained.
        data: by role (train, dev): file name, SHA-256, and what was found; which part was held out; the teacher.
        start: name of the adapter that it began with.
        plan: of the steps.
        best_step: whose weights were kept; None without dev pairs.
        steps: optimiser steps done.
        metrics: on the dev pairs, of the adapter as stored, uncalibrated.
        cost: of all processes that the run took one after another, but what each did after its last checkpoint.
    """

    recipe: Recipe
    student: Student
    data: Mapping[str, Any]
    start: str | None
    plan: Mapping[str, Any]
    best_step: int | None
    steps: int
    metrics: Mapping[str, float]
    cost: Cost

    def write(self, folder: Path) -> None:
        """Write `train.json` and the model card."""
        student = self.student
        fields = {
            "recipe": self.recipe.model_dump(mode="json") | {"base": public_name(self.recipe.base)},
            "base_hash": student.base.hash,
            "template": student.template.name,
            "template_hash": student.template.hash,
            "device": student.placement.device.type,
            "dtype": str(student.placement.dtype).removeprefix("torch."),
            "attention": student.attention,
            "data": self.data,
            "start": self.start,
            "plan": self.plan,
            "steps": self.steps,
            "best_step": self.best_step,
            "metrics": self.metrics,
            "seconds": round(self.cost.seconds, 1),
            "cpu_seconds": round(self.cost.cpu_seconds, 1),
            **surroundings(_PACKAGES),
        }
        write_json(folder / RECEIPT, fields)
        write_card(folder, self._card())

    def _card(self) -> list[str]:
        recipe = self.recipe
        licence = recipe.licence or "that of the base, and of the data it was trained on"
        return [
            f"# {recipe.name}",
            "",
            f"A LoRA adapter for prefstream: a {recipe.kind} judge on {public_name(recipe.base)}.",
            "It predicts which of two chat answers people prefer.",
            "",
            f"* Base: {public_name(recipe.base)}" + (f" at {recipe.revision}" if recipe.revision else ""),
            f"* Licence: {licence}",
            f"* Layout: {self.student.template.name}, at most {recipe.max_length} tokens a sequence",
            *([f"* Layers: the first {recipe.layers} of the base"] if recipe.layers else []),
            f"* Pooling: {_POOLED[recipe.pooling]}",
            *self._how_trained(),
            *(f"* Data ({role}): {data_line(self.data[role])}" for role in ("train", "dev") if self.data[role]),
            *([f"* Held out of it, and measured on: part {self.data['held_out']}"] if self.data["held_out"] else []),
            *(f"* Teacher: {data_line(found)}" for found in (self.data["teacher"] or {}).get("files", ())),
            *([f"* Began with the adapter {self.start}"] if self.start else []),
            "",
            *metrics_table(self.metrics),
            f"`{RECEIPT}` holds the whole recipe, data hashes and versions; `{RECORD}` what serving verifies.",
            "",
        ]

    def _how_trained(self) -> list[str]:
        recipe = self.recipe
        if not self.plan["steps"]:
            return [f"* Head: fitted to the base's states as they are, stored in {recipe.store}; LoRA adds nothing"]
        return [
            f"* LoRA: rank {recipe.lora.rank}, alpha {recipe.lora.alpha:g}, stored in {recipe.store}",
            f"* Steps: {self.steps}, learning rate {recipe.optimizer.learning_rate:g}, seed {recipe.seed}",
        ]


def store_adapter(student: Student, model: Any, folder: Path, *, tau: float) -> None:
    """Write the adapter's weights, peft's settings and the record that serving verifies.

    Args:
        student: what was trained.
        model: peft's.
        folder: of the adapter; what it held of these files is replaced, and what the adapter there said is deleted.
        tau: pointwise: offset of the tie's logit.
    """
    import peft
    from safetensors.torch import save

    recipe = student.recipe
    dtype = _DTYPES[recipe.store]
    weights = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    stored = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in weights.items()}
    drop_predictions(folder)
    write_atomically(folder / WEIGHTS, save(stored, metadata={"format": "pt"}))
    settings = model.peft_config["default"].to_dict()
    settings |= {"base_model_name_or_path": public_name(recipe.base), "inference_mode": True}
    text = json.dumps(_plain(settings), indent=2, sort_keys=True)
    write_atomically(folder / "adapter_config.json", text.encode() + b"\n")
    record = AdapterRecord.describe(
        student.template,
        max_length=recipe.max_length,
        tau=tau,
        mask_identity=recipe.data.mask_identity,
        pooling=recipe.pooling,
        layers=recipe.layers,
    )
    record.model_copy(
        update={"base": public_name(recipe.base), "base_revision": recipe.revision, "base_hash": student.base.hash}
    ).write(folder)


def write_curves(folder: Path, history: Sequence[Mapping[str, float]], *, title: str) -> None:
    """Draw the loss of the steps and the log loss on the dev pairs.

    Args:
        folder: gets `curves.png`.
        history: Trainer's log.
        title: of the picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    losses = [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]
    dev = [(entry["step"], entry["eval_log_loss"]) for entry in history if "eval_log_loss" in entry]
    if losses:
        steps, values = zip(*losses, strict=True)
        axes.plot(steps, values, color="0.75", linewidth=1, label="training, each step")
        axes.plot(steps, _smooth(values), color="tab:blue", label="training, smoothed")
    if dev:
        axes.plot(*zip(*dev, strict=True), "o-", color="tab:orange", label="dev")
    axes.axhline(math.log(3), color="0.5", linestyle=":", linewidth=1, label="knowing nothing (log 3)")
    axes.set(title=title, xlabel="step", ylabel="log loss (nats)")
    axes.legend()
    with io.BytesIO() as drawn:
        figure.savefig(drawn, format="png", dpi=120)
        write_atomically(folder / CURVES, drawn.getvalue())


def _smooth(values: Sequence[float]) -> list[float]:
    """Running mean that forgets half in about fourteen steps."""
    smoothed: list[float] = []
    for value in values:
        smoothed.append(value if not smoothed else 0.95 * smoothed[-1] + 0.05 * value)
    return smoothed


def _plain(value: Any) -> Any:
    """Settings of peft as JSON has them: sets become sorted lists, enumerations their values."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(value)
    return getattr(value, "value", value)
