"""Words and characters of texts, counted in buckets of a hash: nothing is learnt here, so nothing has to be kept.

Feature hashing after Weinberger et al. (2009): what scikit-learn's `HashingVectorizer` counts, to the last bit, by the
same hash. To import scikit-learn takes longer than all else that a judge of features does at its start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import mmh3
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from prefstream.scoring.features.marks import SCRIPTS

Counts: TypeAlias = csr_array
"""Shape (texts, buckets), a count in each."""

BEGIN: Final = "\u22a2"
END: Final = "\u22a3"
"""Tokens around each turn, so that a word that a turn begins with is another feature than the same word in it."""

_UNSPACED: Final = "".join(SCRIPTS[name] for name in ("thai", "kana", "han"))
"""Scripts that put no blanks between words: each of their letters is a word."""

TOKEN: Final = rf"[{BEGIN}{END}{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]"
"""A word, or a mark that is none."""


def read(turns: Sequence[str], most_chars: int) -> str:
    """The text of one side, of which the middle is left out where it is too long.

    Args:
        turns: of the prompt or of a response.
        most_chars: that are read of them.
    """
    text = f" {END} {BEGIN} ".join(turns)
    if len(text) > most_chars:
        half = most_chars // 2
        text = f"{text[:half]} {text[-half:]}"
    return f"{BEGIN} {text} {END}"


def buckets(texts: Sequence[str], bits: int) -> NDArray[np.int32]:
    """The bucket of each text, 0 to 2 to the power of `bits`: that of scikit-learn's `FeatureHasher`.

    Args:
        texts: free of lone surrogates; what comes often is hashed once.
        bits: at most 31.
    """
    places: dict[str, int] = {}
    which = np.fromiter((places.setdefault(text, len(places)) for text in texts), dtype=np.intp, count=len(texts))
    hashes = np.fromiter(map(mmh3.hash, places), dtype=np.int32, count=len(places))
    # Of the lowest number numpy's absolute value is itself, and the mask leaves 0 of it, which is scikit-learn's, too.
    found: NDArray[np.int32] = np.abs(hashes)[which] & np.int32(2**bits - 1)
    return found


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts what is found in texts, in buckets.

    Attributes:
        analyse: what is counted of a text, in any order, as often as it is there.
        bits: 2 to the power of them is the number of buckets.
    """

    analyse: Callable[[str], list[str]]
    bits: int

    def count(self, texts: Sequence[str]) -> Counts:
        """The counts of each text."""
        found = [self.analyse(text) for text in texts]
        ends = np.cumsum([0, *map(len, found)])
        columns = buckets([one for of_text in found for one in of_text], self.bits)
        counts = csr_array((np.ones(len(columns)), columns, ends), shape=(len(texts), 2**self.bits))
        counts.sum_duplicates()
        return counts


def count_words(ngrams: tuple[int, int], bits: int) -> Counter:
    """Counts words and their neighbours.

    Args:
        ngrams: words of the shortest and of the longest sequence that is counted.
        bits: as `Counter` has them.
    """
    find = re.compile(TOKEN).findall

    def analyse(text: str) -> list[str]:
        words = find(text.lower())
        found = list(words) if ngrams[0] == 1 else []
        for length in range(max(2, ngrams[0]), ngrams[1] + 1):
            found += map(" ".join, zip(*(words[start:] for start in range(length)), strict=False))
        return found

    return Counter(analyse, bits)


def count_characters(ngrams: tuple[int, int], bits: int) -> Counter:
    """Counts runs of characters within words, their blanks included; a word that is shorter than a run, once.

    Args:
        ngrams: characters of the shortest and of the longest run that is counted.
        bits: as `Counter` has them.
    """

    def analyse(text: str) -> list[str]:
        found = []
        for word in text.lower().split():
            bounded = f" {word} "
            for length in range(ngrams[0], ngrams[1] + 1):
                found += [bounded[start : start + length] for start in range(max(1, len(bounded) - length + 1))]
                if len(bounded) <= length:
                    break
        return found

    return Counter(analyse, bits)


def fold(counts: Counts, bits: int) -> Counts:
    """The same counts in fewer buckets.

    Args:
        counts: of at least 2 to the power of `bits` buckets.
        bits: of the new hash.
    """
    buckets = 2**bits
    shape = counts.shape[0], buckets
    folded = csr_array((counts.data, counts.indices & (buckets - 1), counts.indptr), shape=shape, copy=True)
    folded.sum_duplicates()  # in place, and the counts are the caller's
    return folded


def presence(counts: Counts) -> Counts:
    """1 in each bucket that holds anything."""
    return csr_array((np.ones_like(counts.data), counts.indices, counts.indptr), shape=counts.shape)


def distinct(there: Counts) -> NDArray[np.float64]:
    """How many buckets of each text hold anything."""
    found: NDArray[np.float64] = np.diff(there.indptr).astype(np.float64)
    return found


def total(counts: Counts) -> NDArray[np.float64]:
    """Sum of all buckets of each text."""
    return np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()


def common(one: Counts, other: Counts) -> NDArray[np.float64]:
    """How many buckets hold something of both texts of a row; the same with the texts exchanged.

    Args:
        one: what `presence` returned.
        other: likewise, as many rows.
    """
    return total(one.multiply(other))
