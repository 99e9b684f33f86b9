"""Lines on a terminal."""

from __future__ import annotations

from rich.console import Console


def say(console: Console, line: str) -> None:
    """Print a line as it is: brackets in it are no markup, and it is not wrapped.

    Args:
        console: to print on.
        line: whatever it holds.
    """
    console.print(line, markup=False, highlight=False, soft_wrap=True)
