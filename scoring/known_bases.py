"""Bases that are too large to fetch for a question, by what their publishers say of their shapes.

What a panel or a recipe of them takes, in memory and in time, is counted from that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final


def gemma_2_9b(labels: int = 3) -> Any:
    """Transformers' config of Gemma 2 9B (Gemma Team 2024, arXiv 2408.00118, table 1).

    Args:
        labels: outputs of the head.
    """
    from transformers import Gemma2Config

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


def llama_3_8b(labels: int = 3) -> Any:
    """Transformers' config of Llama 3 8B (Llama Team 2024, arXiv 2407.21783, table 3).

    Args:
        labels: outputs of the head.
    """
    from transformers import LlamaConfig

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


KNOWN_BASES: Final[dict[str, Callable[[int], Any]]] = {
    "google/gemma-2-9b-it": gemma_2_9b,
    "meta-llama/Meta-Llama-3-8B-Instruct": llama_3_8b,
}
"""By hub id: those of the panels and recipes that ship."""


def known_config(source: str, labels: int) -> Any:
    """Transformers' config of a base; None for one that is not known.

    Args:
        source: hub id.
        labels: outputs of the head.
    """
    make = KNOWN_BASES.get(source)
    return make(labels) if make else None
