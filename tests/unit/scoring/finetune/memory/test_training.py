"""What training takes is counted on the very student that is trained, forth and back, without its contents."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from prefstream.scoring.finetune.memory import training
from prefstream.scoring.finetune.memory.training import CARD, GIB, recipe_memory, training_memory
from prefstream.scoring.finetune.model import load_student, open_student
from prefstream.scoring.finetune.recipe import RECIPES, load_recipe
from prefstream.scoring.judges.memory.live_bytes import LiveBytes
from prefstream.scoring.loading.base_model import open_base
from prefstream.scoring.loading.layers import first_layers
from prefstream.scoring.loading.memory.serving import linear_layers
from tests.support.labelled_pairs import make_recipe
from tests.unit.scoring.finetune.conftest import MakeBase

FLOAT32 = replace(CARD, dtype=torch.float32)
STEP = {"micro_batch_tokens": 2 * 96, "pass_tokens": 96}


def test_what_the_recipes_say_they_take_is_what_is_counted() -> None:
    """On the shapes of the bases that they name, which are too large to be here."""
    for recipe in ("gemma-2-9b", "llama-3-8b-8bit"):
        comment = (RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8").partition("\nname:")[0]
        counted = recipe_memory(load_recipe(recipe))
        assert counted is not None
        assert re.findall(r"[\d.]+ GiB", comment) == [f"{counted[0].total / GIB:.1f} GiB"]


def test_an_attention_that_keeps_scores_takes_what_was_found_for_it_before() -> None:
    """29.9 GB for Gemma 2 9B with rank 64 and 8,192 tokens a pass, by a count of another kind."""
    counted = recipe_memory(load_recipe("gemma-2-9b", {"attention": "eager"}))
    assert counted is not None
    assert counted[0].total / 1e9 == pytest.approx(29.9, rel=0.01)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_that_is_really_made_takes_what_is_counted(base: MakeBase, checkpointing: bool) -> None:
    """A gradient of each weight there already, as after a first backward pass."""
    step = {**STEP, "gradient_checkpointing": checkpointing}
    recipe = make_recipe(base("llama"), attention="eager", step=step)
    student = load_student(open_student(recipe, say=lambda _line: None)).train()
    for weight in student.parameters():
        if weight.requires_grad:
            weight.grad = torch.zeros_like(weight)
    with LiveBytes() as alive:
        rows = [torch.full((1, 96), 9) for _ in range(2)]
        logits = torch.cat([student(input_ids=ids, use_cache=False).logits for ids in rows])
        logits.sum().backward()  # type: ignore[no-untyped-call]  # torch's has no types
    config = open_base(recipe.base, None, labels=2).config
    counted = training_memory(recipe, config, FLOAT32)
    assert counted.activations == pytest.approx(alive.peak, rel=0.01)
    moving = [weight for weight in student.parameters() if weight.requires_grad]
    assert counted.moving == counted.gradients == sum(weight.nbytes for weight in moving)
    assert counted.optimizer == 2 * counted.moving


def test_many_layers_take_what_a_few_and_the_difference_say(base: MakeBase) -> None:
    config = open_base(str(base("gemma2")), None, labels=2).config
    config.num_hidden_layers, config.layer_types = 7, (["sliding_attention", "full_attention"] * 4)[:7]
    assert config.sliding_window < 96
    for checkpointing in (False, True):
        recipe = make_recipe(base("gemma2"), step={**STEP, "gradient_checkpointing": checkpointing})
        short = training._run(recipe, config, "causal_blocks", torch.bfloat16, [1])
        whole = training._run_few(recipe, config, "causal_blocks", torch.bfloat16, [1])
        assert short.moving == whole.moving
        assert short.peak == pytest.approx(whole.peak, rel=0.01)


def test_frozen_layers_keep_nothing(base: MakeBase) -> None:
    config = open_base(str(base("llama")), None, labels=2).config

    def activations(frozen: int, layers: int) -> int:
        recipe = make_recipe(base("llama"), lora={"rank": 4, "frozen_layers": frozen}, step=STEP)
        return training_memory(recipe, first_layers(config, layers), FLOAT32).activations

    assert activations(frozen=1, layers=2) == activations(frozen=0, layers=1) < activations(frozen=0, layers=2)


def test_dropout_keeps_a_byte_and_a_number_for_each_that_lora_reads_at_most(base: MakeBase) -> None:
    config = first_layers(open_base(str(base("llama")), None, labels=2).config, 1)

    def activations(dropout: float) -> int:
        recipe = make_recipe(base("llama"), lora={"rank": 4, "dropout": dropout}, step=STEP)
        return training_memory(recipe, config, FLOAT32).activations

    read = sum(layer.in_features for layer in linear_layers(config)) * 2 * 96
    assert 0 < activations(0.05) - activations(0.0) < 5 * read


def test_an_optimizer_of_8_bits_keeps_a_quarter_and_sgd_nothing() -> None:
    adam, small, none = (training._state_bytes(name) for name in ("adamw_torch", "paged_adamw_8bit", "sgd"))
    assert (adam, none) == (8, 0)
    assert small == pytest.approx(adam / 4, rel=0.02)


def test_a_base_that_was_never_fetched_and_is_not_known_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefstream.scoring.loading.base_model.fetched_folder", lambda *_: None)
    assert recipe_memory(load_recipe("gemma-3-270m")) is None
