"""Judges on a quantised base, on the CPU: how it is rounded, and when an adapter is merged into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from prefstream import ModelJudgeConfig
from prefstream.scoring.loading.adapter import apply_adapter, verify_adapter_files
from prefstream.scoring.loading.base_model import load_classifier, open_base, quiet_libraries
from prefstream.scoring.loading.rounding import Rounding
from tests.support.loaded_judges import BATTLES, load, probabilities
from tests.support.models import Family, make_tiny_judge, one_torch_thread

MERGED = {"quantization": "8bit", "merge": "before_quantization"}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


def make_entry(folder: Path, family: Family = "llama", **settings: Any) -> dict[str, Any]:
    """A judge in bfloat16, wide enough for 4 bits."""
    return make_tiny_judge(folder, family, name="q", hidden_size=64, dtype="bfloat16", **settings)


def exaggerate_a_state(base: Path) -> None:
    """Let one number of every normalised state be large, as some are in large models: an outlier to 8 bits."""
    path = base / "model.safetensors"
    weights = load_file(path)
    for name, weight in weights.items():
        if name.endswith("norm.weight"):
            weight[5] = 12.0
    save_file(weights, path, metadata={"format": "pt"})


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_quantised_judges_answer_near_the_original(tmp_path: Path, quantization: str) -> None:
    entry = make_entry(tmp_path)
    judge = load(entry, quantization=quantization)
    assert judge.provenance.quantization == quantization
    np.testing.assert_allclose(probabilities(judge), probabilities(load(entry, dtype="float32")), atol=0.25)


def test_what_is_quantised_as_always_says_no_more_than_it_did(tmp_path: Path) -> None:
    """For the identity of a panel is over all that its judges say of themselves."""
    entry = make_entry(tmp_path)
    always = load(entry, quantization="8bit")
    in_words = load(entry, quantization="8bit", int8_threshold=6, merge="auto")
    assert always.provenance == in_words.provenance
    said = always.provenance.model_dump(exclude_none=True)
    assert said.keys() & {"int8_threshold", "quant_type", "merge"} == set()


@pytest.mark.parametrize(
    ("quantization", "setting"), [("8bit", {"int8_threshold": 0.0}), ("4bit", {"quant_type": "fp4"})]
)
def test_another_way_to_quantise_is_stated_and_answers_otherwise_but_near(
    tmp_path: Path, quantization: str, setting: dict[str, Any]
) -> None:
    entry = make_entry(tmp_path)
    exaggerate_a_state(Path(entry["base"]))
    judge = load(entry, quantization=quantization, **setting)
    assert judge.provenance.model_dump(include=set(setting)) == setting
    answers = probabilities(judge)
    assert not np.array_equal(answers, probabilities(load(entry, quantization=quantization)))
    np.testing.assert_allclose(answers, probabilities(load(entry)), atol=0.25)


@pytest.mark.parametrize("threshold", [2.0, 0.0])
def test_an_answer_in_8_bits_depends_on_its_neighbours_unless_no_column_is_kept(
    tmp_path: Path, threshold: float
) -> None:
    """What is an outlier in one row of a pass is computed in 16 bits in all. So small a base has none at 6."""
    entry = make_entry(tmp_path)
    judge = load(entry, quantization="8bit", int8_threshold=threshold, dtype="float32", micro_batch_tokens=10_000)
    together = probabilities(judge)
    alone = np.concatenate([judge.score(judge.encode([battle])).probabilities for battle in BATTLES])
    apart = np.abs(together - alone).max()
    assert apart > 1e-4 if threshold else apart < 1e-5


@pytest.mark.parametrize(
    ("family", "reading"),
    [
        ("llama", {}),
        ("llama", {"kept_layers": 1}),
        ("gemma2", {}),
        ("gemma3", {}),
        ("embeddinggemma", {"pooling": "mean"}),
    ],
)
def test_merged_and_then_quantised_is_near_what_is_not_quantised(
    tmp_path: Path, family: Family, reading: dict[str, Any]
) -> None:
    """As near as beside a quantised base, but for what the adapter itself is rounded by: here it is a large one."""
    entry = make_entry(tmp_path, family, **reading)
    exact = probabilities(load(entry, dtype="float32"))
    merged, beside = (probabilities(load(entry, **how)) - exact for how in (MERGED, {"quantization": "8bit"}))
    assert np.abs(merged).max() < 0.1
    assert np.sqrt(np.mean(merged**2)) < np.sqrt(np.mean(beside**2)) + 0.02


def test_merged_and_then_quantised_is_what_a_merged_base_is_in_8_bits(tmp_path: Path) -> None:
    """To the bit: the adapter is merged as without quantisation, and rounded as any base is."""
    entry = make_entry(tmp_path)
    judge = load(entry, **MERGED, int8_threshold=2.5)
    model = judge._source._model
    assert model is not None
    merged, adapter, cpu = tmp_path / "merged", Path(entry["adapter"]), torch.device("cpu")
    base = open_base(entry["base"], None, labels=3)
    with quiet_libraries():
        whole = load_classifier(base, device=cpu, dtype=torch.bfloat16, attention="sdpa")
        shapes = verify_adapter_files(adapter, base.head_names)
        apply_adapter(whole, adapter, shapes, merge=True).save_pretrained(merged)
        base.tokenizer.save_pretrained(merged)
        rounding = Rounding("8bit", int8_threshold=2.5)
        expected = load_classifier(
            open_base(str(merged), None, labels=3),
            device=cpu,
            dtype=torch.bfloat16,
            attention="sdpa",
            rounding=rounding,
        )
    found, wanted = ({**one.state_dict()} for one in (model, expected))
    found["score.weight"] = found["score.weight"].bfloat16()  # serving computes the head in float32
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert sum("SCB" in name for name in found) == 2 * 7
    layers: list[Any] = [layer for layer in model.modules() if hasattr(layer, "init_8bit_state")]
    assert {layer.state.threshold for layer in layers} == {2.5}


def test_a_merged_adapter_is_stated_and_takes_no_room_of_its_own(tmp_path: Path) -> None:
    entry = make_entry(tmp_path)
    judge = load(entry, **MERGED)
    assert judge.provenance.merge == "before_quantization"
    assert judge.provenance.quantization == "8bit"
    model = judge._source._model
    assert model is not None
    assert not [name for name, _ in model.named_parameters() if "lora" in name]
    ways: list[dict[str, str]] = [{}, {"quantization": "8bit"}, MERGED]
    assert [ModelJudgeConfig.model_validate({**entry, **way}).merges for way in ways] == [True, False, True]


def test_what_can_not_be_quantised_with_its_adapter_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import LlamaForSequenceClassification

    from prefstream import LoadError

    entry = make_entry(tmp_path)
    original = LlamaForSequenceClassification.from_pretrained

    def fail(source: object, **settings: Any) -> Any:
        if source is None:
            raise ImportError("needs bitsandbytes")
        return original(source, **settings)

    monkeypatch.setattr(LlamaForSequenceClassification, "from_pretrained", fail)
    with pytest.raises(LoadError, match=r"base: can't be quantised with its adapter: needs bitsandbytes"):
        load(entry, **MERGED)
