"""How much memory a recipe takes on its device: its student, counted as `scoring.loading.memory.serving` counts judges.

The student is the very one that is trained, with LoRA, dropout and checkpointing, run forth and back on tensors without
contents. What libraries keep for themselves is not seen: CUDA's context and the work spaces of its products are some
hundreds of MB.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import torch

from prefstream.scoring.encoding.template import LABELS
from prefstream.scoring.finetune.model import adapt, described, place
from prefstream.scoring.finetune.recipe import Recipe
from prefstream.scoring.judges.devices import Placement, attention_for
from prefstream.scoring.loading.base_model import find_config, quiet_libraries
from prefstream.scoring.loading.layers import first_layers
from prefstream.scoring.loading.memory.serving import (
    classifier_without_contents,
    most_alive,
    unpacking_bytes,
    weight_bytes,
)

GIB: Final = 1024**3

CARD: Final = Placement(torch.device("cuda:0"), torch.bfloat16, None, 0)
"""A card that computes in bfloat16, for machines that have none."""

_ADAM_BYTES: Final = 8
"""Of two means for each weight that moves, in float32."""

_ADAM_8BIT_BYTES: Final = 2 + 8 / 256
"""The same in 8 bits; blocks of 256 share a scale of four bytes each."""

_UPDATE_BYTES: Final = 4
"""Of what an update holds meanwhile for each weight that moves, after all activations are gone."""


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """What training takes on its device, bytes.

    Attributes:
        base: weights that stay.
        moving: LoRA and head, float32.
        gradients: of these.
        optimizer: its state.
        activations: most that is alive in one forward and backward pass.
        sequences: of a backward pass: the longest, as many as it may have.
        width: tokens of each.
    """

    base: int
    moving: int
    gradients: int
    optimizer: int
    activations: int
    sequences: int
    width: int

    @property
    def total(self) -> int:
        """All of it; an update needs what activations had."""
        lasting = self.base + self.moving + self.gradients + self.optimizer
        return lasting + max(self.activations, self.moving // 4 * _UPDATE_BYTES)


def training_memory(recipe: Recipe, config: Any, placement: Placement) -> TrainingMemory:
    """Count what a recipe takes.

    Args:
        recipe: how the judge is trained.
        config: transformers' own, of the base and as many of its layers as the judge has, with its number of labels.
        placement: where, and in what dtype.

    Raises:
        ConfigError: the recipe doesn't fit the base.
    """
    attention = attention_for(described(recipe), config, placement)
    sequences, passes = _longest_backward_pass(recipe)
    run = _run(recipe, config, attention, placement.dtype, passes)
    unpacking = unpacking_bytes(config, recipe.quantization, max(passes) * recipe.max_length)
    return TrainingMemory(
        base=weight_bytes(config, placement.dtype, recipe.quantization),
        moving=4 * run.moving,
        gradients=4 * run.moving,
        optimizer=int(_state_bytes(recipe.optimizer.name) * run.moving),
        activations=run.peak + unpacking,
        sequences=sequences,
        width=recipe.max_length,
    )


def recipe_memory(recipe: Recipe) -> tuple[TrainingMemory, Placement] | None:
    """Count what a recipe takes on this machine's card, or on one that computes in bfloat16 where it has none.

    Args:
        recipe: how the judge is trained.

    Returns:
        Also where; None where nothing is known of the base, because it was not fetched yet.

    Raises:
        ConfigError: the recipe doesn't fit the base.
        LoadError: the base can't be used.
    """
    config = find_config(recipe.base, recipe.revision, labels=len(LABELS[recipe.kind]), layers=recipe.layers)
    if config is None:
        return None
    if torch.cuda.is_available():
        placement = place(recipe)
    else:
        placement = replace(CARD, dtype=torch.float32) if recipe.dtype == "float32" else CARD
    return training_memory(recipe, config, placement), placement


def with_other_checkpointing(recipe: Recipe) -> Recipe:
    """The recipe without gradient checkpointing where it has it, and with it where it has not.

    Args:
        recipe: any.
    """
    step = recipe.step.model_copy(update={"gradient_checkpointing": not recipe.step.gradient_checkpointing})
    return recipe.model_copy(update={"step": step})


def _longest_backward_pass(recipe: Recipe) -> tuple[int, list[int]]:
    """How many of the longest sequences are kept at a time, and how many of them each forward pass has."""
    of_a_pair = 1 if recipe.kind == "pairwise" and recipe.data.swap == "random" else 2
    sequences = max(of_a_pair, recipe.step.micro_batch_tokens // recipe.max_length)
    together = max(1, recipe.step.pass_tokens // recipe.max_length)
    return sequences, [min(together, sequences - start) for start in range(0, sequences, together)]


@dataclass(frozen=True, slots=True)
class _Run:
    """A micro-batch that went forth and back.

    Attributes:
        moving: how many weights are trained.
        peak: most bytes that were alive, weights and gradients left out.
    """

    moving: int
    peak: int


def _run(recipe: Recipe, config: Any, attention: str, dtype: torch.dtype, passes: list[int]) -> _Run:
    """Of all layers, from what a few take, and what a period more adds: all are alike, but for windows that cut.

    The lowest one does not count for itself: what comes into it gets no gradient.
    """
    learning = config.num_hidden_layers - recipe.lora.frozen_layers
    period = _period(config, recipe.max_length)
    fewest, more = 1 + period, 1 + 2 * period
    if learning <= more:
        return _run_few(recipe, first_layers(config, learning), attention, dtype, passes)
    few, some = (_run_few(recipe, first_layers(config, layers), attention, dtype, passes) for layers in (fewest, more))
    periods = (learning - fewest) / period
    return _Run(
        moving=few.moving + round(periods * (some.moving - few.moving)),
        peak=few.peak + round(periods * (some.peak - few.peak)),
    )


def _run_few(recipe: Recipe, config: Any, attention: str, dtype: torch.dtype, passes: list[int]) -> _Run:
    # Nothing is kept of frozen layers: without them the others are what they are above them.
    every = recipe.model_copy(update={"lora": recipe.lora.model_copy(update={"frozen_layers": 0})})
    with quiet_libraries():
        student = adapt(classifier_without_contents(config, attention, dtype), every, dtype).train()
    for module in list(student.modules()):
        for name, inner in list(module.named_children()):
            if isinstance(inner, torch.nn.Dropout):
                module.register_module(name, _CardDropout(inner.p))

    def step() -> None:
        rows = [torch.ones(count, recipe.max_length, dtype=torch.long) for count in passes]
        outputs = [student(input_ids=ids, use_cache=False).logits for ids in rows]
        torch.cat(outputs).float().sum().backward()  # type: ignore[no-untyped-call]

    moving = sum(weight.numel() for weight in student.parameters() if weight.requires_grad)
    return _Run(moving, most_alive(student, step, dtype))


class _CardDropout(torch.nn.Module):
    """Dropout that keeps a byte a number, as on a card; on a CPU it keeps a number."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        dropped, _ = torch.native_dropout(given, self._share, train=True)
        return dropped


def _period(config: Any, width: int) -> int:
    """After how many layers their kinds repeat; all are of one where no window is narrower than a sequence."""
    kinds = getattr(config, "layer_types", None)
    if not kinds or (getattr(config, "sliding_window", None) or width) >= width:
        return 1
    lengths = range(1, len(kinds))
    return next((length for length in lengths if kinds[length:] == kinds[:-length]), len(kinds))


def _state_bytes(optimizer: str) -> float:
    """Of an optimiser's state, for each weight that moves: Adam's, which no other one of transformers' exceeds."""
    if optimizer.startswith("sgd"):
        return 0
    return _ADAM_8BIT_BYTES if "8bit" in optimizer else _ADAM_BYTES
