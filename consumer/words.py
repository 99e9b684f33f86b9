"""Numbers of things and texts of others, for people."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A number with its noun, which is regular: 1 battle, 2,000 battles."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def escaped(text: str, keep: str = "") -> str:
    """Escape what a terminal could obey or hide: control, format and bidi characters, odd spaces."""
    return "".join(
        character if character.isprintable() or character in keep else character.encode("unicode_escape").decode()
        for character in text
    )
