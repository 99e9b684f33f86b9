"""What is read of a driver."""

from __future__ import annotations

import pytest

from prefstream.scoring.bench.gpu.machine import driver_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n", "535.183.01"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n", "580.65.06"),
        ("something else", None),
    ],
)
def test_the_drivers_version_is_what_its_kernel_module_says(text: str, version: str | None) -> None:
    assert driver_version(text) == version
