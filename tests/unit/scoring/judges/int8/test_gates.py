"""Judges whose gates multiply in 8 bits on a CPU: how rows are rounded, how near answers stay, where it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from prefstream import ConfigError, LoadError
from prefstream.scoring.judges.int8.gates import Int8Linear, SharedRows, quantise_rows, smoothing
from prefstream.scoring.judges.model import ModelJudge
from tests.support.loaded_judges import BATTLES, NEEDS_INT8, load, own_cache, probabilities
from tests.support.models import Family, make_tiny_judge, one_torch_thread

INT8: dict[str, Any] = {"quantization": "int8-dynamic"}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_cache(tmp_path, monkeypatch)


def random_states(seed: int, rows: int, columns: int, dtype: torch.dtype) -> torch.Tensor:
    """Rows of very different sizes, each with an outlier."""
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(rows, columns, generator=generator) * torch.logspace(-8, 8, rows)[:, None]
    states[:, seed % columns] *= 50
    return states.to(dtype)


def quantised_layers(judge: ModelJudge) -> list[str]:
    model = judge._source._model
    assert model is not None
    return [name for name, layer in model.named_modules() if isinstance(layer, Int8Linear)]


states = st.builds(
    random_states,
    st.integers(0, 1000),
    st.integers(1, 300),
    st.integers(1, 70),
    st.sampled_from([torch.float32, torch.bfloat16]),
)


@given(states)
@settings(max_examples=40, deadline=None)
def test_every_number_of_a_row_is_off_by_half_a_step_at_most(states: torch.Tensor) -> None:
    rounded, steps = quantise_rows(states)
    back = (rounded.double() - 128) * steps.double()
    assert ((back - states.double()).abs() <= steps.double() * 0.5001).all()
    assert (steps.double() * 127 <= states.double().abs().amax(dim=1, keepdim=True) * 1.005).all()


@given(states, st.integers(-20, 20))
@settings(max_examples=40, deadline=None)
def test_a_row_is_rounded_alike_alone_and_at_any_size(states: torch.Tensor, exponent: int) -> None:
    rounded, steps = quantise_rows(states)
    last, step = quantise_rows(states[-1:] * 2.0**exponent)
    assert torch.equal(last, rounded[-1:])
    assert torch.equal(step, steps[-1:] * 2.0**exponent)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_of_zeros_stays_that(dtype: torch.dtype) -> None:
    rounded, steps = quantise_rows(torch.zeros(2, 5, dtype=dtype))
    assert (rounded == 128).all()
    assert steps.isfinite().all()


@pytest.mark.parametrize("broken", [float("inf"), float("nan")])
def test_a_row_that_is_no_number_shows_and_spares_the_others(broken: float) -> None:
    states = torch.ones(3, 4)
    states[1, 2] = broken
    _, steps = quantise_rows(states)
    assert steps.isfinite().flatten().tolist() == [True, False, True]


@NEEDS_INT8
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_layer_is_near_the_one_that_it_takes_the_place_of(dtype: torch.dtype, bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.Linear(64, 48, bias=bias)
    factors = torch.exp2(torch.randint(0, 2, (64,), generator=generator).float())
    given = torch.randn(2, 9, 64, generator=generator)
    with torch.inference_mode():
        expected = layer(given)
        found = Int8Linear(layer, factors, SharedRows())((given / factors).to(dtype))
    assert found.dtype == dtype
    assert found.shape == expected.shape
    assert (found.float() - expected).norm() < 0.03 * expected.norm()


def test_rows_are_rounded_once_for_all_that_take_the_same_tensor() -> None:
    rows, one = SharedRows(), torch.randn(2, 3, 8)
    first = rows.of(one)
    assert rows.of(one) is first
    assert rows.of(one.clone()) is not first


@NEEDS_INT8
@pytest.mark.parametrize("family", ["llama", "chatml", "gemma2", "gemma3"])
@pytest.mark.parametrize(("dtype", "quantization"), [("float32", "int8-dynamic"), ("bfloat16", "auto")])
def test_a_judge_answers_near_the_original_and_says_how_it_is_quantised(
    tmp_path: Path, family: Family, dtype: str, quantization: str
) -> None:
    """With its adapter, which is a large one: merged before the sum is rounded."""
    entry = make_tiny_judge(tmp_path, family, name="q", hidden_size=64, dtype=dtype)
    judge = load(entry, quantization=quantization)
    assert judge.provenance.quantization == "int8-dynamic"
    assert [name.split(".")[-1] for name in quantised_layers(judge)] == ["gate_proj", "up_proj"] * 2
    np.testing.assert_allclose(probabilities(judge), probabilities(load(entry, dtype="float32")), atol=0.03)


@NEEDS_INT8
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_a_column_that_is_large_in_every_row_takes_no_levels_from_the_others(tmp_path: Path, family: Family) -> None:
    entry = make_tiny_judge(tmp_path, family, name="q", hidden_size=64, dtype="float32")
    path = Path(entry["base"], "model.safetensors")
    weights = load_file(path)
    for name, weight in weights.items():
        if name.endswith("norm.weight"):
            weight[5] = 200.0
        if name.endswith(("gate_proj.weight", "up_proj.weight")):
            weight[:, 5] /= 200.0
    save_file(weights, path, metadata={"format": "pt"})
    np.testing.assert_allclose(probabilities(load(entry, **INT8)), probabilities(load(entry)), atol=0.03)


@NEEDS_INT8
def test_an_answer_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    entry = make_tiny_judge(tmp_path, "llama", name="q", dtype="float32", micro_batch_tokens=10_000)
    judge = load(entry, **INT8)
    alone = np.concatenate([judge.score(judge.encode([battle])).probabilities for battle in BATTLES])
    # Float32 sums differ in the last bits between batches, and a number at the edge of two levels may take either.
    np.testing.assert_allclose(probabilities(judge), alone, atol=1e-3)


def test_on_a_processor_without_vnni_auto_reads_the_base_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefstream.scoring.judges.devices.cpu_computes_int8", lambda: False)
    judge = load(make_tiny_judge(tmp_path, "llama", name="q"), quantization="auto")
    assert judge.provenance.quantization == "none"
    assert quantised_layers(judge) == []


@NEEDS_INT8
def test_a_base_of_another_architecture_is_refused(tmp_path: Path) -> None:
    judge = load(make_tiny_judge(tmp_path, "llama", name="q"))
    model: Any = judge._source._model
    model.config.model_type = "mistral"
    with pytest.raises(ConfigError, match=r"int8-dynamic is for gemma2, gemma3_text, llama, and its base is mistral"):
        smoothing(model, [[1]], judge="q", dtype=torch.float32)


def test_a_processor_without_vnni_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefstream.scoring.judges.devices.cpu_computes_int8", lambda: False)
    with pytest.raises(LoadError, match=r"judge q: quantization int8-dynamic needs a processor with VNNI .*; use none"):
        load(make_tiny_judge(tmp_path, "llama", name="q", **INT8))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"device": "cuda:0"}, "int8-dynamic is for a CPU, and its device is cuda:0; use 8bit there, or device: cpu"),
        ({"dtype": "float16", "device": "cpu"}, "int8-dynamic goes with bfloat16 and float32, not with float16"),
    ],
)
def test_a_place_that_it_is_not_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr("prefstream.scoring.judges.devices.cpu_computes_int8", lambda: True)
    with pytest.raises(LoadError, match=expected):
        load(make_tiny_judge(tmp_path, "llama", name="q", **INT8), **changes)
