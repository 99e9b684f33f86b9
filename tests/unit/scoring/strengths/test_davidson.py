"""Strengths from fractional outcomes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from prefstream.scoring.probabilities import Triples
from prefstream.scoring.strengths.davidson import fit_strengths

STRENGTHS = st.lists(st.floats(-3, 3), min_size=2, max_size=7)
SHARES = st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)).filter(lambda row: sum(row) > 0.1)


def all_pairs(count: int) -> tuple[list[int], list[int]]:
    first, second = zip(*itertools.combinations(range(count), 2), strict=True)
    return list(first), list(second)


def davidson(strengths: Sequence[float], first: Sequence[int], second: Sequence[int], log_v: float) -> Triples:
    """The model's own probabilities, by its definition."""
    worth = np.exp(np.asarray(strengths))
    odds = np.stack([worth[first], worth[second], np.exp(log_v) * np.sqrt(worth[first] * worth[second])], axis=1)
    probabilities: Triples = odds / odds.sum(axis=1, keepdims=True)
    return probabilities


def fit(outcomes: Triples, count: int) -> NDArray[np.float64]:
    return fit_strengths(*all_pairs(count), outcomes, count=count)


@given(STRENGTHS, st.floats(-3, 2))
def test_known_strengths_are_recovered(strengths: list[float], log_v: float) -> None:
    pairs = all_pairs(len(strengths))
    expected = np.asarray(strengths) - np.mean(strengths)
    fitted = fit(davidson(strengths, *pairs, log_v), len(strengths))
    np.testing.assert_allclose(fitted, expected, atol=0.02)  # what is lost goes to the prior


def test_counted_outcomes_give_the_strengths_that_drew_them() -> None:
    """Thousands of drawn comparisons instead of the probabilities themselves."""
    generator = np.random.default_rng(7)
    strengths = [-1.0, -0.25, 0.25, 1.0]
    first, second = (side * 20_000 for side in all_pairs(4))
    cumulative = davidson(strengths, first, second, -0.5).cumsum(axis=1)
    drawn = np.eye(3)[(generator.random((len(first), 1)) > cumulative[:, :2]).sum(axis=1)]
    np.testing.assert_allclose(fit_strengths(first, second, drawn, count=4), strengths, atol=0.02)


@given(
    st.integers(2, 6).flatmap(
        lambda count: st.lists(SHARES, min_size=count * (count - 1) // 2, max_size=count * (count - 1) // 2)
    )
)
def test_any_outcomes_give_finite_strengths_with_mean_zero(rows: list[tuple[float, float, float]]) -> None:
    count = round((1 + (1 + 8 * len(rows)) ** 0.5) / 2)
    outcomes = np.array(rows) / np.sum(rows, axis=1, keepdims=True)
    strengths = fit(outcomes, count)
    assert np.isfinite(strengths).all()
    assert abs(strengths.mean()) < 1e-9
    first, second = all_pairs(count)
    exchanged = fit_strengths(second, first, outcomes[:, [1, 0, 2]], count=count)
    np.testing.assert_allclose(strengths, exchanged, atol=1e-5)


@pytest.mark.parametrize("outcome", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)])
def test_certain_outcomes_stay_finite(outcome: tuple[float, float, float]) -> None:
    strengths = fit(np.tile(outcome, (10, 1)), 5)
    assert np.abs(strengths).max() < 100
    assert (np.diff(strengths) <= 1e-9).all()


def test_a_tie_says_that_two_are_equal() -> None:
    np.testing.assert_allclose(fit(np.array([[0.1, 0.1, 0.8]]), 2), [0, 0], atol=1e-9)


def test_a_probability_near_certainty_keeps_its_log_odds() -> None:
    """The prior is weak: .999 against .001 among six answers."""
    strengths = [3.45, *[0.0] * 4, -3.45]
    fitted = fit(davidson(strengths, *all_pairs(6), -20.0), 6)
    assert fitted[0] - fitted[-1] == pytest.approx(6.9, rel=1e-3)


def test_who_always_wins_is_some_twelve_nats_ahead() -> None:
    fitted = fit(np.array([[1.0, 0.0, 0.0]]), 2)
    assert fitted[0] - fitted[1] == pytest.approx(12, abs=1)
