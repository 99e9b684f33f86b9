"""Distances between answers, against a second implementation."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from prefstream.scoring.probabilities import divergence_bits
from tests.support.judged import make_probabilities


@given(st.integers(0, 10_000))
def test_the_divergence_is_scipys_in_bits_whichever_comes_first(seed: int) -> None:
    one, other = make_probabilities(20, seed=seed), make_probabilities(20, seed=seed + 1)
    found = divergence_bits(one, other)
    assert np.allclose(found, jensenshannon(one, other, base=2, axis=1) ** 2, atol=1e-12)
    assert np.array_equal(found, divergence_bits(other, one))


def test_it_is_none_between_equals_and_one_bit_between_contraries() -> None:
    sure = np.array([[1.0, 0.0, 0.0], [0.3, 0.3, 0.4]])
    assert divergence_bits(sure, sure).tolist() == [0.0, 0.0]
    assert divergence_bits(sure[:1], np.array([[0.0, 0.0, 1.0]])).tolist() == [1.0]
