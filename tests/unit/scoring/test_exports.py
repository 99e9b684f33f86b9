"""What the package offers, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import scoring


@pytest.mark.parametrize("name", scoring.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(scoring, name).__name__ == name


def test_the_listing_is_the_public_names() -> None:
    assert dir(scoring) == sorted(scoring.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = scoring.nothing  # type: ignore[attr-defined]


def test_importing_the_package_imports_no_heavy_library() -> None:
    code = "import sys, scoring; print(sorted({'torch', 'transformers', 'numpy', 'kafka'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == "[]", result.stderr
