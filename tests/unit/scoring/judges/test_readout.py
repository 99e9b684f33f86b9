"""The two ways of reading a head's outputs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prefstream.scoring.judges.readout import read_pairwise, read_pointwise

logits = st.floats(-80, 80, width=32)


def test_pairwise_is_softmax() -> None:
    probabilities = read_pairwise(np.array([[0.0, np.log(2), np.log(5)]], dtype=np.float32))
    np.testing.assert_allclose(probabilities, [[0.125, 0.25, 0.625]], rtol=1e-6)


def test_pointwise_is_bradley_terry_with_ties() -> None:
    answers = np.array([[1.5, 0.2], [0.5, 0.6]], dtype=np.float32)
    probabilities = read_pointwise(answers, tau=-0.3)
    # d = 1: A and B by its halves, the tie by tau and the mean of both tie outputs.
    unnormalised = np.exp([0.5, -0.5, -0.3 + 0.4])
    np.testing.assert_allclose(probabilities, [unnormalised / unnormalised.sum()], rtol=1e-6)


def test_pointwise_odds_of_a_over_b_follow_the_difference_of_scores() -> None:
    probabilities = read_pointwise(np.array([[3.0, 1.0], [1.0, -1.0]], dtype=np.float32), tau=0.7)
    np.testing.assert_allclose(probabilities[0, 0] / probabilities[0, 1], np.exp(2.0), rtol=1e-5)


@given(arrays(np.float32, (6, 2), elements=logits), st.floats(-10, 10))
def test_pointwise_swaps_to_the_last_bit(answers: np.ndarray, tau: float) -> None:
    exchanged = answers[[1, 0, 3, 2, 5, 4]]
    there = read_pointwise(answers, tau=tau)
    back = read_pointwise(exchanged, tau=tau)
    assert back[:, [1, 0, 2]].tolist() == there.tolist()


@given(arrays(np.float32, (4, 3), elements=st.floats(-(2.0**127), 2.0**127, width=32)))
def test_any_finite_logits_give_probabilities(values: np.ndarray) -> None:
    probabilities = read_pairwise(values)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=3e-7)
