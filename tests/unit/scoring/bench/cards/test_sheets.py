"""Which sheet a driver's name means."""

from __future__ import annotations

import pytest

from prefstream.scoring.bench.cards.sheets import card_named


@pytest.mark.parametrize(
    ("device", "gibibytes", "card"),
    [
        ("Tesla T4", 14.6, "T4"),
        ("NVIDIA L4", 22.0, "L4"),
        ("NVIDIA A10G", 22.0, "A10G"),
        ("NVIDIA A100-SXM4-40GB", 39.4, "A100-40GB"),
        ("NVIDIA A100-SXM4-80GB", 79.3, "A100-80GB"),
        ("NVIDIA A100 80GB PCIe", 79.3, "A100-80GB"),
        ("NVIDIA H100 80GB HBM3", 79.1, "H100"),
        ("NVIDIA H200", 139.8, "H200"),
        ("NVIDIA L40S", 44.4, None),
        ("NVIDIA A10", 22.0, None),
        ("NVIDIA GeForce RTX 4090", 23.5, None),
    ],
)
def test_a_card_is_known_by_the_name_that_its_driver_says(device: str, gibibytes: float, card: str | None) -> None:
    found = card_named(device, gibibytes * 2**30)
    assert (found and found.name) == card
