"""Sequences of several lengths as one row: nothing is padded, and positions start anew with each sequence.

transformers finds from them, and from the bounds beside them, which tokens belong together: for flash-attn's kernels of
variable length, and for `sdpa` and `eager` by a mask of blocks. It does so only without a mask for padding and without
a cache; told of either, it lets sequences read each other, and says nothing (transformers pull request 46634).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

import numpy as np
import torch

BOUNDS: Final = "cu_seq_lens_q"
"""Where sequences begin and end in the row, as transformers names it."""

WIDTH: Final = "max_length_q"
"""Tokens of the longest, likewise."""


def pack(sequences: Sequence[Sequence[int]]) -> dict[str, torch.Tensor | int]:
    """What a model is given in place of padded rows and a mask.

    Args:
        sequences: token ids, at least one sequence.

    Returns:
        Ids and positions of shape (1, tokens), bounds of shape (sequences + 1,) for queries and for keys, and the
        longest sequence's tokens for both, by the names that transformers has for them.
    """
    lengths = [len(sequence) for sequence in sequences]
    bounds = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
    ids = np.concatenate([np.asarray(sequence, dtype=np.int64) for sequence in sequences])
    positions = np.concatenate([np.arange(length) for length in lengths])
    return {
        "input_ids": torch.from_numpy(ids)[None],
        "position_ids": torch.from_numpy(positions)[None],
        BOUNDS: bounds,
        "cu_seq_lens_k": bounds,
        WIDTH: max(lengths),
        "max_length_k": max(lengths),
    }


def read_packed(classifier: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """A classifier's logits of packed sequences; by itself it would read one token of the whole row.

    Args:
        classifier: one of transformers' generic ones, not wrapped.
        inputs: what `pack` returned, on its device.

    Returns:
        Shape (sequences, outputs): of the last token of each.
    """
    states = classifier.base_model(**inputs, use_cache=False).last_hidden_state
    return classifier.score(states[0, inputs[BOUNDS][1:].long() - 1])  # type: ignore[no-any-return]


def unpack(
    states: torch.Tensor, ids: torch.Tensor, bounds: torch.Tensor, width: int, pad_id: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """States and ids of packed sequences, a row each, as if they had been padded on the right.

    Args:
        states: of the tokens, shape (1, tokens, size).
        ids: shape (1, tokens).
        bounds: shape (sequences + 1,).
        width: tokens of the longest sequence.
        pad_id: what fills the ids of shorter ones; their states there are of no meaning.

    Returns:
        Shapes (sequences, width, size) and (sequences, width).
    """
    starts, ends = bounds[:-1, None].long(), bounds[1:, None].long()
    places = starts + torch.arange(width, device=bounds.device)
    real = places < ends
    places = torch.where(real, places, starts)
    return states[0, places], torch.where(real, ids[0, places], pad_id)
