"""The model in training: a base as serving loads it, LoRA and head on top, only those in motion."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.encoding.encode import Encoder
from prefstream.scoring.encoding.template import LABELS, Template, template_for
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.finetune.recipe import Recipe
from prefstream.scoring.judges.devices import Placement, attention_for, place_judges
from prefstream.scoring.judges.pooling import Float32Head, pool
from prefstream.scoring.loading.base_model import Base, load_classifier, open_base, quiet_libraries, skeleton
from prefstream.scoring.loading.rounding import Rounding


@dataclass(frozen=True, slots=True)
class Student:
    """A judge to be: everything about it but its weights.

    Attributes:
        recipe: how it is trained.
        base: its base model.
        template: how it reads.
        encoder: the very one that serving builds.
        placement: where this process trains it, and in what.
        attention: implementation, as transformers knows it.
        rounding: of the base.
    """

    recipe: Recipe
    base: Base
    template: Template
    encoder: Encoder
    placement: Placement
    attention: str
    rounding: Rounding


def open_student(recipe: Recipe, *, say: Callable[[str], None]) -> Student:
    """Find the base and build the encoder; weights are loaded by `load_student`.

    Args:
        recipe: how the judge is trained.
        say: told what is being fetched.

    Raises:
        LoadError: the base can't be had.
        ConfigError: the recipe doesn't fit the base.
    """
    judge, placement = described(recipe), place(recipe)
    base = open_base(judge.base, judge.revision, labels=len(LABELS[recipe.kind]), layers=recipe.layers, say=say)
    template = template_for(base.config.model_type, recipe.kind, base.tokenizer)
    layers = base.config.num_hidden_layers
    if recipe.lora.frozen_layers >= layers:
        error = f"lora.frozen_layers is {recipe.lora.frozen_layers}, but the base has {layers} layers"
        raise ConfigError(recipe.name, (error,))
    _check_targets(skeleton(base.config), recipe)
    encoder = Encoder(base.tokenizer, template, max_length=recipe.max_length, mask_identity=recipe.data.mask_identity)
    attention = attention_for(judge, base.config, placement)
    rounding = Rounding.of(judge, storage=placement.dtype)
    return Student(recipe, base, template, encoder, placement, attention, rounding)


def load_student(student: Student) -> Any:
    """Load the base and put LoRA and a head of zeros onto it: the first answer is the same for every battle.

    Returns:
        The peft model; what is trained is in float32.

    Raises:
        LoadError: the base's weights can't be loaded.
    """
    with quiet_libraries():
        model = load_classifier(
            student.base,
            device=student.placement.device,
            dtype=student.placement.dtype,
            attention=student.attention,
            rounding=student.rounding,
        )
        pool(model, student.recipe.pooling, student.encoder)
        return adapt(model, student.recipe, student.placement.dtype)


def adapt(model: Any, recipe: Recipe, dtype: torch.dtype) -> Any:
    """Make a student of a classifier: LoRA and a head of zeros, which alone move, in float32.

    Args:
        model: transformers' own.
        recipe: how it is trained.
        dtype: to compute in.

    Returns:
        The peft model.
    """
    import peft
    from peft.tuners.tuners_utils import BaseTunerLayer

    model.config.use_cache = False
    model.score = Float32Head.of(model.score)
    torch.nn.init.zeros_(model.score.weight)
    layers = model.config.num_hidden_layers
    adapted = peft.get_peft_model(
        model,
        peft.LoraConfig(
            task_type=peft.TaskType.SEQ_CLS,
            r=recipe.lora.rank,
            lora_alpha=recipe.lora.alpha,
            lora_dropout=recipe.lora.dropout,
            target_modules=list(recipe.lora.targets),
            layers_to_transform=list(range(recipe.lora.frozen_layers, layers)),
        ),
    )
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    for module in adapted.modules():
        if isinstance(module, BaseTunerLayer) and dtype != torch.float32:
            # Under autocast LoRA's inputs would be cast to float32 and straight back: a tenth of the time.
            module.cast_input_dtype_enabled = False
        if hasattr(module, "init_8bit_state"):
            module.register_forward_hook(_let_go_of_input)
    if recipe.step.gradient_checkpointing:
        adapted.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        # Only reentrant checkpointing needs an input with a gradient. Layers below LoRA would be computed twice for it.
        adapted.disable_input_require_grads()
    return adapted


def _let_go_of_input(_layer: torch.nn.Module, _args: Any, output: torch.Tensor) -> None:
    """Have bitsandbytes forget what it multiplied in 8 bits: for the gradient it needs the weights alone.

    It keeps that beside what autograd keeps, so checkpointing knows nothing of it, and would save but half (0.50.2).
    """
    for name, kept in (("A", None), ("tensors", (None, None, None))):  # on a CPU, on a card
        if hasattr(output.grad_fn, name):
            setattr(output.grad_fn, name, kept)


def place(recipe: Recipe) -> Placement:
    """Where this process trains a judge, and in what.

    Args:
        recipe: how.

    Raises:
        ConfigError: in a dtype that can't be trained in.
        LoadError: in one that the device doesn't compute in.
    """
    placement = place_judges([described(recipe)])[recipe.name]
    if placement.dtype == torch.float16:
        if recipe.dtype != "auto":
            raise ConfigError(recipe.name, ("dtype: float16 overflows in training; use bfloat16 or float32",))
        placement = replace(placement, dtype=torch.float32)  # a card without bfloat16
    return placement


def described(recipe: Recipe) -> ModelJudgeConfig:
    """The judge as a panel file would describe it: device, dtype and attention are chosen as serving does.

    Args:
        recipe: how it is trained.

    Raises:
        ConfigError: the recipe names what no judge can be.
    """
    try:
        return ModelJudgeConfig(
            name=recipe.name,
            kind=recipe.kind,
            base=recipe.base,
            revision=recipe.revision,
            allow_untrained=True,
            dtype=recipe.dtype,
            attention=recipe.attention,
            quantization=recipe.quantization,
            int8_threshold=recipe.int8_threshold,
            quant_type=recipe.quant_type,
            device=_own_device(),
        )
    except ConfigError as error:
        raise ConfigError(recipe.name, error.errors) from None


def _check_targets(model: Any, recipe: Recipe) -> None:
    """Left to itself, peft complains only where it finds none of the names."""
    names = {name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)} - {"score"}
    unknown = [target for target in recipe.lora.targets if not any(f".{name}".endswith(f".{target}") for name in names)]
    if unknown:
        known = sorted({name.rpartition(".")[2] for name in names})
        error = f"lora.targets: the base has no linear layer {', '.join(unknown)}; it has {', '.join(known)}"
        raise ConfigError(recipe.name, (error,))


def _own_device() -> str:
    """The device of this process among those that a launcher started."""
    if torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return "cpu"
