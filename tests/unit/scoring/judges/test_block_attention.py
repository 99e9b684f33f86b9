"""Attention by blocks of queries computes what PyTorch's attention does, in every model it is offered for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, Gemma2Config, Gemma3TextConfig, LlamaConfig

from prefstream.scoring.judges import block_attention

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
    "num_labels": 2,
}
LAYERS = ["sliding_attention", "full_attention"]
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "gemma2": Gemma2Config(
        **SIZES, sliding_window=7, layer_types=LAYERS, attn_logit_softcapping=2.0, query_pre_attn_scalar=8
    ),
    "gemma3_text": Gemma3TextConfig(**SIZES, sliding_window=7, layer_types=LAYERS, query_pre_attn_scalar=8),
}


class _Layer(torch.nn.Module):
    """All that is asked of an attention layer."""

    def __init__(self, *, is_causal: bool = True) -> None:
        super().__init__()
        self.is_causal = is_causal


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.integers(1, 300),
    groups=st.sampled_from([1, 3]),
    shared=st.sampled_from([1, 3]),
    window=st.none() | st.integers(1, 320),
    seed=st.integers(0, 2**16),
)
def test_it_equals_attention_with_a_mask(tokens: int, groups: int, shared: int, window: int | None, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(2, groups * shared, tokens, 8, generator=generator)
    key, value = torch.randn(2, 2, groups, tokens, 8, generator=generator)
    ours, weights = block_attention.attend(_Layer(), query, key, value, None, scaling=0.25, sliding_window=window)
    row, column = torch.arange(tokens)[:, None], torch.arange(tokens)[None]
    seen = (column <= row) & (column > row - (window or tokens))
    theirs = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=seen, scale=0.25, enable_gqa=True
    )
    assert weights is None
    torch.testing.assert_close(ours, theirs.transpose(1, 2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model_type", sorted(block_attention.MODEL_TYPES))
def test_a_right_padded_batch_gives_the_logits_of_eager_attention(model_type: str) -> None:
    """200 tokens make two blocks; padding, a sliding window and soft-capping are in play."""
    block_attention.register()
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(CONFIGS[model_type]).eval()
    ids = torch.randint(1, 50, (3, 200))
    mask = torch.ones_like(ids)
    for row, length in enumerate((200, 131, 1)):
        mask[row, length:] = 0
    ids[mask == 0] = 0
    logits = {}
    with torch.inference_mode():
        for attention in ("eager", block_attention.NAME):
            model.set_attn_implementation(attention)
            logits[attention] = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    assert logits["eager"].std() > 1e-3
    torch.testing.assert_close(logits[block_attention.NAME], logits["eager"], rtol=1e-4, atol=1e-5)


def test_it_can_be_trained_through() -> None:
    tensors = torch.randn(3, 1, 2, 140, 8, generator=torch.Generator().manual_seed(0))
    ours, theirs = (tensors.clone().requires_grad_() for _ in range(2))
    mine = block_attention.attend(_Layer(), ours[0], ours[1], ours[2], None, scaling=0.5)[0].transpose(1, 2)
    other = torch.nn.functional.scaled_dot_product_attention(theirs[0], theirs[1], theirs[2], is_causal=True, scale=0.5)
    for output in (mine, other):
        output.square().sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)


def test_bfloat16_stays_close_to_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, 4, 300, 64, generator=generator)
    key, value = torch.randn(2, 1, 2, 300, 64, generator=generator)
    exact, _ = block_attention.attend(_Layer(), query, key, value, None, scaling=0.125)
    rounded, _ = block_attention.attend(
        _Layer(), query.bfloat16(), key.bfloat16(), value.bfloat16(), None, scaling=0.125
    )
    torch.testing.assert_close(rounded.float(), exact, rtol=0.02, atol=0.02)


def test_a_mask_is_refused_rather_than_ignored() -> None:
    tensor = torch.zeros(1, 1, 4, 8)
    with pytest.raises(ValueError, match="right-padded"):
        block_attention.attend(_Layer(), tensor, tensor, tensor, torch.ones(1, 1, 4, 4), scaling=1.0)


def test_a_layer_that_looks_ahead_is_refused() -> None:
    tensor = torch.zeros(1, 1, 4, 8)
    with pytest.raises(ValueError, match="causal"):
        block_attention.attend(_Layer(is_causal=False), tensor, tensor, tensor, None, scaling=1.0)
