"""Where each judge runs, and in what: device, dtype, attention, CPU threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from prefstream.scoring.config import (
    CPU_MICRO_BATCH_TOKENS,
    CUDA_MICRO_BATCH_TOKENS,
    JudgeQuantization,
    ModelJudgeConfig,
)
from prefstream.scoring.errors import ConfigError, LoadError
from prefstream.scoring.judges import block_attention
from prefstream.scoring.judges.int8.gates import MODEL_TYPES as INT8_MODEL_TYPES
from prefstream.scoring.runtime import cpu_computes_bfloat16, cpu_computes_int8

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class Placement:
    """A judge's place.

    Attributes:
        device: with its index, if it is a CUDA card.
        dtype: of the weights, and to compute in.
        threads: intra-op threads on CPU; None on a card.
        micro_batch_tokens: padded tokens of one forward pass, at most; of `auto` on a card what may become fewer
            (`scoring.loading.memory.budgets`).
    """

    device: torch.device
    dtype: torch.dtype
    threads: int | None
    micro_batch_tokens: int


def place_judges(configs: Sequence[ModelJudgeConfig]) -> dict[str, Placement]:
    """Give every judge a device, or each of its replicas, and share the cores out among those on the CPU.

    Judges with `device: auto` take the CUDA cards in turn, those that no other judge names first.

    Args:
        configs: all judges with weights of one panel.

    Returns:
        By name, of each of `ModelJudgeConfig.replicas`.

    Raises:
        LoadError: a judge names a device that is not there, or a dtype or quantization that it can't compute in.
    """
    configs = [replica for config in configs for replica in config.replicas]
    devices = _assign(configs)
    for config in configs:
        if config.quantization == "int8-dynamic":
            _verify_int8(config, devices[config.name])
    on_cpu = [config.name for config in configs if devices[config.name].type == "cpu"]
    # What torch found, or the user set by OMP_NUM_THREADS; each judge needs at least one.
    cores = torch.get_num_threads()
    shares = {name: max(1, cores // len(on_cpu) + (place < cores % len(on_cpu))) for place, name in enumerate(on_cpu)}
    return {
        config.name: Placement(
            device=(device := devices[config.name]),
            dtype=_dtype(config, device),
            threads=shares.get(config.name),
            micro_batch_tokens=_tokens(config, device),
        )
        for config in configs
    }


def attention_for(config: ModelJudgeConfig, model_config: Any, placement: Placement) -> str:
    """The attention implementation, known to transformers: the fastest that the model and its place allow.

    Args:
        config: of the judge.
        model_config: transformers' own, of its base.
        placement: of the judge.

    Raises:
        ConfigError: the one that the judge names is not for this model.
    """
    chosen, _ = explain_attention(config, model_config, placement)
    if chosen == block_attention.NAME:
        if reads_both_ways(model_config):
            error = f"attention: {chosen} looks back alone, but this base reads both ways; use auto or sdpa"
            raise ConfigError(config.name, (error,))
        block_attention.register()
    return chosen


def quantization_for(config: ModelJudgeConfig, model_config: Any, placement: Placement) -> JudgeQuantization:
    """How a judge's base is quantised: what the panel names, and of `auto` 8 bits on a CPU that is fast at them.

    Args:
        config: of the judge.
        model_config: transformers' own, of its base.
        placement: of the judge.
    """
    if config.quantization != "auto":
        return config.quantization
    at_home = placement.device.type == "cpu" and cpu_computes_int8() and placement.dtype != torch.float16
    return "int8-dynamic" if at_home and model_config.model_type in INT8_MODEL_TYPES else "none"


def packs(config: ModelJudgeConfig, attention: str) -> bool:
    """Whether the sequences of a judge's passes are packed, without padding, if its model can be.

    Where it pays: flash-attn has kernels for it, others would compute what lies between sequences and drop it; and
    where nothing else looks at the rows of a pass, as 8 bits do.

    Args:
        config: of the judge.
        attention: implementation, as `attention_for` chose it.
    """
    return config.packing == "auto" and attention == "flash_attention_2" and config.rounding == "none"


def explain_attention(config: ModelJudgeConfig, model_config: Any, placement: Placement) -> tuple[str, str]:
    """The attention implementation that a judge gets, and why, in words.

    Args:
        config: as for `attention_for`; and `model_config`, `placement`.
        model_config: likewise.
        placement: likewise.
    """
    if config.attention != "auto":
        return config.attention, "the panel names it"
    in_blocks = model_config.model_type in block_attention.MODEL_TYPES and not reads_both_ways(model_config)
    on_card = placement.device.type == "cuda"
    quick_in_blocks = not on_card and placement.dtype == torch.bfloat16
    if model_config.model_type != "gemma2":
        if in_blocks and quick_in_blocks:
            return block_attention.NAME, "in bfloat16 on a CPU it is the fastest for a base that looks back alone"
        return "sdpa", "PyTorch's own kernels can all that this base asks"
    capped = "PyTorch's own kernels can't cap scores, as Gemma 2 does"
    lacking = _what_flash_attention_lacks(placement) if on_card else "flash-attn is for cards"
    if lacking is None:
        return "flash_attention_2", f"{capped}; flash-attn does, and has kernels for this card"
    # `eager` keeps all scores: three times the memory of a pass, and half of its traffic.
    return block_attention.NAME if in_blocks and (on_card or quick_in_blocks) else "eager", f"{capped}, and {lacking}"


def _what_flash_attention_lacks(placement: Placement) -> str | None:
    """Why flash-attn can't be used on a card, with scores that are capped; None where it can."""
    from transformers.utils import is_flash_attn_2_available, is_flash_attn_greater_or_equal

    if placement.dtype == torch.float32:
        return "flash-attn does not compute in float32"
    if not is_flash_attn_2_available():
        return "flash-attn is not installed"
    if not is_flash_attn_greater_or_equal("2.6.0"):
        return "flash-attn caps them from 2.6 on"
    old = torch.cuda.get_device_capability(placement.device)[0] < 8
    return "flash-attn has no kernels for a card before Ampere" if old else None


