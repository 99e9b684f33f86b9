"""Adapters averaged: the mean of what they add, as near as the rank allows; what does not go together is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from prefstream.schemas import Battle
from prefstream.scoring.adapters.average import Average, average_adapters
from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.errors import FileError, LoadError
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.loading.adapter import apply_adapter
from prefstream.scoring.loading.adapter_record import AdapterRecord, hash_adapter
from prefstream.scoring.loading.base_model import quiet_libraries
from prefstream.scoring.loading.judge import load_judge
from prefstream.scoring.loading.weights import read_shapes
from tests.support.models import make_tiny_adapter, make_tiny_base, one_torch_thread

WEIGHTS = "adapter_model.safetensors"

FIRST_RANK, SECOND_RANK = 4, 3


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "llama"
    make_tiny_base(folder, "llama")
    return folder


@pytest.fixture(scope="module")
def made(base: Path) -> tuple[Path, Path]:
    """Two random adapters of different ranks."""
    first, second = base.with_name("first"), base.with_name("second")
    make_tiny_adapter(first, base, "pointwise", seed=1, rank=FIRST_RANK)
    make_tiny_adapter(second, base, "pointwise", seed=2, rank=SECOND_RANK)
    for folder, tau in ((first, 0.5), (second, -0.25)):
        AdapterRecord.read(folder).model_copy(update={"tau": tau, "base_hash": "b" * 64}).write(folder)
    return first, second


@pytest.fixture
def pair(made: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The same two, for a test that changes them."""
    first, second = (shutil.copytree(folder, tmp_path / folder.name) for folder in made)
    return first, second


def change(folder: Path, name: str, **fields: Any) -> None:
    """Change a JSON file of an adapter."""
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def merged(base: Path, adapter: Path | None) -> dict[str, torch.Tensor]:
    """All weights of the base, with the adapter in it as serving merges them."""
    from transformers import AutoModelForSequenceClassification

    with quiet_libraries():
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2, dtype=torch.float32)
        if adapter is not None:
            model = apply_adapter(model, adapter, read_shapes(adapter / WEIGHTS), merge=True)
    weights: dict[str, torch.Tensor] = model.state_dict()
    return weights


def test_at_full_rank_it_is_the_average_of_the_merged_weights(
    base: Path, made: tuple[Path, Path], tmp_path: Path
) -> None:
    average = average_adapters(made, tmp_path / "mean", rank=100)
    assert average == Average(rank=FIRST_RANK + SECOND_RANK, kept=1.0, least_kept=1.0, tau=0.125)
    first, second, mean = (merged(base, folder) for folder in (*made, tmp_path / "mean"))
    assert mean.keys() == first.keys()
    for name, weights in mean.items():
        torch.testing.assert_close(weights, (first[name] + second[name]) / 2, rtol=0, atol=1e-5)


def test_of_lower_rank_it_is_the_nearest_of_that_rank(base: Path, made: tuple[Path, Path], tmp_path: Path) -> None:
    average = average_adapters(made, tmp_path / "mean", rank=2)
    whole, kept = 0.0, 0.0
    shares = []
    none, first, second, mean = (merged(base, folder) for folder in (None, *made, tmp_path / "mean"))
    for name in [name for name in mean if "_proj" in name]:
        added = (first[name] + second[name]).double() / 2 - none[name]
        u, values, v = torch.linalg.svd(added, full_matrices=False)
        nearest = (u[:, :2] * values[:2]) @ v[:2]
        torch.testing.assert_close(mean[name].double() - none[name], nearest, rtol=0, atol=1e-5)
        shares.append(float(values[:2].norm() / values.norm()))
        whole, kept = whole + float((values**2).sum()), kept + float((values[:2] ** 2).sum())
    assert average.rank == 2
    assert average.kept == pytest.approx((kept / whole) ** 0.5, abs=1e-5)
    assert average.least_kept == pytest.approx(min(shares), abs=1e-5)
    assert 0.5 < average.least_kept < average.kept < 1


def test_the_mean_of_one_adapter_with_itself_answers_as_it_does(
    base: Path, made: tuple[Path, Path], tmp_path: Path
) -> None:
    first, _ = made
    assert average_adapters([first, first], tmp_path / "mean").rank == FIRST_RANK
    battles = [Battle(id="1", prompt=("Which?",), response_a=("This one.",), response_b=("That one, and why.",))]
    answers = []
    for adapter in (first, tmp_path / "mean"):
        config = ModelJudgeConfig(
            name="j", kind="pointwise", base=str(base), adapter=str(adapter), device="cpu", dtype="float32"
        )
        judge = load_judge(config, place_judges([config])["j"])
        answers.append(judge.score(judge.encode(battles)).probabilities)
        judge.close()
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-5)


