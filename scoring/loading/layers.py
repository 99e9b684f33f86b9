"""The first layers of a base, as a base of its own.

What a model makes of a text is read best from its middle: its last layers turn it into the next token (Skean et al.
2025, "Layer by Layer: Uncovering Hidden Representations in Language Models", ICML). A judge that reads there needs no
more of the base, and takes that much less time and memory.
"""

from __future__ import annotations

import copy
from typing import Any


def first_layers(config: Any, layers: int) -> Any:
    """A copy of a model's config, of its first layers alone; its last norm stays, after the last of these.

    Args:
        config: transformers' own.
        layers: how many, at most as many as the model has.
    """
    short = copy.deepcopy(config)
    short.num_hidden_layers = layers
    if getattr(short, "layer_types", None):  # which of them see neighbours alone, where some do
        short.layer_types = short.layer_types[:layers]
    return short
