"""Names of files as text that can be printed and written."""

from __future__ import annotations

import os
from pathlib import Path


def printable(path: Path | str) -> str:
    """A path as text that is valid everywhere: a byte that is no UTF-8 becomes its escape, an x and two digits."""
    return os.fsencode(path).decode(errors="backslashreplace")
