"""Judges on a base that reads both ways, and judges that read by the mean: from recipe to the answers of serving."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.encoding.template import Pooling
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.finetune.model import load_student, open_student
from prefstream.scoring.finetune.recipe import load_recipe
from prefstream.scoring.finetune.run import finetune
from prefstream.scoring.finetune.start import Origin
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.loading.adapter_record import AdapterRecord
from prefstream.scoring.loading.judge import load_judge
from tests.support.labelled_pairs import SilentObserver, make_recipe, read_rows
from tests.support.models import Family
from tests.unit.scoring.finetune.conftest import MakeBase


def predictions(folder: Path) -> dict[str, list[float]]:
    with (folder / "dev-predictions.csv").open(newline="") as file:
        _, *rows = csv.reader(file)
    return {name: list(map(float, row)) for name, *row in rows}


@pytest.mark.parametrize(
    ("family", "pooling"),
    [
        ("embeddinggemma", "mean"),
        ("embeddinggemma", "last"),
        ("gemma3", "mean"),
        ("gemma3", "answer"),
        ("llama", "answer"),
    ],
)
def test_serving_answers_what_training_answered(
    base: MakeBase, train: Path, dev: Path, tmp_path: Path, family: Family, pooling: Pooling
) -> None:
    recipe = make_recipe(base(family), pooling=pooling, data={"stages": [{"epochs": 1}]})
    finetune(recipe, train, tmp_path, dev=dev, observer=SilentObserver())
    assert AdapterRecord.read(tmp_path).pooling == pooling
    assert "base_model.model.score.weight" in load_file(tmp_path / "adapter_model.safetensors")
    entry = {"name": "served", "kind": "pointwise", "base": str(base(family)), "adapter": str(tmp_path)}
    config = ModelJudgeConfig.model_validate({**entry, "device": "cpu", "dtype": "float32", "max_length": 96})
    judge = load_judge(config, place_judges([config])["served"])
    assert judge.provenance.pooling == (None if pooling == "last" else pooling)
    battles = [one.battle for one in read_rows(dev)]
    served = judge.score(judge.encode(battles)).probabilities
    judge.close()
    found = predictions(tmp_path)
    assert len({tuple(row) for row in found.values()}) > 5
    np.testing.assert_allclose(served, [found[battle.id] for battle in battles], atol=1e-5)


def test_a_judge_reads_as_its_adapter_was_trained_to(base: MakeBase, train: Path, tmp_path: Path) -> None:
    """An older record does not say how, and means the last token."""
    finetune(make_recipe(base("gemma3"), max_steps=2), train, tmp_path, observer=SilentObserver())
    record = tmp_path / "prefstream.json"
    fields = json.loads(record.read_text())
    assert fields.pop("pooling") == "last"
    entry = {"name": "served", "kind": "pointwise", "base": str(base("gemma3")), "adapter": str(tmp_path)}
    config = ModelJudgeConfig.model_validate({**entry, "device": "cpu", "dtype": "float32", "max_length": 96})
    found = {}
    for pooling in (None, "last", "mean"):
        record.write_text(json.dumps(fields if pooling is None else {**fields, "pooling": pooling}))
        judge = load_judge(config, place_judges([config])["served"])
        found[pooling] = judge.rewards([(2, 9, 11, 40), (2, 50, 60)]).tolist()
        judge.close()
    assert found[None] == found["last"]
    assert np.abs(np.subtract(found["last"], found["mean"])).min() > 1e-6


def test_a_head_that_read_otherwise_is_not_begun_with(base: MakeBase, train: Path, tmp_path: Path) -> None:
    recipe = make_recipe(base("gemma3"), pooling="mean", max_steps=1)
    finetune(recipe, train, tmp_path, observer=SilentObserver())
    taken = {}
    poolings: tuple[Pooling, ...] = ("last", "mean", "answer")
    for pooling in poolings:
        student = open_student(make_recipe(base("gemma3"), pooling=pooling), say=lambda _line: None)
        taken[pooling] = Origin.of(tmp_path, student).tau is not None
    assert taken == {"last": False, "mean": True, "answer": False}


def test_the_recipe_that_ships_trains_a_base_of_its_kind(
    base: MakeBase, train: Path, dev: Path, tmp_path: Path
) -> None:
    changes = {"base": str(base("embeddinggemma")), "lora.frozen_layers": 1, "max_steps": 3}
    recipe = load_recipe("embeddinggemma", changes)
    outcome = finetune(recipe, train, tmp_path, dev=dev, observer=SilentObserver())
    assert outcome.finished
    assert outcome.steps == 3
    record = AdapterRecord.read(tmp_path)
    assert (record.template, record.pooling) == ("gemma-pointwise-1", "mean")
    card = (tmp_path / "README.md").read_text()
    assert "the mean of all tokens' states" in card
    assert "Gemma Terms of Use" in card


def test_an_attention_that_looks_back_alone_is_refused_before_weights_are_loaded(base: MakeBase) -> None:
    recipe = make_recipe(base("embeddinggemma"), attention="causal_blocks")
    with pytest.raises(ConfigError, match="attention: causal_blocks looks back alone"):
        open_student(recipe, say=lambda _line: None)


def test_checkpointing_of_activations_leaves_the_mean_as_it_is(base: MakeBase) -> None:
    gradients = []
    for checkpointing in (False, True):
        recipe = make_recipe(
            base("embeddinggemma"), pooling="mean", step={"gradient_checkpointing": checkpointing, "weight": 4}
        )
        torch.manual_seed(0)
        model = load_student(open_student(recipe, say=lambda _line: None))
        torch.nn.init.normal_(model.get_base_model().score.modules_to_save["default"].weight)
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        model.train()
        ids = torch.tensor([[2, 9, 11, 40], [2, 50, 0, 0]])
        model(input_ids=ids, attention_mask=ids.ne(0).long(), use_cache=False).logits.square().sum().backward()
        gradients.append({name: one.grad for name, one in model.named_parameters() if one.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name])
