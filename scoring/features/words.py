"""Words and characters of texts, counted in buckets of a hash: nothing is learnt here, so nothing has to be kept.

Feature hashing after Weinberger et al. (2009), by scikit-learn's `HashingVectorizer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import HashingVectorizer

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


def hash_words(ngrams: tuple[int, int], bits: int) -> HashingVectorizer:
    """Counts words and their neighbours.

    Args:
        ngrams: words of the shortest and of the longest sequence that is counted.
        bits: 2 to the power of them is the number of buckets.
    """
    return HashingVectorizer(
        ngram_range=ngrams, token_pattern=TOKEN, n_features=2**bits, alternate_sign=False, norm=None
    )


def hash_sequences(bits: int) -> HashingVectorizer:
    """Counts sequences of words that are given as such, in the buckets of `hash_words`."""
    return HashingVectorizer(analyzer=tuple, n_features=2**bits, alternate_sign=False, norm=None)


def hash_characters(ngrams: tuple[int, int], bits: int) -> HashingVectorizer:
    """Counts runs of characters within words, as `hash_words`."""
    return HashingVectorizer(
        analyzer="char_wb", ngram_range=ngrams, n_features=2**bits, alternate_sign=False, norm=None
    )


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