def test_the_folder_says_what_it_was_made_of(made: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    first = shutil.copytree(made[0], tmp_path / "first", dirs_exist_ok=True)
    (first / "train.json").write_text('{"recipe": {"seed": 7}}')
    average_adapters([first, made[1]], tmp_path / "mean", rank=2)
    receipt = json.loads((tmp_path / "mean" / "train.json").read_text())
    assert [part["name"] for part in receipt["average_of"]] == ["first", "second"]
    assert [part["receipt"] for part in receipt["average_of"]] == [{"recipe": {"seed": 7}}, None]
    assert len({part["adapter_hash"] for part in receipt["average_of"]}) == 2
    assert receipt["rank"] == 2
    settings = json.loads((tmp_path / "mean" / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"]) == (2, 4.0)
    assert AdapterRecord.read(tmp_path / "mean").base_hash == "b" * 64
    card = (tmp_path / "mean" / "README.md").read_text()
    assert "Average of first and second" in card
    assert str(tmp_path) not in card + json.dumps(receipt) + json.dumps(settings)


def test_it_is_stored_as_the_first_is(pair: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = pair
    half = {name: tensor.bfloat16() for name, tensor in load_file(first / WEIGHTS).items()}
    save_file(half, first / WEIGHTS, metadata={"format": "pt"})
    average_adapters([first, second], tmp_path / "mean")
    assert {tensor.dtype for tensor in load_file(tmp_path / "mean" / WEIGHTS).values()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("name", "fields", "told"),
    [
        ("prefstream.json", {"base_hash": "c" * 64}, "base_hash is cccccccccccc"),
        ("prefstream.json", {"template_hash": "c" * 64}, "template_hash is cccccccccccc"),
        ("prefstream.json", {"kind": "pairwise"}, "kind is pairwise, not pointwise"),
        ("prefstream.json", {"max_length": 99}, "max_length is 99, not 256"),
        ("prefstream.json", {"mask_identity": True}, "mask_identity is True, not False"),
        ("prefstream.json", {"calibration": {"temperature": 2.0}}, "calibration is "),
        ("adapter_config.json", {"layers_to_transform": [1]}, "layers_to_transform is [1], not None"),
        ("adapter_config.json", {"use_dora": True}, "sets use_dora; only plain LoRA can be averaged"),
        ("adapter_config.json", {"bias": "all"}, "sets bias; only plain LoRA"),
    ],
)
def test_adapters_that_do_not_go_together_are_refused(
    pair: tuple[Path, Path], tmp_path: Path, name: str, fields: dict[str, Any], told: str
) -> None:
    first, second = pair
    change(second, name, **fields)
    with pytest.raises(LoadError) as caught:
        average_adapters([first, second], tmp_path / "mean")
    assert told in str(caught.value)
    assert str(second) in str(caught.value)
    assert not (tmp_path / "mean").exists()


def test_weights_of_other_layers_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = pair
    weights = load_file(second / WEIGHTS)
    fewer = {name: tensor for name, tensor in weights.items() if "layers.1." not in name}
    save_file(fewer, second / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(LoadError, match=r"does not go with .*: layers is "):
        average_adapters([first, second], tmp_path / "mean")


def test_lora_of_an_embedding_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    for folder in pair:
        factor = {"base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(4, 8)}
        save_file({**load_file(folder / WEIGHTS), **factor}, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(LoadError, match=r"lora_embedding_A; only LoRA of linear layers can be averaged"):
        average_adapters(pair, tmp_path / "mean")


def test_weights_that_are_cut_off_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (pair[1] / WEIGHTS).write_bytes((pair[1] / WEIGHTS).read_bytes()[:-8])
    with pytest.raises(LoadError, match=str(pair[1] / WEIGHTS)):
        average_adapters(pair, tmp_path / "mean")


def test_one_adapter_is_no_average(made: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(FileError, match="at least two"):
        average_adapters(made[:1], tmp_path / "mean")


def test_an_adapter_is_replaced_only_on_demand(made: tuple[Path, Path], pair: tuple[Path, Path]) -> None:
    before = (pair[0] / WEIGHTS).read_bytes()
    with pytest.raises(FileError, match="holds an adapter already"):
        average_adapters(made, pair[0])
    assert (pair[0] / WEIGHTS).read_bytes() == before
    average_adapters(made, pair[0], force=True)
    assert (pair[0] / WEIGHTS).read_bytes() != before


def test_an_average_that_takes_the_place_of_a_part_names_the_part_that_was_there(pair: tuple[Path, Path]) -> None:
    before = [hash_adapter(folder) for folder in pair]
    average_adapters(pair, pair[0], force=True)
    receipt = json.loads((pair[0] / "train.json").read_text())
    assert [part["adapter_hash"] for part in receipt["average_of"]] == before
