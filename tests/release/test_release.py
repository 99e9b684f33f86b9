"""Wheel and sdist, built as a release builds them, do their job where nothing else is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.release.contents import faults
from tests.release.places import ROOT, SOURCE
from tests.release.trial import INSTALL_S, try_out


@pytest.mark.long
@pytest.mark.timeout(3 * INSTALL_S)
def test_what_is_released_can_be_installed_and_used(tmp_path: Path) -> None:
    pytest.importorskip("build", reason="pip install 'prefstream[release]'")
    pytest.importorskip("twine", reason="pip install 'prefstream[release]'")
    version, built = SOURCE.told(ROOT), tmp_path / "dist"
    subprocess.run([sys.executable, "-m", "build", "--outdir", built, ROOT], check=True, timeout=INSTALL_S)
    wheel, sdist = sorted(built.iterdir(), key=lambda path: path.suffix, reverse=True)
    assert (wheel.suffix, "".join(sdist.suffixes[-2:])) == (".whl", ".tar.gz")
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", wheel, sdist], check=True, timeout=INSTALL_S)
    held: list[str] = []
    for distribution in (wheel, sdist):
        assert list(faults(distribution, version)) == []
        folder = tmp_path / distribution.suffix
        folder.mkdir()
        try_out(distribution, version, folder, held.append)
    assert len(held) == 4
