"""The class prior that knows only the votes before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from prefstream.scoring.trust.prior import prequential_prior

outcomes = st.lists(st.integers(0, 2), max_size=30).map(lambda drawn: np.array(drawn, dtype=np.intp))


def test_by_hand() -> None:
    prior = prequential_prior(np.array([2, 0, 1]))
    assert prior == pytest.approx(np.array([[1, 1, 1], [1, 1, 3], [2, 2, 3]]) / np.array([[3], [5], [7]]))


def test_a_weight_of_k_is_a_vote_that_stands_k_times() -> None:
    weighted = prequential_prior(np.array([2, 0, 1]), np.array([3.0, 2.0, 1.0]))
    repeated = prequential_prior(np.array([2, 2, 2, 0, 0, 1]))
    assert weighted[[0, 1, 2]] == pytest.approx(repeated[[0, 3, 5]])


@given(outcomes, st.integers(0, 30))
def test_no_vote_is_told_of_itself_or_of_later_ones(drawn: NDArray[np.intp], place: int) -> None:
    prior = prequential_prior(drawn)
    other = drawn.copy()
    other[place:] = 2 - other[place:]
    assert prequential_prior(other)[: place + 1].tolist() == prior[: place + 1].tolist()


@given(outcomes)
def test_exchanging_sides_changes_nothing_and_rows_are_probabilities(drawn: NDArray[np.intp]) -> None:
    prior = prequential_prior(drawn)
    exchanged = prequential_prior(np.array([1, 0, 2])[drawn])
    assert prior.tolist() == exchanged.tolist()
    assert prior.shape == (len(drawn), 3)
    assert prior.sum(axis=1) == pytest.approx(np.ones(len(drawn)))
    assert (prior > 0).all()
