"""How the linear layers of a base are quantised, by bitsandbytes; the head never is."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final, Self

import torch

from prefstream.scoring.config import INT8_THRESHOLD, ModelJudgeConfig, Quantization, QuantType


@dataclass(frozen=True, slots=True)
class Rounding:
    """What becomes of a linear layer's weights.

    Attributes:
        quantization: to how many bits.
        int8_threshold: in 8 bits, columns of an input that reach it in any row are computed in 16 bits; 0 for none.
        quant_type: levels of a weight in 4 bits.
        storage: dtype in which 4-bit weights are stored; FSDP can only shard what has the dtype of the rest.
    """

    quantization: Quantization = "none"
    int8_threshold: float = INT8_THRESHOLD
    quant_type: QuantType = "nf4"
    storage: torch.dtype | None = None

    @classmethod
    def of(cls, config: ModelJudgeConfig, *, storage: torch.dtype | None = None) -> Self:
        """What a judge's settings say.

        Args:
            config: of the judge.
            storage: as above.
        """
        threshold = INT8_THRESHOLD if config.int8_threshold is None else config.int8_threshold
        return cls(config.rounding, threshold, config.quant_type or "nf4", storage)

    def for_transformers(self, dtype: torch.dtype, head_names: AbstractSet[str]) -> Any:
        """Settings as transformers takes them; None where nothing is quantised.

        Args:
            dtype: to compute in, in 4 bits.
            head_names: parameters of the head.
        """
        if self.quantization == "none":
            return None
        from transformers import BitsAndBytesConfig

        heads = sorted({name.rpartition(".")[0] for name in head_names})
        if self.quantization == "8bit":
            return BitsAndBytesConfig(
                load_in_8bit=True, llm_int8_threshold=self.int8_threshold, llm_int8_skip_modules=heads
            )
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=self.quant_type,
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_quant_storage=self.storage,
            llm_int8_skip_modules=heads,
        )


NONE: Final = Rounding()
"""Weights stay in the dtype of the rest."""
