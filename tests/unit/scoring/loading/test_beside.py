"""Judges that are loaded beside one of the same base: the weights are shared, and the answers those of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from prefstream import LoadError, ModelJudgeConfig, load_panel
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.judges.model import ModelJudge
from prefstream.scoring.loading.adapter_record import WEIGHTS
from prefstream.scoring.loading.beside import can_share
from prefstream.scoring.probabilities import Triples
from prefstream.scoring.runtime import cpu_computes_int8
from tests.support.loaded_judges import BATTLES, NEEDS_INT8, load, own_cache, probabilities
from tests.support.models import make_tiny_adapter, make_tiny_judge, one_torch_thread

HEAD_ALONE = [
    {},
    {"dtype": "bfloat16"},
    pytest.param({"dtype": "bfloat16", "quantization": "int8-dynamic"}, marks=NEEDS_INT8),
]
IN_8_BITS = {"dtype": "bfloat16", "quantization": "8bit"}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_cache(tmp_path, monkeypatch)


@pytest.fixture
def entry(tmp_path: Path) -> dict[str, Any]:
    """A judge, and beside its adapter another one in `other`."""
    made = make_tiny_judge(tmp_path, "llama", name="j", hidden_size=64)
    make_tiny_adapter(tmp_path / "other", tmp_path / "base", seed=7)
    return made


def other(entry: dict[str, Any]) -> str:
    return str(Path(entry["adapter"]).with_name("other"))


def train_head_alone(adapter: str) -> None:
    """Let an adapter's LoRA add nothing, as one has of which the head alone was fitted."""
    path = Path(adapter) / WEIGHTS
    weights = load_file(path)
    save_file({name: w * 0 if ".lora_B." in name else w for name, w in weights.items()}, path, {"format": "pt"})


def addresses(judge: ModelJudge) -> set[int]:
    """Where the weights of the layers lie."""
    [forward] = judge.forwards
    assert forward.model is not None
    return {
        weight.data_ptr()
        for name, weight in forward.model.named_parameters()
        if "layers" in name and "lora" not in name and weight.numel() > 64
    }


def assert_shared_and_right(entry: dict[str, Any], settings: dict[str, Any]) -> None:
    first = load(entry, **settings)
    answers, named = probabilities(first), {**settings, "name": "new", "adapter": other(entry)}
    second, anew = load(entry, first, **named), load(entry, **named)
    assert addresses(second) == addresses(first)
    assert addresses(anew).isdisjoint(addresses(first))
    np.testing.assert_array_equal(probabilities(second), probabilities(anew))
    assert (second.provenance, second.settings) == (anew.provenance, anew.settings)
    assert not np.array_equal(probabilities(second), answers)
    np.testing.assert_array_equal(probabilities(first), answers)
    first.close()
    np.testing.assert_array_equal(probabilities(second), probabilities(anew))


@pytest.mark.parametrize("settings", HEAD_ALONE)
def test_heads_on_one_base_share_it_and_answer_to_the_bit_as_if_loaded_anew(
    entry: dict[str, Any], settings: dict[str, Any]
) -> None:
    for adapter in (entry["adapter"], other(entry)):
        train_head_alone(adapter)
    assert_shared_and_right(entry, settings)


def test_adapters_beside_a_quantised_base_share_it(entry: dict[str, Any]) -> None:
    assert_shared_and_right(entry, IN_8_BITS)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_adapters_on_a_card_share_its_quantised_base(entry: dict[str, Any], quantization: str) -> None:
    assert_shared_and_right({**entry, "device": "cuda:0"}, {"dtype": "bfloat16", "quantization": quantization})


def test_4_bits_on_a_cpu_are_packed_anew_by_passes_and_not_shared(entry: dict[str, Any]) -> None:
    settings = {"dtype": "bfloat16", "quantization": "4bit"}
    first = load(entry, **settings)
    assert addresses(load(entry, first, **settings)).isdisjoint(addresses(first))


@pytest.mark.parametrize("pooling", ["mean", "answer"])
def test_what_a_head_reads_is_what_it_read_alone(tmp_path: Path, pooling: Any) -> None:
    entry = make_tiny_judge(tmp_path, "llama", "pointwise", name="j", pooling=pooling)
    make_tiny_adapter(tmp_path / "other", tmp_path / "base", "pointwise", seed=7, pooling=pooling)
    for adapter in (entry["adapter"], other(entry)):
        train_head_alone(adapter)
    assert_shared_and_right(entry, {})


def test_the_same_adapter_is_shared_though_it_was_merged(entry: dict[str, Any]) -> None:
    first = load(entry)
    second = load(entry, first, name="new", weight=2.0)
    assert addresses(second) == addresses(first)
    np.testing.assert_array_equal(probabilities(second), probabilities(first))


@pytest.mark.parametrize("merged", [("adapter",), ("other",), ("adapter", "other")], ids=["old", "new", "both"])
def test_a_merged_adapter_needs_a_base_of_its_own(entry: dict[str, Any], merged: tuple[str, ...]) -> None:
    for adapter in (entry["adapter"], other(entry)):
        if Path(adapter).name not in merged:
            train_head_alone(adapter)
    first = load(entry)
    answers = probabilities(first)
    second = load(entry, first, adapter=other(entry))
    assert addresses(second).isdisjoint(addresses(first))
    np.testing.assert_array_equal(probabilities(second), probabilities(load(entry, adapter=other(entry))))
    np.testing.assert_array_equal(probabilities(first), answers)


