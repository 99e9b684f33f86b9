"""Wheels that pip takes for published ones, in a folder that is all it can install from."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest


def make_wheel_house(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder all that pip knows, in this process and those it starts."""
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def build_wheel(house: Path, package: str, version: str, members: Mapping[str, bytes]) -> Path:
    """Write a wheel of a package.

    Args:
        house: where to.
        package: its name on PyPI.
        version: of the package.
        members: by their path in the wheel.
    """
    stem = f"{package.replace('-', '_')}-{version}"
    wheel = house / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        archive.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return wheel
