"""Files that are there whole or not at all, and how they are told apart."""

from __future__ import annotations

import hashlib
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file; what stood there is replaced at once or not at all, whenever the process is killed.

    Raises:
        OSError: the disk is full, or fails otherwise.
    """
    draft = path.with_name(path.name + ".tmp")
    draft.write_bytes(content)
    draft.replace(path)


def hash_file(path: Path) -> str:
    """SHA-256 (64 hexadecimal digits) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