@pytest.mark.parametrize(
    "settings",
    [{"max_length": 200}, {"dtype": "bfloat16"}, {"attention": "eager"}, {"shares": {"prompt": 2.0}}],
    ids=lambda settings: next(iter(settings)),
)
def test_who_reads_in_another_way_has_a_base_of_its_own(entry: dict[str, Any], settings: dict[str, Any]) -> None:
    first = load(entry)
    assert addresses(load(entry, first, **settings)).isdisjoint(addresses(first))


@pytest.mark.parametrize("changed", ["tokenizer.json", "model.safetensors"])
def test_a_base_whose_files_have_changed_is_loaded_anew(entry: dict[str, Any], changed: str) -> None:
    first = load(entry)
    file = Path(entry["base"]) / changed
    file.write_bytes(file.read_bytes())
    assert addresses(load(entry, first)).isdisjoint(addresses(first))


def test_a_base_whose_files_are_gone_is_not_answered_from_memory(entry: dict[str, Any]) -> None:
    first = load(entry)
    Path(entry["base"]).rename(Path(entry["base"]).with_name("elsewhere"))
    with pytest.raises(LoadError, match="no such folder"):
        load(entry, first)


def test_an_adapter_that_does_not_fit_is_refused_and_the_other_judge_goes_on(entry: dict[str, Any]) -> None:
    first = load(entry, **IN_8_BITS)
    answers = probabilities(first)
    make_tiny_judge(Path(entry["base"]).parent / "wide", "llama", hidden_size=128)
    wide = str(Path(entry["base"]).parent / "wide" / "adapter")
    with pytest.raises(LoadError, match="does not fit this base"):
        load(entry, first, **IN_8_BITS, adapter=wide)
    np.testing.assert_array_equal(probabilities(first), answers)


def test_an_adapter_whose_files_are_damaged_or_gone_is_refused_as_without_a_lender(entry: dict[str, Any]) -> None:
    for adapter in (entry["adapter"], other(entry)):
        train_head_alone(adapter)
    first, weights = load(entry), Path(other(entry)) / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])
    for _ in range(2):
        with pytest.raises(LoadError) as alone:
            load(entry, adapter=other(entry))
        with pytest.raises(LoadError) as beside:
            load(entry, first, adapter=other(entry))
        assert str(beside.value) == str(alone.value)
        weights.unlink(missing_ok=True)


def test_a_lender_whose_own_adapter_is_gone_lends_nothing(entry: dict[str, Any]) -> None:
    for adapter in (entry["adapter"], other(entry)):
        train_head_alone(adapter)
    first = load(entry)
    Path(entry["adapter"]).rename(Path(entry["adapter"]).with_name("elsewhere"))
    second = load(entry, first, adapter=other(entry))
    assert addresses(second).isdisjoint(addresses(first))


def test_a_judge_that_is_closed_lends_nothing(entry: dict[str, Any]) -> None:
    first = load(entry)
    first.close()
    assert len(probabilities(load(entry, first))) == len(BATTLES)


def test_judges_that_share_weights_answer_side_by_side(entry: dict[str, Any]) -> None:
    """Each in a thread of its own, as two panels do while one takes over from the other."""
    for adapter in (entry["adapter"], other(entry)):
        train_head_alone(adapter)
    settings = {"dtype": "bfloat16", "quantization": "int8-dynamic" if cpu_computes_int8() else "none"}
    judges = [load(entry, **settings)]
    judges.append(load(entry, judges[0], adapter=other(entry), **settings))
    alone = [probabilities(judge) for judge in judges]
    found: list[list[Triples]] = [[], []]
    start = threading.Barrier(2)

    def judge_on(place: int) -> None:
        start.wait(60)
        found[place] = [probabilities(judges[place]) for _ in range(10)]

    threads = [threading.Thread(target=judge_on, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for place in range(2):
        assert len(found[place]) == 10
        for answers in found[place]:
            np.testing.assert_array_equal(answers, alone[place])


def test_panels_share_what_their_judges_can(entry: dict[str, Any]) -> None:
    """Of two judges one has another adapter, merged: it alone is loaded."""
    two = make_tiny_judge(Path(entry["base"]).parent / "two", "gemma2")
    said: list[str] = []
    old = load_panel(PanelConfig.model_validate({"judges": [entry, two]}))
    new = load_panel(
        PanelConfig.model_validate({"judges": [{**entry, "adapter": other(entry)}, two]}), beside=[old], say=said.append
    )
    assert [line for line in said if "sharing" in line] == ["two: sharing the weights of two on cpu"]
    with new:
        old.close()
        assert len(new.score(BATTLES)) == len(BATTLES)


def test_what_could_be_shared_is_told_by_the_files_alone(entry: dict[str, Any]) -> None:
    def shares(**settings: Any) -> bool:
        one, two = (ModelJudgeConfig.model_validate({**entry, **more}) for more in ({}, settings))
        return can_share(one, two)

    assert shares()
    assert not shares(adapter=other(entry))
    for adapter in (entry["adapter"], other(entry)):
        train_head_alone(adapter)
    assert shares(adapter=other(entry), name="new", weight=3.0)
    assert not shares(adapter=other(entry), max_length=200)
    assert not shares(adapter=None, allow_untrained=True)
    assert not shares(adapter=other(entry) + "-gone")
