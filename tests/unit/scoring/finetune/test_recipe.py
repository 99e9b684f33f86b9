"""Recipes: those that ship are good, faults are named with their place, overrides are stronger than the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from prefstream.scoring.config import DEMO_BASES
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.finetune.features.recipe import load_any_recipe
from prefstream.scoring.finetune.recipe import Recipe, load_recipe, shipped_recipes

SMALL = {"name": "mine", "base": "org/base", "kind": "pairwise"}


def write(folder: Path, **changes: Any) -> str:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return str(path)


def faults(folder: Path, **changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(folder, **changes))
    return str(caught.value)


def test_one_recipe_ships_for_each_judge() -> None:
    assert {"gemma-2-9b", "llama-3-8b-8bit", "gemma-middle", "smollm-middle"} <= set(shipped_recipes())


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_shipped_recipe_loads_and_names_its_base_where_it_has_one(name: str) -> None:
    recipe = load_any_recipe(name)
    assert recipe.name == name
    if isinstance(recipe, Recipe):
        assert recipe.licence
        assert recipe.base in DEMO_BASES or recipe.revision is not None


def test_what_a_file_leaves_out_has_its_default(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path)) == Recipe(name="mine", base="org/base", kind="pairwise")


def test_overrides_are_stronger_than_the_file(tmp_path: Path) -> None:
    source = write(tmp_path, lora={"rank": 8, "alpha": 4})
    recipe = load_recipe(source, {"lora.rank": 2, "optimizer.learning_rate": "1e-4", "seed": 3})
    assert (recipe.lora.rank, recipe.lora.alpha) == (2, 4)
    assert recipe.optimizer.learning_rate == 1e-4
    assert recipe.seed == 3


def test_an_override_can_replace_a_list(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path), {"data.stages": [{"tiers": ["core"], "epochs": 0.5}, {}]})
    assert [(stage.tiers, stage.epochs) for stage in recipe.data.stages] == [(("core",), 0.5), ((), 1.0)]


@pytest.mark.parametrize("key", ["kind.deeper", "lora.rank.deeper", "data.stages.0.epochs"])
def test_an_override_below_a_value_is_refused(tmp_path: Path, key: str) -> None:
    source = write(tmp_path, lora={"rank": 8}, data={"stages": [{"epochs": 1}]})
    with pytest.raises(ConfigError, match=r"is no group of settings"):
        load_recipe(source, {key: 1})


def test_an_unknown_recipe_lists_those_that_ship() -> None:
    with pytest.raises(
        ConfigError, match="no such recipe; give a YAML file, or one of embeddinggemma, gemma-2-9b, gemma-3-270m"
    ):
        load_recipe("gema-demo")


def test_unknown_keys_are_named_with_what_was_meant(tmp_path: Path) -> None:
    told = faults(tmp_path, lora={"rnak": 8}, sede=1)
    assert "lora.rnak: unknown key; did you mean rank?" in told
    assert "sede: unknown key; did you mean seed?" in told
    assert "2 errors" in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kind": "threewise"}, "kind: "),
        ({"base": None}, "base: "),
        ({"lora": {"rank": 0}}, "lora.rank: "),
        ({"lora": {"dropout": 1.0}}, "lora.dropout: "),
        ({"lora": {"targets": []}}, "lora.targets: "),
        ({"optimizer": {"learning_rate": 0}}, "optimizer.learning_rate: "),
        ({"optimizer": {"learning_rate": float("nan")}}, "optimizer.learning_rate: "),
        ({"data": {"stages": []}}, "data.stages: "),
        ({"data": {"stages": [{"epochs": 0}]}}, "data.stages[0].epochs: "),
        ({"data": {"weights": {"core": -1}}}, "data.weights.core: "),
        ({"data": {"prompt_exponent": 2}}, "data.prompt_exponent: "),
        ({"data": {"balance_length": "yes"}}, "data.balance_length: "),
        ({"step": {"weight": 0}}, "step.weight: "),
        ({"store": "float16"}, "store: "),
        ({"int8_threshold": 3}, "int8_threshold: is for quantization: 8bit, and this is none; leave it out"),
        ({"quantization": "8bit", "quant_type": "fp4"}, "quant_type: is for quantization: 4bit, and this is 8bit"),
        ({"revision": "main"}, "revision: "),
        ({"name": "../elsewhere"}, "name: "),
        ({"kind": "pointwise", "data": {"consistency": 1}}, "data.consistency: a pointwise judge is consistent"),
        ({"data": {"consistency": 1, "swap": "random"}}, "data.consistency: needs data.swap: both"),
        ({"data": {"shorter_won": 0}}, "data.shorter_won: "),
        ({"data": {"shorter_won": 2, "balance_length": "data"}}, "data: shorter_won: balance_length would undo it"),
        ({"data": {"shorter_one": 2}}, "data.shorter_one: unknown key; did you mean shorter_won?"),
        ({"data": {"teacher": 0}}, "data.teacher: "),
        ({"data": {"teacher": 1.1}}, "data.teacher: "),
        ({"data": {"stages": [{"max_length_ratio": 0.9}]}}, "data.stages[0].max_length_ratio: "),
        ({"data": {"stages": [{"length_ratio": 2}]}}, "did you mean max_length_ratio?"),
    ],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    assert told in faults(tmp_path, **changes)


@pytest.mark.parametrize("text", ["", "- a list", "just text", "a: [b", "kind: pairwise\nkind: pointwise"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load_recipe(str(path))
