"""What is counted of texts, and in which bucket: scikit-learn's own, with which the weights that ship were fitted."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import HashingVectorizer

from prefstream.scoring.features.words import TOKEN, Counter, buckets, count_characters, count_words

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
PROSE = st.lists(
    st.sampled_from(["The", "cat", "sat", "İstanbul", "猫", "naïve", "12.5", "⊢", "\n", "x" * 90]), max_size=40
)
TEXTS = st.lists(TEXT | PROSE.map(" ".join), min_size=1, max_size=5)
NGRAMS = st.tuples(st.integers(1, 4), st.integers(0, 3)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def same(counter: Counter, texts: list[str], theirs: HashingVectorizer) -> bool:
    ours, expected = counter.count(texts), csr_array(theirs.transform(texts))
    return ours.shape == expected.shape and all(
        np.array_equal(getattr(ours, part), getattr(expected, part)) for part in ("data", "indices", "indptr")
    )


@given(texts=TEXTS, ngrams=NGRAMS)
@example(texts=[""], ngrams=(1, 2))
@example(texts=["one"], ngrams=(2, 3))
def test_words_are_counted_as_scikit_learn_counts_them(texts: list[str], ngrams: tuple[int, int]) -> None:
    theirs = HashingVectorizer(
        ngram_range=ngrams, token_pattern=TOKEN, n_features=2**9, alternate_sign=False, norm=None
    )
    assert same(count_words(ngrams, bits=9), texts, theirs)


@given(texts=TEXTS, ngrams=NGRAMS)
@example(texts=["a"], ngrams=(3, 6))
def test_characters_are_counted_as_scikit_learn_counts_them(texts: list[str], ngrams: tuple[int, int]) -> None:
    theirs = HashingVectorizer(analyzer="char_wb", ngram_range=ngrams, n_features=2**9, alternate_sign=False, norm=None)
    assert same(count_characters(ngrams, bits=9), texts, theirs)


def test_a_text_has_one_bucket_however_often_it_comes_and_whatever_comes_beside_it() -> None:
    together = buckets(["one", "two", "one", "x" * 1000], 16)
    assert together.tolist() == [int(buckets([text], 16)[0]) for text in ("one", "two", "one", "x" * 1000)]
    assert buckets([], 16).tolist() == []
