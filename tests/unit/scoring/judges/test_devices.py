"""Where judges run: cards, cores, dtypes, attention."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, Gemma3TextConfig, LlamaConfig

from prefstream import ConfigError, LoadError, ModelJudgeConfig
from prefstream.scoring.judges.devices import Placement, attention_for, packs, place_judges, quantization_for

READ_BOTH_WAYS = (Gemma3TextConfig(use_bidirectional_attention=True), LlamaConfig(is_causal=False))


def model_configs(*devices: str, **entry: Any) -> list[ModelJudgeConfig]:
    return [
        ModelJudgeConfig.model_validate(
            {"name": f"j{place}", "kind": "pairwise", "base": "/models/x", "device": device, **entry}
        )
        for place, device in enumerate(devices)
    ]


def places(*devices: str, **entry: Any) -> list[Placement]:
    return list(place_judges(model_configs(*devices, **entry)).values())


@pytest.mark.parametrize(
    ("settings", "attention", "packed"),
    [
        ({}, "flash_attention_2", True),
        ({"packing": "none"}, "flash_attention_2", False),
        ({"quantization": "8bit"}, "flash_attention_2", False),
        *(({}, other, False) for other in ("sdpa", "eager", "causal_blocks", "flex_attention")),
    ],
)
def test_only_flash_attention_packs_and_nothing_that_is_quantised(
    settings: dict[str, Any], attention: str, packed: bool
) -> None:
    [config] = model_configs("cuda:0", **settings)
    assert packs(config, attention) is packed


@pytest.mark.parametrize(
    ("family", "dtype", "has_vnni", "expected"),
    [
        ("llama", torch.bfloat16, True, "int8-dynamic"),
        ("gemma3_text", torch.float32, True, "int8-dynamic"),
        ("llama", torch.bfloat16, False, "none"),
        ("llama", torch.float16, True, "none"),
        ("mistral", torch.bfloat16, True, "none"),
    ],
)
def test_quantization_auto_is_8_bits_where_a_cpu_is_fast_at_them(
    monkeypatch: pytest.MonkeyPatch, family: str, dtype: torch.dtype, has_vnni: bool, expected: str
) -> None:
    monkeypatch.setattr("prefstream.scoring.judges.devices.cpu_computes_int8", lambda: has_vnni)
    [config] = model_configs("cpu", quantization="auto")
    place = Placement(torch.device("cpu"), dtype, threads=1, micro_batch_tokens=1024)
    assert quantization_for(config, AutoConfig.for_model(family), place) == expected


@pytest.mark.parametrize("named", ["none", "8bit", "4bit", "int8-dynamic"])
def test_a_quantization_that_is_named_is_taken(named: str) -> None:
    [config] = model_configs("cpu", quantization=named)
    place = Placement(torch.device("cpu"), torch.bfloat16, threads=1, micro_batch_tokens=1024)
    assert quantization_for(config, AutoConfig.for_model("llama"), place) == named


def test_quantization_auto_leaves_a_base_on_a_card_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefstream.scoring.judges.devices.cpu_computes_int8", lambda: True)
    [config] = model_configs("cuda:0", quantization="auto")
    assert quantization_for(config, AutoConfig.for_model("llama"), CARD) == "none"


def test_cores_are_shared_out_among_the_judges_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    assert [place.threads for place in places("cpu", "cpu")] == [3, 2]
    assert [place.threads for place in places("cpu")] == [5]
    assert [place.threads for place in places(*["cpu"] * 8)] == [1] * 8


def test_auto_takes_free_cards_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr("prefstream.scoring.judges.devices._dtype", lambda *_: torch.bfloat16)
    assert [str(place.device) for place in places("auto", "cuda:0", "auto", "auto")] == [
        "cuda:1",
        "cuda:0",
        "cuda:2",
        "cuda:1",
    ]


def test_auto_is_the_cpu_where_there_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert str(places("auto")[0].device) == "cpu"


@pytest.mark.parametrize(("has_bfloat16", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_dtype_auto_follows_the_processor(
    monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr("prefstream.scoring.judges.devices.cpu_computes_bfloat16", lambda: has_bfloat16)
    assert places("cpu")[0].dtype == expected


def test_the_budget_defaults_by_device_and_can_be_set() -> None:
    assert places("cpu")[0].micro_batch_tokens == 1024
    assert places("cpu", micro_batch_tokens=77)[0].micro_batch_tokens == 77
    assert places("cpu", micro_batch_tokens="auto")[0].micro_batch_tokens == 1024


@pytest.mark.parametrize(("tokens", "expected"), [(None, 16384), ("auto", 16384), (32768, 32768)])
def test_the_budget_on_a_card_is_a_number_before_it_is_known_what_fits(
    monkeypatch: pytest.MonkeyPatch, tokens: object, expected: int
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr("prefstream.scoring.judges.devices._dtype", lambda *_: torch.bfloat16)
    assert places("cuda:0", micro_batch_tokens=tokens)[0].micro_batch_tokens == expected


@pytest.mark.parametrize(("family", "expected"), [("gemma2", "eager"), ("gemma3_text", "sdpa"), ("llama", "sdpa")])
def test_attention_follows_the_family(family: str, expected: str) -> None:
    [place] = places("cpu", dtype="float32")
    assert attention_for(model_configs("cpu")[0], AutoConfig.for_model(family), place) == expected


@pytest.mark.parametrize(
    ("family", "expected"), [("gemma2", "causal_blocks"), ("llama", "causal_blocks"), ("qwen2", "sdpa")]
)
def test_in_bfloat16_on_cpu_known_families_get_the_attention_made_for_it(family: str, expected: str) -> None:
    [place] = places("cpu", dtype="bfloat16")
    assert attention_for(model_configs("cpu")[0], AutoConfig.for_model(family), place) == expected


@pytest.fixture
def turing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a card that does not compute in bfloat16, as far as dtypes are chosen by it."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device", lambda _device: nullcontext())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Tesla T4")


@pytest.mark.usefixtures("turing")
def test_a_card_without_bfloat16_computes_in_float16_unless_told_otherwise() -> None:
    assert [places("auto", dtype=dtype)[0].dtype for dtype in ("auto", "float32")] == [torch.float16, torch.float32]
    with pytest.raises(LoadError, match="Tesla T4 does not compute in bfloat16; use dtype: auto"):
        places("auto", dtype="bfloat16")


CARD = Placement(torch.device("cuda", 0), torch.bfloat16, None, 16384)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(
    ("family", "expected"), [("gemma2", "causal_blocks"), ("gemma3_text", "sdpa"), ("llama", "sdpa")]
)
def test_on_a_card_only_a_family_that_caps_scores_needs_another_than_pytorchs(
    family: str, expected: str, dtype: torch.dtype
) -> None:
    assert attention_for(model_configs("cpu")[0], AutoConfig.for_model(family), replace(CARD, dtype=dtype)) == expected


@pytest.mark.parametrize(
    ("capability", "dtype", "new_enough", "expected"),
    [
        ((9, 0), torch.bfloat16, True, "flash_attention_2"),
        ((8, 0), torch.float16, True, "flash_attention_2"),
        ((7, 5), torch.float16, True, "causal_blocks"),
        ((9, 0), torch.float32, True, "causal_blocks"),
        ((9, 0), torch.bfloat16, False, "causal_blocks"),
    ],
)
def test_flash_attn_is_taken_where_it_is_installed_caps_scores_and_knows_the_card(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype, new_enough: bool, expected: str
) -> None:
    monkeypatch.setattr("transformers.utils.is_flash_attn_2_available", lambda: True)
    monkeypatch.setattr("transformers.utils.is_flash_attn_greater_or_equal", lambda _version: new_enough)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    chosen = attention_for(model_configs("cpu")[0], AutoConfig.for_model("gemma2"), replace(CARD, dtype=dtype))
    assert chosen == expected


@pytest.mark.parametrize("base", READ_BOTH_WAYS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_base_that_reads_both_ways_gets_an_attention_that_looks_ahead(base: Any, dtype: str) -> None:
    [place] = places("cpu", dtype=dtype)
    assert attention_for(model_configs("cpu")[0], base, place) == "sdpa"


@pytest.mark.parametrize("base", READ_BOTH_WAYS)
def test_an_attention_that_looks_back_alone_is_refused_for_it(base: Any) -> None:
    [place] = places("cpu")
    with pytest.raises(ConfigError, match="attention: causal_blocks looks back alone, but this base reads both ways"):
        attention_for(model_configs("cpu", attention="causal_blocks")[0], base, place)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(LoadError, match=f"judge j0: device {device} is not there"):
        places(device)
