"""What makers say of their cards: how much one multiplies and moves in a second at most.

NVIDIA's data sheets, products of dense matrices with sums in 32 bits; where a sheet gives a figure with sparsity alone,
half of it.

* T4: "NVIDIA T4 Tensor Core GPU" (2019), 65 TFLOP/s in fp16, 130 TOP/s in int8, no bfloat16; 320 GB/s by
  its product page.
* L4: "NVIDIA L4 Tensor Core GPU" (2023), 242 and 485 with sparsity, 300 GB/s.
* A10G: NVIDIA's sheet for AWS's G5 (2022), 70 and 140, 600 GB/s. Not to be confused with the A10's 125 and 250.
* A100: "NVIDIA A100 Tensor Core GPU" (2021), SXM, 312 and 624; 1,555 GB/s with 40 GB, 2,039 GB/s with 80.
* H100: "NVIDIA H100 Tensor Core GPU" (2023), SXM, 1,979 and 3,958 with sparsity, 3.35 TB/s.
* H200: "NVIDIA H200 Tensor Core GPU" (2023), SXM, as H100, with 4.8 TB/s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from prefstream.scoring.errors import ConfigError

TERA: Final = 1e12
GIGA: Final = 1e9


@dataclass(frozen=True, slots=True)
class GraphicsCard:
    """A graphics card, at its best.

    Attributes:
        name: as in NVIDIA's names of devices.
        memory: bytes, as sold.
        flops_per_s: of products of 16-bit numbers, additions and multiplications each counted.
        int8_per_s: the same of 8-bit integers.
        bytes_per_s: from and to its memory.
        has_bfloat16: else float16 alone.
    """

    name: str
    memory: float
    flops_per_s: float
    int8_per_s: float
    bytes_per_s: float
    has_bfloat16: bool = True


CARDS: Final = (
    GraphicsCard("T4", 16 * GIGA, 65 * TERA, 130 * TERA, 320 * GIGA, has_bfloat16=False),
    GraphicsCard("L4", 24 * GIGA, 121 * TERA, 242 * TERA, 300 * GIGA),
    GraphicsCard("A10G", 24 * GIGA, 70 * TERA, 140 * TERA, 600 * GIGA),
    GraphicsCard("A100-40GB", 40 * GIGA, 312 * TERA, 624 * TERA, 1555 * GIGA),
    GraphicsCard("A100-80GB", 80 * GIGA, 312 * TERA, 624 * TERA, 2039 * GIGA),
    GraphicsCard("H100", 80 * GIGA, 989 * TERA, 1979 * TERA, 3350 * GIGA),
    GraphicsCard("H200", 141 * GIGA, 989 * TERA, 1979 * TERA, 4800 * GIGA),
)
"""From the smallest to the largest."""

NAMES: Final = ", ".join(card.name for card in CARDS)


def find_cards(names: Sequence[str]) -> tuple[GraphicsCard, ...]:
    """Cards by name, in the order of `CARDS`; all where none is named.

    Args:
        names: capitals don't matter.

    Raises:
        ConfigError: there is no such card.
    """
    asked = {name.casefold() for name in names}
    unknown = sorted(asked - {card.name.casefold() for card in CARDS})
    if unknown:
        raise ConfigError("bench roofline", (f"card: {unknown[0]} is unknown; there are {NAMES}",))
    return tuple(card for card in CARDS if not asked or card.name.casefold() in asked)


def card_named(device_name: str, memory: float) -> GraphicsCard | None:
    """The card that a driver means; None where no sheet is known for it.

    Of a name that is sold in several forms (H100 SXM, PCIe, NVL), that of the sheet is taken: the fastest.

    Args:
        device_name: as CUDA says it, such as "NVIDIA A100-SXM4-80GB" or "Tesla T4".
        memory: bytes that it says it has.
    """
    words = set(re.split(r"[\s-]+", device_name.casefold()))
    named = [card for card in CARDS if card.name.partition("-")[0].casefold() in words]
    return min(named, key=lambda card: abs(card.memory - memory), default=None)
