"""Judges on the first layers of a base: from recipe to the answers of serving."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from prefstream.consumer.doctor.judges import inspect
from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.errors import LoadError
from prefstream.scoring.finetune.model import open_student
from prefstream.scoring.finetune.run import finetune
from prefstream.scoring.finetune.start import Origin
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.judges.model import ModelJudge
from prefstream.scoring.loading.adapter_record import AdapterRecord
from prefstream.scoring.loading.base_model import load_classifier, open_base
from prefstream.scoring.loading.judge import load_judge
from tests.support.labelled_pairs import SilentObserver, make_recipe, read_rows
from tests.support.models import Family, make_tiny_base
from tests.unit.scoring.finetune.conftest import MakeBase

IDS = torch.tensor([[2, 9, 11, 40], [2, 50, 60, 61]])


def entry(base: Path, adapter: Path) -> ModelJudgeConfig:
    fields = {"name": "served", "kind": "pointwise", "base": str(base), "adapter": str(adapter), "device": "cpu"}
    return ModelJudgeConfig.model_validate({**fields, "dtype": "float32", "max_length": 96})


def serve(base: Path, adapter: Path) -> ModelJudge:
    config = entry(base, adapter)
    return load_judge(config, place_judges([config])["served"])


@pytest.mark.parametrize("family", ["gemma2", "gemma3", "embeddinggemma", "llama"])
def test_what_is_left_of_a_base_answers_what_the_whole_has_after_that_layer(base: MakeBase, family: Family) -> None:
    found = open_base(str(base(family)), None, labels=2, layers=1)
    settings: dict[str, Any] = {"device": torch.device("cpu"), "dtype": torch.float32, "attention": "eager"}
    cut = load_classifier(found, **settings).base_model
    whole = AutoModel.from_pretrained(base(family), attn_implementation="eager")
    with torch.inference_mode():
        states = whole(input_ids=IDS, use_cache=False, output_hidden_states=True).hidden_states[1]
        torch.testing.assert_close(cut(input_ids=IDS, use_cache=False).last_hidden_state, whole.norm(states))
    assert len(cut.layers) == 1


@pytest.mark.parametrize("begin", ["zeros", "fitted"])
@pytest.mark.parametrize("family", ["gemma3", "llama"])
def test_serving_answers_what_training_answered(
    base: MakeBase, train: Path, dev: Path, tmp_path: Path, family: Family, begin: str
) -> None:
    recipe = make_recipe(base(family), layers=1, pooling="mean", head={"begin": begin}, max_steps=3)
    finetune(recipe, train, tmp_path, dev=dev, observer=SilentObserver())
    assert AdapterRecord.read(tmp_path).layers == 1
    assert "the first 1 of the base" in (tmp_path / "README.md").read_text()
    judge = serve(base(family), tmp_path)
    assert judge.provenance.layers == 1
    battles = [one.battle for one in read_rows(dev)]
    served = judge.score(judge.encode(battles)).probabilities
    judge.close()
    with (tmp_path / "dev-predictions.csv").open(newline="") as file:
        measured = [list(map(float, row[1:])) for row in csv.reader(file) if row[0] != "id"]
    assert len({tuple(row) for row in measured}) > 5
    np.testing.assert_allclose(served, measured, atol=1e-5)


def test_what_is_above_makes_no_difference(train: Path, tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    make_tiny_base(base, "llama")
    finetune(make_recipe(base, layers=1, max_steps=2), train, adapter, observer=SilentObserver())
    said = []
    for _ in range(2):
        judge = serve(base, adapter)
        said.append(judge.rewards([(2, 9, 11, 40), (2, 50, 60)]).tolist())
        judge.close()
        weights = load_file(base / "model.safetensors")
        above = {name: torch.zeros_like(one) for name, one in weights.items() if ".layers.1." in name}
        assert above
        save_file(weights | above, base / "model.safetensors", metadata={"format": "pt"})
    assert said[0] == said[1]


def test_of_a_whole_base_nothing_is_said(base: MakeBase, train: Path, tmp_path: Path) -> None:
    """The identity of a panel that did not change stays as it was."""
    finetune(make_recipe(base("llama"), max_steps=1), train, tmp_path, observer=SilentObserver())
    judge = serve(base("llama"), tmp_path)
    judge.close()
    assert judge.provenance.layers is None


def test_more_layers_than_there_are_are_refused(base: MakeBase) -> None:
    recipe = make_recipe(base("llama"), layers=3)
    with pytest.raises(LoadError, match="has 2 layers, and the first 3 are to be kept; lower layers"):
        open_student(recipe, say=lambda _line: None)


def test_an_adapter_of_more_layers_is_not_begun_with(base: MakeBase, train: Path, tmp_path: Path) -> None:
    finetune(make_recipe(base("llama"), max_steps=1), train, tmp_path, observer=SilentObserver())
    student = open_student(make_recipe(base("llama"), layers=1), say=lambda _line: None)
    with pytest.raises(LoadError, match="has all of the base's layers, the recipe has 1; set layers alike"):
        Origin.of(tmp_path, student)


def test_doctor_says_how_many_there_are_and_counts_no_others(base: MakeBase, train: Path, tmp_path: Path) -> None:
    finetune(make_recipe(base("llama"), layers=1, max_steps=1), train, tmp_path, observer=SilentObserver())
    inspection = inspect(entry(base("llama"), tmp_path), base("llama"), tmp_path)
    assert "the first 1 of 2 layers" in inspection.described
    assert inspection.config.num_hidden_layers == 1
