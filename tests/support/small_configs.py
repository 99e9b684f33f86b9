"""Shapes of models so small that they are made anew for a test, with windows shorter than their sequences."""

from __future__ import annotations

from typing import Any, Final

PAD: Final = 0

SIZES: Final[dict[str, Any]] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": PAD,
    "num_labels": 2,
}

WINDOWS: Final[dict[str, Any]] = {
    "sliding_window": 12,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "query_pre_attn_scalar": 8,
}
"""As Gemma has them."""
