"""Which bucket a sequence of words or characters falls into: MurmurHash3 for 32 bits (Appleby, public domain), seed 0.

The buckets are those of scikit-learn's `FeatureHasher`, with which the first weights were fitted; a test holds the two
against each other. To import scikit-learn takes longer than all else that a judge of features does at its start.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Hashes: TypeAlias = NDArray[np.uint32]

_FIRST: Final = 0xCC9E2D51
_SECOND: Final = 0x1B873593
_STEP: Final = 0xE6546B64
_MASK: Final = 0xFFFFFFFF

_LONG: Final = 64
"""Bytes of a text that is hashed by itself: there are few, and the others would wait for them."""


def buckets(texts: Sequence[str], bits: int) -> NDArray[np.int32]:
    """The bucket of each text, 0 to 2 to the power of `bits`.

    Args:
        texts: free of lone surrogates; what comes often is hashed once.
        bits: at most 31.
    """
    places: dict[str, int] = {}
    which = np.fromiter((places.setdefault(text, len(places)) for text in texts), dtype=np.intp, count=len(texts))
    signed = murmur3([text.encode() for text in places]).view(np.int32)
    # Of the lowest number numpy's absolute value is itself, and the mask leaves 0 of it, which is scikit-learn's, too.
    found: NDArray[np.int32] = np.abs(signed)[which] & np.int32(2**bits - 1)
    return found


def murmur3(texts: Sequence[bytes]) -> Hashes:
    """The hash of each text."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    hashes = np.empty(len(texts), dtype=np.uint32)
    short = lengths <= _LONG
    hashes[short] = _hash_side_by_side([text for text in texts if len(text) <= _LONG], lengths[short])
    for place in np.flatnonzero(~short).tolist():
        hashes[place] = _hash_long(texts[place])
    return hashes


def _hash_side_by_side(texts: Sequence[bytes], lengths: NDArray[np.int64]) -> Hashes:
    """The same step for all texts at a time, four bytes each."""
    data = np.frombuffer(b"".join((*texts, bytes(4))), dtype=np.uint8)
    starts = np.cumsum(lengths) - lengths
    # Four bytes from every place on, as one number.
    fours: Hashes = np.ndarray(len(data) - 3, dtype="<u4", buffer=data, strides=(1,))
    hashes = np.zeros(len(texts), dtype=np.uint32)
    whole = lengths // 4
    for block in range(int(whole.max(initial=0))):
        those = np.flatnonzero(whole > block)
        hashes[those] = _rotated(hashes[those] ^ _mixed(fours[starts[those] + 4 * block]), 13) * np.uint32(5) + _STEP
    rest = (np.uint32(1) << (8 * (lengths % 4)).astype(np.uint32)) - np.uint32(1)
    hashes ^= _mixed(fours[starts + 4 * whole] & rest)
    return _finished(hashes ^ lengths.astype(np.uint32))


def _hash_long(text: bytes) -> int:
    whole = len(text) // 4
    fours = np.array(struct.unpack_from(f"<{whole}I", text), dtype=np.uint32)
    last = np.array([int.from_bytes(text[4 * whole :], "little")], dtype=np.uint32)
    number = 0
    for mixed in _mixed(fours).tolist():
        number ^= mixed
        number = (number << 13 | number >> 19) * 5 + _STEP & _MASK
    return int(_finished(np.array([number], dtype=np.uint32) ^ _mixed(last) ^ np.uint32(len(text)))[0])


def _mixed(fours: Hashes) -> Hashes:
    return _rotated(fours * np.uint32(_FIRST), 15) * np.uint32(_SECOND)


def _rotated(numbers: Hashes, by: int) -> Hashes:
    return numbers << np.uint32(by) | numbers >> np.uint32(32 - by)


def _finished(numbers: Any) -> Hashes:
    numbers = (numbers ^ numbers >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    numbers = (numbers ^ numbers >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    return np.asarray(numbers ^ numbers >> np.uint32(16), dtype=np.uint32)
