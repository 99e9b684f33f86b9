"""Numbers of things, for people."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A number with its noun, which is regular: 1 battle, 2,000 battles."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
