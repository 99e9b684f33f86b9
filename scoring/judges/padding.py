"""Padding on the right: how sequences of several lengths become tensors, in serving and in training.

A model that reads from left to right needs no mask for it: no token looks ahead, and its head finds the last token
that is none by id. Told of a mask all the same, `sdpa` leaves torch's flash kernels, copies keys once per query head,
and reads a matrix per sequence: on CPU a small Llama took 1.12 times as long. `eager` gains nothing, and loses nothing.
The answer is the same to the bit on CPU (tested for each family).

Where attention keeps sequences apart that lie one behind the other, nothing need be padded (`judges.packing.rows`).

Without a mask transformers looks whether sequences are packed, and waits for the device to tell: once or twice a pass,
before the first layer, about as often as it would look at a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from prefstream.scoring.judges.devices import reads_both_ways

_FLASH_CAPABILITY: Final = (8, 0)
"""Of the oldest cards that torch's flash kernels run on: Ampere."""


_PACKED_TYPES: Final = frozenset({"gemma2", "gemma3_text", "llama"})
_PACKED_ATTENTION: Final = frozenset({"flash_attention_2", "sdpa", "eager"})


def needs_mask(model: torch.nn.Module, *, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a model is given a mask that tells which tokens are padding.

    It has to be unless all of it says that it reads from left to right, and its head finds a sequence's end by id. And
    it had better be where torch has no flash kernel for it: without a mask transformers leaves it to torch that query
    heads share their keys, and of torch 2.13's other kernels on a card only the slowest can do that, the one that takes
    a matrix per head (transformers issue 48633).

    Args:
        model: a sequence classifier with its weights, wrapped by peft or not.
        device: where it computes.
        dtype: in what.
    """
    classifier: Any = getattr(model, "get_base_model", lambda: model)()
    if not hasattr(classifier, "config") or not _reads_from_left_to_right(classifier):
        return True
    if device.type != "cuda" or classifier.config._attn_implementation != "sdpa":  # noqa: SLF001 - nowhere else
        return False
    shares_keys = any(getattr(layer, "num_key_value_groups", 1) > 1 for layer in classifier.modules())
    has_flash = dtype != torch.float32 and torch.cuda.get_device_capability(device) >= _FLASH_CAPABILITY
    return shares_keys and not has_flash


def can_be_packed(model: torch.nn.Module) -> bool:
    """Whether the sequences of a pass may lie one behind the other in one row (`judges.packing.rows`).

    Only where that was seen to give what padded rows give: in bases that look back alone and are not wrapped, and by
    attention that keeps sequences apart. Others would mix them, and say nothing.

    Args:
        model: a sequence classifier with its weights.
    """
    config = getattr(model, "config", None)
    return (
        getattr(config, "model_type", None) in _PACKED_TYPES
        and getattr(config, "_attn_implementation", None) in _PACKED_ATTENTION
        and _reads_from_left_to_right(model)
    )


def _reads_from_left_to_right(classifier: Any) -> bool:
    from transformers.modeling_layers import GenericForSequenceClassification

    causal = [layer.is_causal for layer in classifier.modules() if hasattr(layer, "is_causal")]
    return (
        isinstance(classifier, GenericForSequenceClassification)
        and not reads_both_ways(classifier.config)
        and bool(causal)
        and all(causal)
    )


def pad(
    sequences: Sequence[Sequence[int] | NDArray[np.int32]], pad_id: int, *, multiple: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids, and the mask for a model that needs it; both of shape (sequences, tokens).

    Args:
        sequences: token ids, at least one sequence.
        pad_id: token that fills the right of shorter ones.
        multiple: of which the number of tokens is one: that of the longest, or a few more.
    """
    width = -(-max(map(len, sequences)) // multiple) * multiple
    ids = np.full((len(sequences), width), pad_id, dtype=np.int64)
    mask = np.zeros((len(sequences), width), dtype=np.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
