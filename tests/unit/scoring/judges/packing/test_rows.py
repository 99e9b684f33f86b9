"""Packed sequences are read as padded ones are, by every attention that keeps them apart, in training's pooling too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoModelForSequenceClassification,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    modeling_flash_attention_utils,
)

from prefstream.scoring.encoding.encode import Encoder
from prefstream.scoring.encoding.template import Pooling, template_for
from prefstream.scoring.judges import block_attention
from prefstream.scoring.judges.forward import Forward
from prefstream.scoring.judges.packing.rows import BOUNDS, WIDTH, pack, unpack
from prefstream.scoring.judges.padding import can_be_packed
from prefstream.scoring.judges.pooling import answer_tokens, pool
from tests.support.models import tiny_tokenizer
from tests.support.small_configs import PAD, SIZES, WINDOWS

TOKENIZER = tiny_tokenizer("llama")
ENCODER = Encoder(TOKENIZER, template_for("llama", "pointwise", TOKENIZER), max_length=96)

OF_THE_TOKENIZER = {**SIZES, "vocab_size": len(TOKENIZER)}
CONFIGS = {
    "gemma2": Gemma2Config(**OF_THE_TOKENIZER, **WINDOWS),
    "gemma3": Gemma3TextConfig(**OF_THE_TOKENIZER, **WINDOWS),
    "llama": LlamaConfig(**OF_THE_TOKENIZER),
}
LENGTHS = (1, 3, 17, 1, 40, 90)
"""Shorter and longer than a window; a single token twice."""


def classifier(config: Any, attention: str, pooling: Pooling = "last") -> Any:
    """With random weights that are the same each time."""
    block_attention.register()
    built = "eager" if attention == "flash_attention_2" else attention
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model: Any = AutoModelForSequenceClassification.from_config(config, attn_implementation=built).eval()
        torch.nn.init.normal_(model.score.weight)
    model.config._attn_implementation = attention  # past the question whether flash-attn is installed
    pool(model, pooling, ENCODER)
    return model


def sequences() -> list[tuple[int, ...]]:
    """Of random tokens, some of them with an answer that its marks enclose."""
    generator = torch.Generator().manual_seed(0)
    drawn = [tuple(torch.randint(6, 50, (length,), generator=generator).tolist()) for length in LENGTHS]
    marks = ENCODER.answer_marks
    return [(*one[:5], *marks.begins, *one[5:-4], marks.ends, *one[-3:]) if len(one) > 20 else one for one in drawn]


def forward_of(model: Any, *, packed: bool, budget_tokens: int = 400) -> Forward:
    return Forward(
        model,
        judge="j",
        device=torch.device("cpu"),
        dtype=torch.float32,
        pad_id=PAD,
        outputs=2,
        budget_tokens=budget_tokens,
        packed=packed,
    )


def answers(model: Any, *, packed: bool, budget_tokens: int = 400) -> np.ndarray[Any, Any]:
    return forward_of(model, packed=packed, budget_tokens=budget_tokens).logits(sequences()).values


@pytest.mark.parametrize("pooling", ["last", "mean", "answer"])
@pytest.mark.parametrize(
    ("family", "attention"),
    [("gemma2", "eager"), ("gemma3", "eager"), ("gemma3", "sdpa"), ("llama", "eager"), ("llama", "sdpa")],
)
def test_packed_sequences_are_answered_as_padded_ones(family: str, attention: str, pooling: Pooling) -> None:
    model = classifier(CONFIGS[family], attention, pooling)
    marked = [answer_tokens(torch.tensor([one]), ENCODER.answer_marks).sum().item() for one in sequences()]
    assert marked == [0, 0, 0, 0, 31, 81]
    padded = answers(model, packed=False)
    assert len(np.unique(padded.round(4), axis=0)) == len(padded)  # or a mixture could hide
    np.testing.assert_allclose(answers(model, packed=True), padded, atol=1e-5)
    np.testing.assert_allclose(answers(model, packed=True, budget_tokens=60), padded, atol=1e-5)


class Kernels:
    """What flash-attn's two functions compute, written out; the rest is transformers' own code for them."""

    def __init__(self) -> None:
        self.bounds: list[list[int]] = []

    def varlen(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        cu_seqlens_q: torch.Tensor,
        cu_seqlens_k: torch.Tensor,
        max_seqlen_q: int,
        max_seqlen_k: int,
        dropout_p: float = 0.0,
        softmax_scale: float | None = None,
        causal: bool = False,
        window_size: tuple[int, int] = (-1, -1),
        softcap: float = 0.0,
        deterministic: bool = False,
    ) -> torch.Tensor:
        """Of shape (tokens, heads, size)."""
        assert cu_seqlens_q.dtype == cu_seqlens_k.dtype == torch.int32
        assert cu_seqlens_q.tolist() == cu_seqlens_k.tolist()
        assert type(max_seqlen_q) is type(max_seqlen_k) is int
        assert max_seqlen_q == max_seqlen_k == cu_seqlens_q.diff().max()
        assert (dropout_p, causal, deterministic) == (0.0, True, False)
        self.bounds.append(cu_seqlens_q.tolist())
        lengths = cu_seqlens_q.diff().tolist()
        rows = zip(torch.split(q, lengths), torch.split(k, lengths), torch.split(v, lengths), strict=True)
        return torch.cat([_attend(*row, softmax_scale, window_size[0], softcap) for row in rows])

    def dense(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **_: Any) -> torch.Tensor:
        raise AssertionError("packed sequences must not be read as one")


def _attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float | None, before: int, softcap: float
) -> torch.Tensor:
    shared = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(shared, dim=1), v.repeat_interleave(shared, dim=1)
    scores = torch.einsum("qhd,khd->hqk", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if softcap:
        scores = torch.tanh(scores / softcap) * softcap
    seen = torch.ones(len(q), len(k), dtype=torch.bool).tril()
    if before >= 0:
        seen &= torch.ones(len(q), len(k), dtype=torch.bool).triu(-before)
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, float("-inf")).softmax(dim=-1), v)


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Kernels:
    found, module = Kernels(), modeling_flash_attention_utils
    monkeypatch.setattr(module, "_loaded_implementation", "flash_attention_2")
    monkeypatch.setattr(module, "_flash_fn", found.dense)
    monkeypatch.setattr(module, "_flash_varlen_fn", found.varlen)
    for name in ("_flash_with_kvcache_fn", "_pad_fn", "_unpad_fn", "_process_with_kvcache_kwargs_fn"):
        monkeypatch.setattr(module, name, None)
    monkeypatch.setattr(module, "_process_flash_kwargs_fn", module._lazy_define_process_function(found.varlen))
    return found


@pytest.mark.parametrize("family", CONFIGS)
def test_flash_attention_gets_the_bounds_of_what_is_packed(family: str, kernels: Kernels) -> None:
    """All of transformers' way to it is real; of the kernel only what it computes."""
    expected = answers(classifier(CONFIGS[family], "eager"), packed=False)
    found = answers(classifier(CONFIGS[family], "flash_attention_2"), packed=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    [bounds] = {tuple(bounds) for bounds in kernels.bounds}
    assert np.diff(bounds).tolist() == sorted(map(len, sequences()), reverse=True)
    assert len(kernels.bounds) == SIZES["num_hidden_layers"]


@pytest.mark.parametrize(
    ("config", "attention"),
    [
        (CONFIGS["llama"], block_attention.NAME),
        (Gemma3TextConfig(**SIZES, **WINDOWS, use_bidirectional_attention=True), "sdpa"),
        (LlamaConfig(**SIZES, is_causal=False), "sdpa"),
    ],
)
def test_what_would_mix_sequences_is_not_packed(config: Any, attention: str) -> None:
    model = classifier(config, attention)
    assert not can_be_packed(model)
    with pytest.raises(ValueError, match="can't be packed"):
        forward_of(model, packed=True)


def test_packed_passes_count_real_tokens() -> None:
    model = classifier(CONFIGS["llama"], "sdpa")
    lengths = [90, 40, 17]
    assert forward_of(model, packed=True).padded_tokens(lengths) == 147
    assert forward_of(model, packed=False).padded_tokens(lengths) > 147


def test_out_of_memory_halves_packed_passes_and_goes_on() -> None:
    """What failed is split at its own half: 177 tokens, the longest of them alone."""
    model = classifier(CONFIGS["llama"], "sdpa")
    expected = answers(model, packed=True)

    def refuse(_: torch.nn.Module, __: Any, inputs: dict[str, Any]) -> None:
        if inputs["input_ids"].numel() > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")

    model.base_model.register_forward_pre_hook(refuse, with_kwargs=True)
    forward = forward_of(model, packed=True)
    logits = forward.logits(sequences())
    assert not logits.too_large
    assert forward.budget_tokens == 200
    np.testing.assert_allclose(logits.values, expected, atol=1e-5)


@given(st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=9), min_size=1, max_size=6))
def test_what_was_packed_can_be_unpacked(tokens: list[list[int]]) -> None:
    packed: dict[str, Any] = pack(tokens)
    ids = packed["input_ids"]
    states = torch.stack([ids[0], packed["position_ids"][0]], dim=-1)[None].float()
    rows, unpacked = unpack(states, ids, packed[BOUNDS], packed[WIDTH], PAD)
    for row, found, sequence in zip(rows, unpacked, tokens, strict=True):
        assert found[: len(sequence)].tolist() == sequence
        assert set(found[len(sequence) :].tolist()) <= {PAD}
        assert row[: len(sequence), 0].tolist() == sequence
        assert row[: len(sequence), 1].tolist() == list(range(len(sequence)))
