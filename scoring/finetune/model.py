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
from prefstream.scoring.judges.forward import Float32Head
from prefstream.scoring.judges.pooling import pool
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
    described = _described(recipe)
    placement = place_judges([described])[recipe.name]
    if placement.dtype == torch.float16:
        if recipe.dtype != "auto":
            raise ConfigError(recipe.name, ("dtype: float16 overflows in training; use bfloat16 or float32",))
        placement = replace(placement, dtype=torch.float32)  # a card without bfloat16
    base = open_base(described.base, described.revision, labels=len(LABELS[recipe.kind]), layers=recipe.layers, say=say)
    template = template_for(base.config.model_type, recipe.kind, base.tokenizer)
    layers = base.config.num_hidden_layers
    if recipe.lora.frozen_layers >= layers:
        error = f"lora.frozen_layers is {recipe.lora.frozen_layers}, but the base has {layers} layers"
        raise ConfigError(recipe.name, (error,))
    _check_targets(skeleton(base.config), recipe)
    encoder = Encoder(base.tokenizer, template, max_length=recipe.max_length, mask_identity=recipe.data.mask_identity)
    attention = attention_for(described, base.config, placement)
    rounding = Rounding.of(described, storage=placement.dtype)
    return Student(recipe, base, template, encoder, placement, attention, rounding)


def load_student(student: Student) -> Any:
    """Load the base and put LoRA and a head of zeros onto it: the first answer is the same for every battle.

    Returns:
        The peft model; what is trained is in float32.

    Raises:
        LoadError: the base's weights can't be loaded.
    """
    import peft
    from peft.tuners.tuners_utils import BaseTunerLayer

    recipe = student.recipe
    with quiet_libraries():
        model = load_classifier(
            student.base,
            device=student.placement.device,
            dtype=student.placement.dtype,
            attention=student.attention,
            rounding=student.rounding,
        )
        pool(model, recipe.pooling, student.encoder)
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
    if student.placement.dtype != torch.float32:
        # Under autocast LoRA's inputs would be cast to float32 and straight back: a tenth of the time.
        for module in adapted.modules():
            if isinstance(module, BaseTunerLayer):
                module.cast_input_dtype_enabled = False
    if recipe.step.gradient_checkpointing:
        adapted.enable_input_require_grads()
    return adapted


def _described(recipe: Recipe) -> ModelJudgeConfig:
    """The judge as a panel file would describe it: device, dtype and attention are chosen as serving does."""
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
