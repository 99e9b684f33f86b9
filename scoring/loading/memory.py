"""How much memory a judge takes, by arithmetic on tensors that have shapes and no contents.

The very code that will run is run on them, so that what an attention implementation keeps is counted and not guessed.
What bitsandbytes adds is not seen that way; it is put on top, by what its kernels are known to allocate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch

from prefstream.scoring.config import Quantization
from prefstream.scoring.judges import block_attention
from prefstream.scoring.loading.layers import first_layers

_LAYERS: Final = 2
"""Of those that are run: all are alike, but for the windows of neighbours, and one's memory is free for the next."""

_BLOCKWISE: Final = frozenset({"flash_attention_2", "flex_attention"})
"""Kernels that are not there to be run, and keep no scores: counted as our own blockwise attention is."""

_INT8_SCALE: Final = 4
"""Bytes of each row's scale in 8 bits."""

_NF4_BYTES: Final = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Of a weight in 4 bits: blocks of 64 share a scale of one byte, and 256 of these one of four (double quantisation)."""

_LORA_BYTES: Final = 4
"""Of an adapter's weight, which stays float32 beside a quantised base."""


@dataclass(frozen=True, slots=True)
class JudgeMemory:
    """What a judge takes on its device, bytes.

    Attributes:
        weights: base, head, and an adapter that is not merged.
        one_pass: beside them while the largest micro-batch is read.
    """

    weights: int
    one_pass: int

    @property
    def total(self) -> int:
        """Both."""
        return self.weights + self.one_pass


def judge_memory(
    config: Any,
    *,
    attention: str,
    dtype: torch.dtype,
    quantization: Quantization,
    micro_batch_tokens: int,
    max_length: int,
    adapter_weights: int = 0,
) -> JudgeMemory:
    """Count what a judge takes.

    Args:
        config: transformers' own, of its base, with the judge's number of labels.
        attention: implementation, as `attention_for` chose it.
        dtype: of what is not quantised, and to compute in.
        quantization: of the linear layers.
        micro_batch_tokens: padded tokens of a pass, at most.
        max_length: tokens of a sequence, at most; the longest cost most, where scores are kept.
        adapter_weights: of an adapter that stays beside the base.
    """
    with torch.device("meta"):
        whole = _classifier(config, "eager", dtype)
    linear = [layer for name, layer in whole.named_modules() if isinstance(layer, torch.nn.Linear) and name != "score"]
    quantised = sum(layer.weight.numel() for layer in linear) if quantization != "none" else 0
    rows = sum(layer.out_features for layer in linear)
    others = sum(parameter.numel() for parameter in whole.parameters()) - quantised
    packed = {"none": 0.0, "8bit": quantised + rows * _INT8_SCALE, "4bit": quantised * _NF4_BYTES}[quantization]
    sequences = max(1, micro_batch_tokens // max_length)
    return JudgeMemory(
        weights=int(packed + others * dtype.itemsize + adapter_weights * _LORA_BYTES),
        one_pass=_pass_bytes(config, attention, dtype, sequences, max_length)
        + _unpacking_bytes(linear, quantization, sequences * max_length),
    )


def _classifier(config: Any, attention: str, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_config(config, attn_implementation=attention, dtype=dtype).eval()


def _pass_bytes(config: Any, attention: str, dtype: torch.dtype, sequences: int, width: int) -> int:
    """The most that is alive at a time during a pass, weights left out."""
    # Both are how PyTorch itself plans memory before a training; it has no public way.
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    short = first_layers(config, min(_LAYERS, config.num_hidden_layers))
    short.pad_token_id = 0  # what the tokenizer says is set where the judge is loaded; without any, none is batched
    if attention in _BLOCKWISE or attention == block_attention.NAME:
        attention = block_attention.NAME
        block_attention.register()
    tracker = MemTracker()
    with FakeTensorMode(), torch.inference_mode(), torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        model = _classifier(short, attention, dtype)
        tracker.track_external(model)
        ids = torch.ones(sequences, width, dtype=torch.long)
        with tracker:
            model(input_ids=ids, use_cache=False)
    peak = int(tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"])
    weights: int = sum(parameter.numel() for parameter in model.parameters()) * dtype.itemsize
    return peak - weights


def _unpacking_bytes(linear: list[torch.nn.Linear], quantization: Quantization, tokens: int) -> int:
    """What the widest quantised product needs beside its input and output."""
    if quantization == "8bit":  # the input in 8 bits, sums in 32
        return max(tokens * (layer.in_features + 4 * layer.out_features) for layer in linear)
    if quantization == "4bit":  # the weights, unpacked to 16 bits
        return max(2 * layer.weight.numel() for layer in linear)
    return 0