def reads_both_ways(model_config: Any) -> bool:
    """Whether a token sees what comes after it, too: then attention needs a mask for padding.

    Args:
        model_config: transformers' own.
    """
    is_causal = getattr(model_config, "is_causal", True)
    return bool(getattr(model_config, "use_bidirectional_attention", False)) or not is_causal


def _assign(configs: Sequence[ModelJudgeConfig]) -> dict[str, torch.device]:
    cards = torch.cuda.device_count()
    named = {config.name: _named_device(config, cards) for config in configs if config.device != "auto"}
    taken = {device.index for device in named.values() if device.type == "cuda"}
    free = [card for card in range(cards) if card not in taken] or list(range(cards))
    devices = dict(named)
    for place, config in enumerate(config for config in configs if config.device == "auto"):
        devices[config.name] = torch.device("cuda", free[place % len(free)]) if free else torch.device("cpu")
    return devices


def _named_device(config: ModelJudgeConfig, cards: int) -> torch.device:
    device = torch.device(str(config.device))  # a replica has one
    if device.type == "cpu":
        return device
    index = device.index or 0
    if index >= cards:
        found = {0: "no CUDA device was found", 1: "the only one is cuda:0"}.get(cards, f"there are {cards}")
        raise LoadError(
            f"judge {config.name}: device {config.device} is not there ({found}); name another, or use device: auto"
        )
    return torch.device("cuda", index)


def _tokens(config: ModelJudgeConfig, device: torch.device) -> int:
    if isinstance(config.micro_batch_tokens, int):
        return config.micro_batch_tokens
    return CUDA_MICRO_BATCH_TOKENS if device.type == "cuda" else CPU_MICRO_BATCH_TOKENS


def _verify_int8(config: ModelJudgeConfig, device: torch.device) -> None:
    """Refuse products in 8 bits where they are slow or wrong."""
    name = f"judge {config.name}: quantization int8-dynamic"
    if device.type != "cpu":
        raise LoadError(f"{name} is for a CPU, and its device is {device}; use 8bit there, or device: cpu")
    if not cpu_computes_int8():
        raise LoadError(f"{name} needs a processor with VNNI instructions, which this one does not have; use none")
    if config.dtype == "float16":
        raise LoadError(f"{name} goes with bfloat16 and float32, not with float16; use dtype: auto")


def _dtype(config: ModelJudgeConfig, device: torch.device) -> torch.dtype:
    """The dtype to use.

    On a card without bfloat16 auto is float16: float32 is several times slower there. Where a state does not fit into
    float16, as can happen on Gemma, the logits are no numbers, and the judge says so.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            computes_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        computes_bfloat16 = cpu_computes_bfloat16()
    if config.dtype == "auto":
        if computes_bfloat16:
            return torch.bfloat16
        return torch.float16 if device.type == "cuda" else torch.float32
    if config.dtype == "bfloat16" and device.type == "cuda" and not computes_bfloat16:
        raise LoadError(
            f"judge {config.name}: {torch.cuda.get_device_name(device)} does not compute in bfloat16; "
            "use dtype: auto, which is float16 there, or float32"
        )
    return _DTYPES[config.dtype]
