from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from prefstream.scoring.strengths.bradley_terry import rank_by_votes
from prefstream.scoring.strengths.davidson import DavidsonFit, davidson_probabilities, fit_davidson
from prefstream.scoring.strengths.tallies import VotedBattles
from prefstream.scoring.strengths.ties import fit_ties
from tests.support.drawn_votes import draw_votes, make_votes

TRUTH = DavidsonFit(np.array([1.0, 0.2, -0.3, -0.9]), log_v=0.4)


def davidson_votes(count: int) -> VotedBattles:
    generator = np.random.default_rng(21)
    one = generator.integers(0, 4, count)
    other = (one + generator.integers(1, 4, count)) % 4
    cumulative = davidson_probabilities(TRUTH, one, other).cumsum(axis=1)
    outcomes = (generator.random((count, 1)) > cumulative[:, :2]).sum(axis=1)
    return make_votes(one, other, outcomes, models=4)


def test_the_model_that_drew_the_votes_is_found_and_fits_them_better() -> None:
    found = fit_ties(davidson_votes(40_000))
    assert found is not None
    assert [model for model, _ in found.ratings] == ["m000", "m001", "m002", "m003"]
    np.testing.assert_allclose([rating for _, rating in found.ratings], 1000 + 173.7178 * TRUTH.strengths, atol=8)
    assert found.ties_among_equals == pytest.approx(np.exp(0.4) / (2 + np.exp(0.4)), abs=0.01)
    assert found.log_loss < found.log_loss_bradley_terry - 0.001
    assert found.votes == 40_000


def test_where_ties_come_whoever_fights_davidson_fits_worse() -> None:
    generator = np.random.default_rng(3)
    votes = draw_votes(np.array([1.5, 0.0, -1.5]), 20_000, generator, ties=0.0)
    outcomes = np.where(generator.random(20_000) < 0.3, 2, votes.outcomes)
    found = fit_ties(replace(votes, outcomes=outcomes))
    assert found is not None
    assert found.log_loss > found.log_loss_bradley_terry


def test_it_orders_models_as_bradley_terry_does() -> None:
    votes = davidson_votes(2_000)
    found = fit_ties(votes)
    assert found is not None
    assert [model for model, _ in found.ratings] == [row.model for row in rank_by_votes(votes).strengths]


def test_weights_are_numbers_of_votes() -> None:
    votes = davidson_votes(300)
    one = fit_ties(replace(votes, weights=np.full(300, 3.0)))
    three = fit_ties(votes.select(np.tile(np.arange(300), 3)))
    assert one is not None
    assert three is not None
    np.testing.assert_allclose([row[1] for row in one.ratings], [row[1] for row in three.ratings], atol=1e-3)
    assert one.log_loss == pytest.approx(three.log_loss)


def test_summed_outcomes_are_fitted_as_single_ones() -> None:
    generator = np.random.default_rng(5)
    first, second = np.array(list(itertools.combinations(range(4), 2))).T
    counts = generator.integers(1, 30, (6, 3)).astype(float)
    rows = np.repeat(np.arange(18), counts.ravel().astype(int))
    summed = fit_davidson(first, second, counts, count=4)
    single = fit_davidson(first[rows // 3], second[rows // 3], np.eye(3)[rows % 3], count=4)
    np.testing.assert_allclose(summed.strengths, single.strengths, atol=1e-6)
    assert summed.log_v == pytest.approx(single.log_v, abs=1e-6)


def test_all_ties_are_fitted_and_one_sided_votes_are_not() -> None:
    found = fit_ties(make_votes([0, 1], [1, 0], [2, 2], models=2))
    assert found is not None
    assert found.ties_among_equals > 0.99
    assert found.log_loss < 0.01
    assert fit_ties(make_votes([0, 1], [1, 2], [0, 0], models=3)) is None
    assert fit_ties(make_votes([], [], [], models=0)) is None
