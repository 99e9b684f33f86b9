"""What can be said of weight files without opening them as a model: names and shapes, hashes, and what to refuse.

A pickled weight file can run any code when it is opened, so it is refused by its name. Nothing in a folder may send
the libraries to such a file, or to any file that was not looked at here.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final, cast

from prefstream.scoring.errors import LoadError

_PICKLED: Final = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt")

_MAX_HEADER_BYTES: Final = 100_000_000
"""The bound of the safetensors format itself."""

_SAMPLE_BYTES: Final = 4096
_SAMPLES_PER_FILE: Final = 64
"""A quarter of a MiB per file tells fine-tunes of one base apart, whose headers are equal; reading 18 GB at each
start to say more would take a minute."""


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a model or adapter folder, in order of name.

    Pickled files beside them are nobody's business: what loads weights is told to read these.

    Raises:
        LoadError: there are none, and what there is instead.
    """
    if not folder.is_dir():
        raise LoadError(f"{folder}: no such folder; give the folder or the hub id of a model")
    found = tuple(sorted(folder.glob("*.safetensors")))
    if found:
        return found
    pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
    if pickled:
        raise LoadError(
            f"{folder}: holds pickled weights ({', '.join(pickled[:3])}), which can run any code when they are "
            "opened; convert them to safetensors (save_pretrained of transformers and peft writes them)"
        )
    raise LoadError(f"{folder}: holds no *.safetensors file; is the download complete?")


def base_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a base model, which nothing else in its folder leads away from.

    transformers does what a folder says: it opens the files that an index names, pickled ones, too; it opens the one
    that config.json names; and it loads an adapter that lies in the folder, by the adapter's own settings.

    Raises:
        LoadError: there are none, or the folder leads elsewhere.
    """
    files = weight_files(folder)
    if (folder / "adapter_config.json").exists():
        raise LoadError(
            f"{folder}: holds an adapter (adapter_config.json), which would be loaded with the base, unverified; move "
            "it to a folder of its own and name that as the judge's adapter"
        )
    if read_settings(folder / "config.json").get("transformers_weights") is not None:
        raise LoadError(
            f"{folder / 'config.json'}: names a file of weights (transformers_weights); take that out, and give the "
            "file its usual name, model.safetensors"
        )
    for index in folder.glob("*.safetensors.index.json"):
        names = read_settings(index).get("weight_map")
        if not isinstance(names, dict) or not all(_is_shard(name) for name in names.values()):
            raise LoadError(
                f"{index}: names weights that are no safetensors files of its own folder; fetch the model again, or "
                "convert it to safetensors"
            )
    return files


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Tensor name to shape, from a safetensors file's header.

    Raises:
        LoadError: the file is cut off or no safetensors file.
    """
    header = _read_header(path)
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}


def hash_base(files: tuple[Path, ...]) -> str:
    """SHA-256 (64 hexadecimal digits) over the files' sizes, headers, and samples of their weights.

    Cheap, and the same for copies of a model wherever they lie.
    """
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}:".encode())
        digest.update(json.dumps(_read_header(path), sort_keys=True).encode())
        with path.open("rb") as file:
            for sample in range(_SAMPLES_PER_FILE):
                file.seek(size * sample // _SAMPLES_PER_FILE)
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def read_settings(path: Path) -> dict[str, Any]:
    """What a JSON file beside weights says; nothing where there is no such file, which is for others to miss.

    Raises:
        LoadError: it can't be read, or is no JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise LoadError(f"{path}: can't be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise LoadError(f"{path}: is no JSON object; fetch or save it again")
    return content


def _is_shard(name: object) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and Path(name).name == name


def _read_header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _MAX_HEADER_BYTES)))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except OSError as error:
        raise LoadError(f"{path}: can't be read: {error.strerror or error}") from None
    except (ValueError, TypeError, AttributeError, KeyError, IndexError):
        raise LoadError(f"{path}: is no safetensors file, or a part of one; fetch or save it again") from None
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise LoadError(f"{path}: has {size} bytes, its header says {expected}; fetch or save it again")
    return cast("dict[str, Any]", header)
