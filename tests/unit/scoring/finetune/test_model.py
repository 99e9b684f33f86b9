"""The model in training: what moves and in which precision, and recipes that don't fit their base."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from prefstream.scoring.errors import ConfigError, LoadError
from prefstream.scoring.finetune.model import load_student, open_student
from prefstream.scoring.judges.memory.live_bytes import LiveBytes
from prefstream.scoring.judges.pooling import Float32Head
from tests.support.labelled_pairs import make_recipe
from tests.unit.scoring.finetune.conftest import MakeBase


def ignore(_line: str) -> None: ...


def student_model(base: MakeBase, **settings: Any) -> Any:
    return load_student(open_student(make_recipe(base("llama"), **settings), say=ignore))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_lora_and_head_move_in_float32_on_a_base_in_its_own_precision(base: MakeBase, dtype: str) -> None:
    model = student_model(base, dtype=dtype)
    moving = {name: weight.dtype for name, weight in model.named_parameters() if weight.requires_grad}
    assert set(moving.values()) == {torch.float32}
    assert all("lora_" in name or "score" in name for name in moving)
    assert sum("lora_A" in name for name in moving) == 2 * 7
    still = {weight.dtype for weight in model.parameters() if not weight.requires_grad}
    assert getattr(torch, dtype) in still


def test_the_head_begins_at_zero_and_computes_in_float32(base: MakeBase) -> None:
    head = student_model(base, dtype="bfloat16").get_base_model().score
    heads = [module for module in head.modules() if isinstance(module, Float32Head)]
    assert heads
    assert all(module.weight.eq(0).all() for module in heads)


def test_two_students_of_one_seed_are_the_same(base: MakeBase) -> None:
    weights = []
    for _ in range(2):
        torch.manual_seed(1)
        weights.append({name: weight.clone() for name, weight in student_model(base).named_parameters()})
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("threshold", [None, 0.0, 4.5])
def test_a_base_is_quantised_in_training_as_the_recipe_says(base: MakeBase, threshold: float | None) -> None:
    model = student_model(base, dtype="bfloat16", quantization="8bit", int8_threshold=threshold)
    thresholds = [module.state.threshold for module in model.modules() if hasattr(module, "init_8bit_state")]
    assert thresholds == [6.0 if threshold is None else threshold] * 2 * 7


def held_after_reading(model: Any) -> int:
    """Bytes that are kept for the backward pass, which must go well with them."""
    alive = LiveBytes()
    with alive, torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model.train()(input_ids=torch.full((4, 64), 9), use_cache=False).logits
        held = alive.now
        logits.float().sum().backward()
    assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)
    return held


def test_checkpointing_keeps_as_little_in_8_bits_as_without(base: MakeBase) -> None:
    """Bitsandbytes keeps each product's input by itself, where checkpointing can't see it."""
    settings: dict[str, Any] = {"dtype": "bfloat16", "step": {"gradient_checkpointing": True}}
    exact, rounded = (held_after_reading(student_model(base, **settings, quantization=q)) for q in ("none", "8bit"))
    assert rounded < 1.05 * exact


def test_nothing_is_propagated_into_what_lies_below_lora(base: MakeBase) -> None:
    """With checkpointing, too, which asks for a gradient of the input where it is told to begin anew."""
    model = student_model(base, step={"gradient_checkpointing": True}, lora={"rank": 4, "frozen_layers": 1})
    states: list[torch.Tensor] = []
    layers = model.get_base_model().model.layers
    layers[0].register_forward_hook(lambda _layer, _args, output: states.append(output))
    logits = model.train()(input_ids=torch.full((1, 8), 9), use_cache=False).logits
    assert logits.requires_grad
    assert [state.requires_grad for state in states] == [False]


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"base": "demo:gema"}, "base: demo:gema is unknown; the demo's bases are demo:gemma, demo:smollm"),
        ({"base": "someone/something"}, "someone/something is no folder, and as a hub id it needs revision"),
        ({"lora": {"frozen_layers": 2}}, "lora.frozen_layers is 2, but the base has 2 layers"),
        ({"dtype": "float16"}, "dtype: float16 overflows in training"),
        ({"max_length": 5}, "max_length is 5"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_before_weights_are_loaded(
    base: MakeBase, settings: dict[str, Any], fault: str
) -> None:
    recipe = make_recipe(**{"base": base("llama"), **settings})
    with pytest.raises(ConfigError, match=fault):
        open_student(recipe, say=ignore)


def test_layers_that_the_base_lacks_are_named(base: MakeBase) -> None:
    """Left to itself, peft would train the others and say nothing."""
    lora = {"targets": ["q_proj", "self_attn.v_proj", "qkv_proj", "score"]}
    with pytest.raises(ConfigError, match=r"no linear layer qkv_proj, score; it has down_proj, gate_proj, k_proj"):
        student_model(base, lora=lora)


def test_a_folder_without_a_model_is_a_load_error(tmp_path: Any) -> None:
    with pytest.raises(LoadError):
        open_student(make_recipe(tmp_path / "none"), say=ignore)
