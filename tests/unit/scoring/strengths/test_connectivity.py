from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from prefstream.scoring.strengths.connectivity import (
    NEVER_MET,
    NOBODY,
    ONE_SIDED,
    ONLY_LOST,
    ONLY_WON,
    connect,
    connection_notes,
)
from prefstream.scoring.strengths.logistic import Design, minimise


def wins_of(count: int, *pairs: tuple[int, int]) -> NDArray[np.float64]:
    wins = np.zeros((count, count))
    for winner, loser in pairs:
        wins[winner, loser] += 1
    return wins


def test_models_that_beat_each_other_in_a_circle_are_rated_and_others_are_told_why_not() -> None:
    wins = wins_of(9, (0, 1), (1, 2), (2, 0), (3, 0), (1, 4), (5, 6), (6, 5), (3, 7))
    found = connect(wins)
    assert found.rated.tolist() == [0, 1, 2]
    assert found.reasons == {3: ONLY_WON, 4: ONLY_LOST, 5: NEVER_MET, 6: NEVER_MET, 7: ONE_SIDED}
    assert set(found.one_sided) == {(3, 0), (1, 4), (3, 7)}
    without, pairs = connection_notes(found, tuple("abcdefghi"))
    assert without == "5 without a rating: d; f; g; e; h"
    assert pairs.endswith("b over e; d over a; d over h")


def test_a_tie_connects_both_ways() -> None:
    tied = np.array([[0, 0.5], [0.5, 0]])
    assert connect(tied).rated.tolist() == [0, 1]
    assert connection_notes(connect(tied), ("a", "b")) == ()


def test_of_two_sets_of_one_size_that_with_more_battles_is_rated() -> None:
    wins = wins_of(4, (0, 1), (1, 0), (2, 3), (3, 2), (3, 2))
    assert connect(wins).rated.tolist() == [2, 3]


@pytest.mark.parametrize("wins", [np.zeros((0, 0)), np.zeros((1, 1)), np.zeros((5, 5))])
def test_without_battles_nobody_is_rated(wins: NDArray[np.float64]) -> None:
    found = connect(wins)
    assert found.rated.tolist() == []
    assert found.reasons == {}


def test_who_only_beat_each_other_once_has_no_rating() -> None:
    found = connect(wins_of(3, (0, 1), (1, 2)))
    assert found.rated.tolist() == []
    assert found.reasons == dict.fromkeys((0, 1, 2), NOBODY)


def test_a_note_names_a_few_and_counts_the_rest() -> None:
    found = connect(wins_of(10, (0, 1), (1, 0), *((0, loser) for loser in range(2, 10))))
    without, pairs = connection_notes(found, tuple("abcdefghij"))
    assert without.endswith("; and 3 more")
    assert pairs.endswith("; and 3 more")


@given(arrays(np.float64, (5, 5), elements=st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0])))
def test_who_is_rated_has_a_finite_fit_and_to_add_any_other_would_leave_none(drawn: NDArray[np.float64]) -> None:
    np.fill_diagonal(drawn, 0)
    found = connect(drawn)
    pairs = list(itertools.combinations(range(5), 2))

    def converges(models: list[int]) -> bool:
        place = {model: number for number, model in enumerate(models)}
        inside = [(a, b) for a, b in pairs if a in place and b in place]
        one = np.array([place[a] for a, _ in inside])
        other = np.array([place[b] for _, b in inside])
        masses = np.array([drawn[a, b] + drawn[b, a] for a, b in inside])
        targets = np.array([drawn[a, b] for a, b in inside])
        return minimise(Design(one, other, np.zeros((len(one), 0)), len(models)), masses, targets).converged

    rated = found.rated.tolist()
    if rated:
        assert converges(rated)
        assert not any(converges(sorted([*rated, model])) for model in set(range(5)) - set(rated))
