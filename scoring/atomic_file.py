"""Files that are there whole or not at all, brought to the disk, and told apart by their hash."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file; what stood there is replaced at once or not at all, whenever the process or the machine dies.

    On returning, content and name are on the disk. A pipe or a device is written to as it is: nothing is replaced.

    Args:
        path: the file; its folder must exist.
        content: all of it.

    Raises:
        OSError: the disk is full, or fails otherwise; what stood there still does.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    draft = draft_path(path)
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    sync(path.parent)


def try_to_write(path: Path) -> None:
    """Try whether `write_atomically` could write a file here; nothing is left of the try.

    Args:
        path: the file; it may be there.

    Raises:
        OSError: it could not: no right to write there, a disk that is read-only, a name that is too long.
    """
    if path.exists() and not path.is_file():
        return  # opening a pipe would wait for whoever reads it
    draft = draft_path(path)
    with contextlib.suppress(FileExistsError), draft.open("xb"):  # one that is there, another process may be writing
        draft.unlink()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object as JSON that people can read, by `write_atomically`.

    Raises:
        OSError: the disk is full, or fails otherwise; what stood there still does.
    """
    write_atomically(path, json.dumps(content, indent=2).encode() + b"\n")


def draft_path(path: Path) -> Path:
    """Where `write_atomically` writes before it takes the place of `path`; a killed process can leave it there."""
    return path.with_name(path.name + ".tmp")


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's entries, to the disk: only then a power cut can't undo a write or a rename.

    Raises:
        OSError: the disk fails.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hash_file(path: Path) -> str:
    """SHA-256 (64 hexadecimal digits) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
