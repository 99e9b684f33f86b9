"""How much memory a judge takes, by arithmetic on tensors that have shapes and no contents.

The very code that will run is run on them, so that what an attention implementation keeps is counted and not guessed.
What bitsandbytes adds is not seen that way; it is put on top, by what its kernels are known to allocate.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch

from prefstream.scoring.config import Quantization
from prefstream.scoring.judges import block_attention
from prefstream.scoring.judges.memory.live_bytes import LiveBytes
from prefstream.scoring.loading.base_model import skeleton
from prefstream.scoring.loading.layers import first_layers

_LAYERS: Final = 2
"""Of those that are run: all are alike, but for the windows of neighbours, and one's memory is free for the next."""

_BLOCKWISE: Final = frozenset({"flash_attention_2", "flex_attention"})
"""Kernels that are not there to be run, and keep no scores: counted as our own blockwise attention is."""

_INT8_SCALE: Final = 4
"""Bytes of each row's scale in 8 bits."""

_NF4_BYTES: Final = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Of a weight in 4 bits: blocks of 64 share a scale of one byte, and 256 of these one of four (double quantisation)."""

LORA_BYTES: Final = 4
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
    sequences = max(1, micro_batch_tokens // max_length)
    return JudgeMemory(
        weights=weight_bytes(config, dtype, quantization) + adapter_weights * LORA_BYTES,
        one_pass=_pass_bytes(config, attention, dtype, sequences, max_length)
        + unpacking_bytes(config, quantization, sequences * max_length),
    )


def weight_bytes(config: Any, dtype: torch.dtype, quantization: Quantization) -> int:
    """What a base and its head take.

    Args:
        config: transformers' own.
        dtype: of what is not quantised.
        quantization: of the linear layers.
    """
    linear = linear_layers(config)
    quantised = sum(layer.weight.numel() for layer in linear) if quantization != "none" else 0
    rows = sum(layer.out_features for layer in linear)
    others = sum(parameter.numel() for parameter in skeleton(config).parameters()) - quantised
    packed = {"none": 0.0, "8bit": quantised + rows * _INT8_SCALE, "4bit": quantised * _NF4_BYTES}[quantization]
    return int(packed + others * dtype.itemsize)


def linear_layers(config: Any) -> list[torch.nn.Linear]:
    """Those that are quantised and adapted, without contents: all but the head.

    Args:
        config: transformers' own.
    """
    layers = skeleton(config).named_modules()
    return [layer for name, layer in layers if isinstance(layer, torch.nn.Linear) and name != "score"]


def classifier_without_contents(config: Any, attention: str, dtype: torch.dtype) -> Any:
    """A model that has shapes alone: to be made, wrapped and asked, not yet to be run.

    Args:
        config: transformers' own.
        attention: implementation, as `attention_for` chose it.
        dtype: of its weights.
    """
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(config)
    config.pad_token_id = 0  # what the tokenizer says is set where the judge is loaded; without any, none is batched
    if attention in _BLOCKWISE or attention == block_attention.NAME:
        attention = block_attention.NAME
        block_attention.register()
    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(config, attn_implementation=attention, dtype=dtype)


def most_alive(model: Any, run: Callable[[], object], dtype: torch.dtype) -> int:
    """The most bytes that are alive at a time while a model without contents is run, its own left out.

    Args:
        model: what `classifier_without_contents` returned, wrapped or not; of no other use afterwards.
        run: makes the tensors that the model is given, and gives them to it.
        dtype: to compute in; below float32 by autocast.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    # Numbers of the CPU, so that its operators are run, and yet without contents: how PyTorch itself plans memory.
    with FakeTensorMode(), torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        _take_form(model)
        alive = LiveBytes()
        with alive:
            run()
    return alive.peak


def _take_form(model: torch.nn.Module) -> None:
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            formed = torch.nn.Parameter(torch.empty(weight.shape, dtype=weight.dtype), weight.requires_grad)
            if weight.requires_grad:  # of earlier passes; it is the model's, too
                formed.grad = torch.zeros_like(formed)
            setattr(module, name, formed)
        for name, constant in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(constant.shape, dtype=constant.dtype))


def _pass_bytes(config: Any, attention: str, dtype: torch.dtype, sequences: int, width: int) -> int:
    """The most that is alive at a time during a pass, weights left out."""
    short = first_layers(config, min(_LAYERS, config.num_hidden_layers))
    model = classifier_without_contents(short, attention, dtype).eval()

    def read() -> None:
        with torch.inference_mode():
            model(input_ids=torch.ones(sequences, width, dtype=torch.long), use_cache=False)

    return most_alive(model, read, dtype)


def unpacking_bytes(config: Any, quantization: Quantization, tokens: int) -> int:
    """What the widest quantised product needs beside its input and output.

    Args:
        config: transformers' own.
        quantization: of the linear layers.
        tokens: of a pass.
    """
    linear = linear_layers(config)
    if quantization == "8bit":  # the input in 8 bits, sums in 32
        return max(tokens * (layer.in_features + 4 * layer.out_features) for layer in linear)
    if quantization == "4bit":  # the weights, unpacked to 16 bits
        return max(2 * layer.weight.numel() for layer in linear)
    return 0
