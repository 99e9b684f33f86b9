from __future__ import annotations

import numpy as np
import pytest

from prefstream.scoring.strengths.comparisons import compare_forecasts, compare_votes
from prefstream.scoring.strengths.tallies import SCORES, tally_forecasts
from tests.support.drawn_votes import make_votes


def test_votes_of_one_battle_are_one_battle_with_their_weighted_mean() -> None:
    votes = make_votes(
        np.array([1, 1, 1, 0]),
        np.array([0, 0, 0, 1]),
        np.array([0, 2, 1, 0]),
        models=2,
        weights=np.array([2.0, 1.0, 1.0, 4.0]),
        battles=np.array([7, 7, 7, 9]),
    )
    rows = compare_votes(votes, style_control=False)
    assert (len(rows), rows.counts[0], rows.weights[0]) == (1, 2, 4)
    assert rows.scores[0] == pytest.approx((1 - 2.5 / 4) + 1)
    assert rows.squares[0] == pytest.approx((1.5 / 4) ** 2 + 1)
    assert rows.wins().sum() == pytest.approx(8)
    assert rows.wins()[1, 0] == pytest.approx(2.5)


def test_what_can_not_count_is_left_out() -> None:
    votes = make_votes(
        np.array([0, 0, 0, 0, 1]),
        np.array([0, 1, 1, 1, 0]),
        np.array([0, 0, 0, 0, 0]),
        models=2,
        weights=np.array([1, 0, np.nan, np.inf, 3]),
    )
    rows = compare_votes(votes, style_control=False)
    assert rows.masses.tolist() == [3]
    assert rows.battles().tolist() == [1, 1]
    assert rows.masses_by_model().tolist() == [3, 3]


@pytest.mark.parametrize("style_control", [False, True])
def test_cells_hold_what_single_forecasts_do(style_control: bool) -> None:
    generator = np.random.default_rng(2)
    one = generator.integers(0, 4, 500)
    other = (one + generator.integers(1, 4, 500)) % 4
    forecasts, bins = generator.dirichlet(np.ones(3), 500), generator.integers(1, 22, 500)
    cells = tally_forecasts(("b", "d", "a", "c"), one, other, bins, forecasts)
    rows = compare_forecasts(cells, style_control=style_control)
    assert (rows.first < rows.second).all()
    assert len(rows) == (len(cells) if style_control else 6)
    scores = np.where(one < other, forecasts @ SCORES, 1 - forecasts @ SCORES)
    pair = (np.minimum(one, other) == 0) & (np.maximum(one, other) == 1)
    there = (rows.first == 0) & (rows.second == 1)
    assert rows.counts[there].sum() == pair.sum()
    assert rows.scores[there].sum() == pytest.approx(scores[pair].sum())
    assert rows.squares[there].sum() == pytest.approx((scores[pair] ** 2).sum())


def test_models_are_counted_anew_among_some() -> None:
    votes = make_votes(np.array([0, 3, 1]), np.array([3, 2, 2]), np.zeros(3), models=4)
    rows = compare_votes(votes, style_control=False).among(np.array([1, 2, 3]))
    assert (rows.models, rows.first.tolist(), rows.second.tolist()) == (3, [0, 1], [1, 2])
