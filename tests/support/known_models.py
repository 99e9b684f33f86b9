"""Models that are too large to be here, by what their publishers say of their shapes."""

from __future__ import annotations

from typing import Final

from transformers import Gemma2Config, LlamaConfig

LORA_RANK: Final = 64
"""Of the recipes for them."""


def gemma_2_9b(labels: int = 3) -> Gemma2Config:
    """Gemma 2 9B (Gemma Team 2024, arXiv 2408.00118, table 1)."""
    return Gemma2Config(
        hidden_size=3584,
        num_hidden_layers=42,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=256,
        intermediate_size=14336,
        vocab_size=256_000,
        max_position_embeddings=8192,
        sliding_window=4096,
        num_labels=labels,
    )


def llama_3_8b(labels: int = 3) -> LlamaConfig:
    """Llama 3 8B (Llama Team 2024, arXiv 2407.21783, table 3)."""
    return LlamaConfig(
        hidden_size=4096,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        intermediate_size=14336,
        vocab_size=128_256,
        max_position_embeddings=8192,
        num_labels=labels,
    )
