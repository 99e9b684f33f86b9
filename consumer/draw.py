"""A draw that anybody can repeat: a number that follows from a text alone, in every process and at every try."""

from __future__ import annotations

import hashlib
from typing import Final

_DIGEST_BYTES: Final = 8
_DRAW_BITS: Final = 53
"""As many as a float holds exactly: a draw is below 1, and a probability of 1 chooses every battle."""


def draw(text: str, purpose: bytes) -> float:
    """A number from 0 up to, not including, 1, uniform over texts. What is below a share is chosen.

    So choices are nested: what a share chooses, every larger one chooses, too.

    Args:
        text: what is drawn for, such as a battle's id.
        purpose: of the draw, at most 16 bytes: draws for one purpose tell nothing of those for another.
    """
    digest = hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES, person=purpose).digest()
    return (int.from_bytes(digest, "big") >> (8 * _DIGEST_BYTES - _DRAW_BITS)) / (1 << _DRAW_BITS)
