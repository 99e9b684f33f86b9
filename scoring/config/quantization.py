"""How a judge's linear layers are rounded, as panel files and recipes say it."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo

Quantization: TypeAlias = Literal["none", "8bit", "4bit"]
"""By bitsandbytes; the head is never quantised."""

JudgeQuantization: TypeAlias = Literal["none", "8bit", "4bit", "int8-dynamic", "auto"]
"""Of a judge that serves: bitsandbytes' ways, on which it may have been trained, one for CPUs
(`scoring.judges.int8.gates`), and the latter where it can be (`scoring.judges.devices.quantization_for`)."""

INT8_THRESHOLD: Final = 6.0
"""bitsandbytes' own, from the paper on it (Dettmers et al. 2022, "LLM.int8()")."""


def _belongs_to(value: object, info: ValidationInfo, quantization: Quantization) -> None:
    """Refuse a setting that stands beside another quantization than its own."""
    given = info.data.get("quantization", quantization)
    if value is not None and given != quantization:
        raise ValueError(f"is for quantization: {quantization}, and this is {given}; leave it out")


def _of_8_bits(value: float | None, info: ValidationInfo) -> float | None:
    _belongs_to(value, info, "8bit")
    return value


def _of_4_bits(value: str | None, info: ValidationInfo) -> str | None:
    _belongs_to(value, info, "4bit")
    return value


Int8Threshold: TypeAlias = Annotated[
    float | None,
    Field(
        ge=0.0,
        description="With 8bit: an input's columns that reach it in any row of a pass are computed in 16 bits; 0 for "
        f"none, and then an answer does not depend on its neighbours in the pass. Default: {INT8_THRESHOLD:g}.",
    ),
    AfterValidator(_of_8_bits),
]
"""Stands behind `quantization`, which its validation looks at; so does the next one."""

QuantType: TypeAlias = Literal["nf4", "fp4"]
"""The 16 levels of a weight in 4 bits: of a normal distribution, or of a number with an exponent."""

QuantTypeSetting: TypeAlias = Annotated[
    QuantType | None, Field(description="With 4bit: its levels. Default: nf4."), AfterValidator(_of_4_bits)
]
