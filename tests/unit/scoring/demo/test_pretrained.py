"""The adapters that ship: whole, small, licensed, and described without anything of the machine they came from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from prefstream.scoring.config import DEMO_PANEL, load_panel_config
from prefstream.scoring.finetune.features.recipe import FeaturesRecipe, load_any_recipe
from prefstream.scoring.finetune.recipe import Recipe, load_recipe
from prefstream.scoring.judges.calibration import CalibrationFile
from prefstream.scoring.loading.adapter_record import AdapterRecord
from prefstream.scoring.loading.features import read_features_adapter
from prefstream.scoring.loading.weights import read_shapes

PRETRAINED = Path(__file__).parents[4] / "scoring" / "demo" / "pretrained"
FOLDERS = ("gemma-middle", "smollm-middle")
LEXICAL = "lexical-demo"
MAX_BYTES = 10_000_000
MAX_FEATURES_BYTES = 2_000_000


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


def test_the_judge_of_features_is_small_and_agrees_with_the_recipe_that_ships() -> None:
    folder = PRETRAINED / LEXICAL
    record, _ = read_features_adapter(folder)
    receipt = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    recipe = load_any_recipe(LEXICAL)
    assert FeaturesRecipe.model_validate(receipt["recipe"]) == recipe
    assert isinstance(recipe, FeaturesRecipe)
    assert record.features == recipe.features
    assert record.template_hash == receipt["template_hash"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < MAX_FEATURES_BYTES


@pytest.mark.parametrize("name", [*FOLDERS, LEXICAL])
def test_nothing_in_it_names_a_place_on_a_machine(name: str) -> None:
    for path in (PRETRAINED / name).glob("*.json"):
        # Words that a judge of features goes by may be any mark.
        lines = [
            line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith('"name":')
        ]
        assert not re.search(r'"(/|~|file:)', "\n".join(lines)), path.name


def test_the_gemma_adapter_comes_with_its_terms() -> None:
    notice = (PRETRAINED / "gemma-middle" / "NOTICE").read_text(encoding="utf-8")
    assert "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms" in notice
    assert "Gemma Terms of Use" in (PRETRAINED / "gemma-middle" / "GEMMA_TERMS_OF_USE.txt").read_text(encoding="utf-8")


def test_the_calibration_is_of_all_judges_and_takes_length_out() -> None:
    calibration = CalibrationFile.read(PRETRAINED / "panel.json")
    assert (
        set(calibration.judges)
        == set(calibration.weights)
        == {judge.name for judge in load_panel_config(DEMO_PANEL).judges}
    )
    assert calibration.length_slope is not None
