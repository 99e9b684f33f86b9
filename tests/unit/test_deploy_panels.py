"""The panels that ship: valid, pinned, and small enough for the cards that they are for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import torch

from prefstream.consumer.doctor.judge_memory import CUDA_BYTES
from prefstream.scoring.bench.cards.roofline import bounds, cells
from prefstream.scoring.bench.cards.sheets import find_cards
from prefstream.scoring.config import (
    CUDA_MICRO_BATCH_TOKENS,
    ModelJudgeConfig,
    PanelConfig,
    PriorJudgeConfig,
    load_panel_config,
)
from prefstream.scoring.finetune.recipe import load_recipe
from prefstream.scoring.judges.devices import Placement
from prefstream.scoring.known_bases import gemma_2_9b, llama_3_8b
from prefstream.scoring.loading.base_model import skeleton
from prefstream.scoring.loading.memory.budgets import memory_of as memory_of_judge
from prefstream.scoring.loading.memory.serving import JudgeMemory

DEPLOY = Path(__file__).parents[2] / "deploy"
PANELS = sorted((DEPLOY / "panels").glob("*.yaml"))
GIB = 1024**3

CARDS: Final = {
    "two-t4": (2, 14.6),
    "one-24gb": (1, 22.0),
    "two-24gb": (2, 22.0),
    "one-80gb": (1, 79.0),
    "two-80gb": (2, 79.0),
}
"""How many each panel is for, and the GiB free on one: what is sold as 16, 24 and 80 GB, less what a driver takes."""

SHAPES: Final = {"gemma": gemma_2_9b, "llama": llama_3_8b}
RECIPES: Final = {"gemma": "gemma-2-9b", "llama": "llama-3-8b-8bit"}


def load(name: str) -> PanelConfig:
    return load_panel_config(DEPLOY / "panels" / f"{name}.yaml")


def models(panel: PanelConfig) -> list[ModelJudgeConfig]:
    return [judge for judge in panel.judges if isinstance(judge, ModelJudgeConfig)]


def adapter_weights(judge: ModelJudgeConfig, config: Any) -> int:
    """Of an adapter as the recipe for this base makes it: rank times the sides of each target."""
    lora = load_recipe(RECIPES[judge.name]).lora
    layers = skeleton(config).named_modules()
    targets = [layer for name, layer in layers if name.rpartition(".")[2] in lora.targets]
    return sum(lora.rank * (layer.in_features + layer.out_features) for layer in targets)


def memory_of(judge: ModelJudgeConfig) -> JudgeMemory:
    config = SHAPES[judge.name]()
    dtype = torch.float16 if judge.dtype == "float16" else torch.bfloat16
    tokens = judge.micro_batch_tokens or CUDA_MICRO_BATCH_TOKENS
    assert tokens != "auto"  # what the guide says of a panel holds on every card
    placement = Placement(torch.device(str(judge.device)), dtype, None, tokens)
    return memory_of_judge(judge, placement, config, tokens=tokens, adapter_weights=adapter_weights(judge, config))


def test_the_asked_for_panels_are_there() -> None:
    assert {path.stem for path in PANELS} == {*CARDS, "cpu", "priors"}


@pytest.mark.parametrize("path", PANELS, ids=lambda path: path.stem)
def test_panels_are_valid_have_two_judges_and_stop_on_failure(path: Path) -> None:
    panel = load_panel_config(path)
    assert len(panel.judges) == 2
    assert panel.on_judge_failure == "stop"


@pytest.mark.parametrize("name", [*CARDS, "cpu"])
def test_judges_are_pinned_trained_and_have_their_adapters_beside_the_panel(name: str) -> None:
    judges = models(load(name))
    assert len(judges) == 2
    for judge in judges:
        assert judge.revision is not None
        assert judge.adapter is not None
        assert Path(judge.adapter).parent == DEPLOY / "panels" / "adapters"
        assert not judge.allow_untrained


@pytest.mark.parametrize("name", CARDS)
def test_the_judges_are_gemma_and_llama_on_as_many_cards_as_the_name_says(name: str) -> None:
    judges = models(load(name))
    assert [judge.base for judge in judges] == ["google/gemma-2-9b-it", "meta-llama/Meta-Llama-3-8B-Instruct"]
    assert [judge.device for judge in judges] == ["cuda:0", f"cuda:{CARDS[name][0] - 1}"]


@pytest.mark.parametrize("name", CARDS)
def test_gemma_is_never_in_8_bit_and_what_has_room_for_16_is_not_rounded(name: str) -> None:
    gemma, llama = (judge.quantization for judge in models(load(name)))
    assert gemma == {"two-t4": "4bit", "one-24gb": "4bit"}.get(name, "none")
    assert llama == ("none" if "80gb" in name else "8bit")


@pytest.mark.parametrize("name", CARDS)
def test_what_a_card_is_to_hold_fits_with_a_tenth_to_spare_and_is_what_the_guide_says(name: str) -> None:
    guide = (DEPLOY / "README.md").read_text(encoding="utf-8")
    needs: dict[str, float] = {}
    for judge in models(load(name)):
        taken = memory_of(judge)
        device = str(judge.device)
        needs[device] = needs.get(device, CUDA_BYTES) + taken.total
        cells = f"{taken.weights / GIB:.1f} | {taken.one_pass / GIB:.1f} |"
        assert re.search(rf"^\| `{name}` \|.*\| {judge.name} .* \| {re.escape(cells)}$", guide, re.MULTILINE), cells
    cards, free = CARDS[name]
    assert len(needs) == cards
    assert max(needs.values()) < 0.9 * free * GIB


BOUNDED: Final = {
    "two-t4": ["T4"],
    "one-24gb": ["L4", "A10G"],
    "two-24gb": ["L4", "A10G"],
    "one-80gb": ["A100-80GB", "H100", "H200"],
    "two-80gb": ["A100-80GB", "H100", "H200"],
}
"""Cards whose speed at most the guide tells of each panel."""


def test_what_the_guide_says_panels_could_do_at_most_is_what_the_command_says() -> None:
    guide = (DEPLOY / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `.*/ .*\|$", guide, re.MULTILINE)
    assert told == [
        f"| `{name}` | {' | '.join(row)} |"
        for name, cards in BOUNDED.items()
        for row in cells(bounds(load(name), find_cards(cards)))
    ]


def test_cpu_needs_no_card_and_priors_no_weights() -> None:
    assert {judge.device for judge in models(load("cpu"))} == {"cpu"}
    assert all(isinstance(judge, PriorJudgeConfig) for judge in load("priors").judges)
