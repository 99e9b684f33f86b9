"""The adapters that ship: whole, small, licensed, and described without anything of the machine they came from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from prefstream.scoring.finetune.recipe import Recipe, load_recipe
from prefstream.scoring.judges.calibration import CalibrationFile
from prefstream.scoring.loading.adapter_record import AdapterRecord
from prefstream.scoring.loading.weights import read_shapes

PRETRAINED = Path(__file__).parents[4] / "scoring" / "demo" / "pretrained"
FOLDERS = ("gemma-demo", "llama-demo")
MAX_BYTES = 10_000_000


@pytest.mark.parametrize("name", FOLDERS)
def test_an_adapter_is_below_ten_megabytes_with_its_head(name: str) -> None:
    weights = PRETRAINED / name / "adapter_model.safetensors"
    assert weights.stat().st_size < MAX_BYTES
    assert read_shapes(weights)["base_model.model.score.weight"][0] == 2


@pytest.mark.parametrize("name", FOLDERS)
def test_its_record_and_receipt_agree_with_the_recipe_that_ships(name: str) -> None:
    record = AdapterRecord.read(PRETRAINED / name)
    receipt = json.loads((PRETRAINED / name / "train.json").read_text(encoding="utf-8"))
    recipe = load_recipe(name)
    assert Recipe.model_validate(receipt["recipe"]) == recipe
    assert (record.kind, record.max_length, record.base) == (recipe.kind, recipe.max_length, recipe.base)
    assert record.template_hash == receipt["template_hash"]


@pytest.mark.parametrize("name", FOLDERS)
def test_nothing_in_it_names_a_place_on_a_machine(name: str) -> None:
    for path in (PRETRAINED / name).glob("*.json"):
        assert not re.search(r'"(/|~|file:)', path.read_text(encoding="utf-8")), path.name


def test_the_gemma_adapter_comes_with_its_terms() -> None:
    notice = (PRETRAINED / "gemma-demo" / "NOTICE").read_text(encoding="utf-8")
    assert "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms" in notice
    assert "Gemma Terms of Use" in (PRETRAINED / "gemma-demo" / "GEMMA_TERMS_OF_USE.txt").read_text(encoding="utf-8")


def test_the_calibration_is_of_both_judges() -> None:
    calibration = CalibrationFile.read(PRETRAINED / "panel.json")
    assert set(calibration.judges) == set(calibration.weights) == {"gemma", "smollm"}
