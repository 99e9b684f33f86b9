"""A hash for people: long ones are told by their first digits."""

from __future__ import annotations

from typing import Final

HASH_DIGITS: Final = 12
"""Enough to tell one operator's panels apart, short enough for a legend."""


def short_hash(hash_hex: str) -> str:
    """The first digits of a hash.

    Args:
        hash_hex: in hexadecimal digits.
    """
    return hash_hex[:HASH_DIGITS]
