"""Commands that an installation lacks an extra for: their help, from the reference that ships."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markdown import Markdown

REFERENCE: Final = Path(__file__).with_name("REFERENCE.md")
"""The help of a command is made from its code, which can't be imported here; this is what it says."""


def print_help(words: Sequence[str]) -> None:
    """Print what the reference says of a command.

    Args:
        words: its name, the name of one of its own commands perhaps, and options.
    """
    names = [word for word in words if not word.startswith("-")]
    reference = REFERENCE.read_text(encoding="utf-8")
    found = next(filter(None, (_section(reference, names[:count]) for count in range(len(names), 0, -1))), "")
    console = Console()
    console.print(Markdown(found), width=min(console.width, 100))


def _section(reference: str, names: Sequence[str]) -> str:
    """From its heading to the next one of its rank, or above; empty where there is none."""
    heading = re.escape(f"`prefstream {' '.join(names)}`")
    begin = re.search(rf"^(#+) {heading}$", reference, re.MULTILINE)
    if begin is None:
        return ""
    end = re.compile(rf"^#{{1,{len(begin[1])}}} ", re.MULTILINE).search(reference, begin.end())
    return reference[begin.start() : end.start() if end else None]
