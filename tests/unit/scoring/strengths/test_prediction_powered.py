"""Strengths from votes and preferences together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from prefstream.scoring.strengths.bradley_terry import rank_by_judges, rank_by_votes
from prefstream.scoring.strengths.comparisons import compare_forecasts, compare_votes
from prefstream.scoring.strengths.logistic import minimise, sandwich
from prefstream.scoring.strengths.prediction_powered import (
    NO_PREFERENCES,
    NO_USE,
    NO_VOTES,
    STYLE_IN_BINS,
    rank_by_both,
)
from prefstream.scoring.strengths.rectifier import Judged, Voted, rectify
from prefstream.scoring.strengths.results import Strengths
from prefstream.scoring.strengths.tallies import (
    STYLE_BINS,
    ForecastCells,
    VotedBattles,
    bin_style,
    tally_forecasts,
)

NAMES = ("ant", "bee", "cat", "dog", "elk")
NOBODY = ForecastCells(NAMES, *(np.zeros(0, dtype=np.intp),) * 3, np.zeros(0), np.zeros((0, 3)), np.zeros((0, 3, 3)))

few = settings(max_examples=20)


def data(
    seed: int = 0, *, votes: int = 150, battles: int = 3_000, skill: float = 1.5
) -> tuple[VotedBattles, ForecastCells]:
    """Battles between five models; judges see a part of what decides, and overrate cats."""
    generator = np.random.default_rng(seed)
    a = generator.integers(0, 5, battles)
    b = (a + generator.integers(1, 5, battles)) % 5
    bins = generator.integers(1, STYLE_BINS, battles)
    style = bin_style(bins)
    own = generator.normal(0, skill, battles)
    logit = 0.4 * (a - b) + own + 0.5 * style[:, 0]
    share = expit(logit + 0.4 * (a == 2) - 0.4 * (b == 2) + 0.5 * style[:, 0])
    forecasts = np.stack([0.8 * share, 0.8 * (1 - share), np.full(battles, 0.2)], axis=1)
    chance = expit(logit)
    drawn = generator.random(battles)
    outcomes = np.where(drawn < 0.8 * chance, 0, np.where(drawn < 0.8, 1, 2))
    chosen = generator.permutation(battles)[:votes]
    exact = np.clip(style[chosen][:, [0, 1, 1, 1]] + generator.normal(0, 0.1, (votes, 4)), -1, 1)
    voted = VotedBattles(
        models=NAMES,
        model_a=a[chosen],
        model_b=b[chosen],
        outcomes=outcomes[chosen],
        forecasts=forecasts[chosen],
        weights=np.ones(votes),
        style=exact,
        cells=bins[chosen],
        battles=chosen,
    )
    return voted, tally_forecasts(NAMES, a, b, bins, forecasts)


def only(voted: VotedBattles, cells: ForecastCells, models: list[int]) -> tuple[VotedBattles, ForecastCells]:
    """Battles between these models."""
    return (
        voted.select(np.isin(voted.model_a, models) & np.isin(voted.model_b, models)),
        cells.select(np.isin(cells.model_a, models) & np.isin(cells.model_b, models)),
    )


def assert_same(one: Strengths, other: Strengths, *, tolerance: float = 1e-6) -> None:
    """Equal in every figure of the models."""
    assert [each.model for each in one.strengths] == [each.model for each in other.strengths]
    for mine, theirs in zip(one.strengths, other.strengths, strict=True):
        assert (mine.rank_low, mine.rank_high, mine.battles) == (theirs.rank_low, theirs.rank_high, theirs.battles)
        for name in ("rating", "lower", "upper"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), abs=tolerance)


def widths(table: Strengths) -> list[float]:
    return [one.upper - one.lower for one in table.strengths if one.upper is not None and one.lower is not None]


def test_both_is_narrower_than_votes_and_says_by_how_much() -> None:
    voted, cells = data(votes=400)
    both, alone = rank_by_both(voted, cells), rank_by_votes(voted)
    assert both.method == "both"
    assert (both.votes, both.preferences) == (400, 3_000)
    assert both.lambda_ is not None
    assert both.lambda_ > 0.3
    ratio = np.mean(widths(both)) / np.mean(widths(alone))
    assert 0.5 < ratio < 0.9
    assert both.notes == (
        f"judges make the intervals {100 * (1 - ratio):.0f} % narrower than votes alone (lambda {both.lambda_:.2f})",
    )


def test_with_many_votes_the_judges_bias_is_gone() -> None:
    """The judges overrate cats by .4 nats, that is 69 Elo less what others lose by it."""
    voted, cells = data(votes=40_000, battles=60_000)
    tables = {"votes": rank_by_votes(voted), "judges": rank_by_judges(cells), "both": rank_by_both(voted, cells)}
    cat = {name: next(one.rating for one in each.strengths if one.model == "cat") for name, each in tables.items()}
    assert cat["judges"] is not None
    assert cat["votes"] is not None
    assert cat["judges"] > cat["votes"] + 25
    assert cat["both"] == pytest.approx(cat["votes"], abs=8)


@pytest.mark.parametrize("style_control", [False, True])
def test_judges_that_know_only_the_models_give_the_table_by_votes(style_control: bool) -> None:
    """To the bit: a prior says the same of all battles of a pair."""
    voted, cells = data()
    prior = np.array([0.4, 0.4, 0.2])
    voted = replace(voted, forecasts=np.tile(prior, (len(voted), 1)))
    cells = replace(
        cells, sums=cells.counts[:, None] * prior, products=cells.counts[:, None, None] * np.outer(prior, prior)
    )
    both = rank_by_both(voted, cells, style_control=style_control)
    assert both.lambda_ == 0
    assert both.strengths == rank_by_votes(voted, style_control=style_control).strengths
    assert both.notes[-1] == NO_USE


def test_judges_that_are_wrong_whenever_they_differ_are_not_used() -> None:
    voted, cells = data()
    wrong, turned = data(skill=1.5)
    flip = [1, 0, 2]
    voted = replace(voted, forecasts=wrong.forecasts[:, flip])
    cells = replace(cells, sums=turned.sums[:, flip], products=turned.products[:, flip][:, :, flip])
    both = rank_by_both(voted, cells)
    assert both.lambda_ == 0
    assert both.strengths == rank_by_votes(voted).strengths


def test_judges_that_know_every_outcome_are_as_good_as_votes_on_all() -> None:
    """With lambda 1, by the papers' formulas, to the digit."""
    generator = np.random.default_rng(3)
    a = generator.integers(0, 5, 2_000)
    b = (a + generator.integers(1, 5, 2_000)) % 5
    outcomes = generator.integers(0, 3, 2_000)
    everything = VotedBattles(
        models=NAMES,
        model_a=a,
        model_b=b,
        outcomes=outcomes,
        forecasts=np.eye(3)[outcomes],
        weights=np.ones(2_000),
        style=np.zeros((2_000, 4)),
        cells=np.zeros(2_000, dtype=np.intp),
        battles=np.arange(2_000),
    )
    few = compare_votes(everything.select(np.arange(100)), style_control=True)
    few = replace(few, style=np.zeros((100, 0)))
    cells = tally_forecasts(NAMES, a, b, everything.cells, everything.forecasts)
    judged = compare_forecasts(cells, style_control=False)
    designs = few.design(few.style), judged.design(judged.style)
    found = rectify(Voted(few, designs[0], few.scores), Judged(judged, designs[1]), lambda_=1.0, few_votes=False)
    assert found is not None
    fit = minimise(designs[1], judged.masses, judged.targets)
    residuals = judged.squares - 2 * fit.probabilities * judged.scores + judged.counts * fit.probabilities**2
    np.testing.assert_allclose(found.theta, fit.theta, atol=1e-9)
    np.testing.assert_allclose(found.covariance, sandwich(fit.inverse(5), designs[1].gram(residuals)), atol=1e-12)


@few
@given(seed=st.integers(0, 1000), style_control=st.booleans())
def test_exchanging_all_sides_changes_nothing(seed: int, style_control: bool) -> None:
    voted, cells = data(seed, votes=60, battles=400)
    one = rank_by_both(voted, cells, style_control=style_control)
    other = rank_by_both(voted.exchanged(), cells, style_control=style_control)
    assert_same(one, other)
    assert one.lambda_ == pytest.approx(other.lambda_)


@few
@given(seed=st.integers(0, 1000), factor=st.floats(1e-3, 1e3))
def test_only_relative_weights_count(seed: int, factor: float) -> None:
    voted, cells = data(seed, votes=60, battles=400)
    voted = replace(voted, weights=np.random.default_rng(seed).uniform(1, 5, len(voted)))
    one, other = (rank_by_both(replace(voted, weights=voted.weights * by), cells) for by in (1, factor))
    assert_same(one, other, tolerance=1e-3)


def test_votes_of_one_battle_are_one_observation() -> None:
    """Everybody votes twice: no interval is shorter for that."""
    voted, cells = data()
    twice = voted.select(np.repeat(np.arange(len(voted)), 2))
    assert_same(rank_by_both(voted, cells), rank_by_both(twice, cells))


def test_votes_without_a_forecast_count_as_votes() -> None:
    voted, cells = data(votes=300)
    forecasts = voted.forecasts.copy()
    forecasts[::3] = np.nan
    some = rank_by_both(replace(voted, forecasts=forecasts), cells)
    assert some.votes == 300
    assert "100 voted battles without a known preference count as votes only" in some.notes
    all_known, none_known = rank_by_both(voted, cells), rank_by_votes(voted)
    assert np.mean(widths(all_known)) < np.mean(widths(some)) < np.mean(widths(none_known))


def test_where_no_forecast_is_known_it_is_the_table_by_votes() -> None:
    voted, cells = data()
    both = rank_by_both(replace(voted, forecasts=np.full((150, 3), np.nan)), cells)
    assert both.lambda_ == 0
    assert both.strengths == rank_by_votes(voted).strengths


def test_without_votes_there_is_no_table() -> None:
    voted, cells = data()
    both = rank_by_both(voted.select(np.zeros(150, dtype=bool)), cells)
    assert both.strengths == ()
    assert both.lambda_ is None
    assert both.notes[-1] == NO_VOTES


def test_without_preferences_it_is_the_table_by_votes() -> None:
    voted, _ = data()
    both = rank_by_both(voted, NOBODY)
    assert both.strengths == rank_by_votes(voted).strengths
    assert (both.lambda_, both.preferences) == (None, 0)
    assert both.notes[-1] == NO_PREFERENCES


def test_a_model_that_nobody_voted_on_is_not_in_the_table() -> None:
    voted, cells = data()
    voted, _ = only(voted, cells, [0, 1, 2, 3])
    both = rank_by_both(voted, cells)
    assert {one.model for one in both.strengths} == {"ant", "bee", "cat", "dog"}
    assert "1 not in this table, because nobody voted on them: elk" in both.notes
    assert both.lambda_
    assert both.preferences < 3_000


@pytest.mark.parametrize("lost", [0, 4])
def test_a_model_that_judges_never_saw_does_not_keep_the_others_from_gaining(lost: int) -> None:
    voted, cells = data(votes=300)
    others = [model for model in range(5) if model != lost]
    _, seen = only(voted, cells, others)
    both, alone = rank_by_both(voted, seen), rank_by_votes(voted)
    assert len(both.strengths) == 5
    assert both.lambda_
    assert np.mean(widths(both)) < np.mean(widths(alone))


def test_a_model_that_won_everything_has_no_rating_as_by_votes() -> None:
    voted, cells = data(votes=300)
    outcomes = np.where(voted.model_a == 0, 0, np.where(voted.model_b == 0, 1, voted.outcomes))
    both, alone = (
        table(replace(voted, outcomes=outcomes)) for table in (lambda v: rank_by_both(v, cells), rank_by_votes)
    )
    assert both.lambda_
    (mine,), (theirs,) = ([one for one in table.strengths if one.model == "ant"] for table in (both, alone))
    assert mine == theirs
    assert mine.rating is None
    assert mine.why_no_interval
    assert set(alone.notes) <= set(both.notes)


def test_style_is_held_constant_for_votes_and_judges_alike() -> None:
    voted, cells = data(votes=1_000, battles=20_000)
    both = rank_by_both(voted, cells, style_control=True)
    assert both.style_control
    assert STYLE_IN_BINS in both.notes
    length = next(effect for effect in both.style if effect.name == "length")
    assert length.lower is not None
    assert length.lower > 0
    assert np.mean(widths(both)) < 0.9 * np.mean(widths(rank_by_votes(voted, style_control=True)))


def test_style_that_never_differs_is_not_controlled_and_said_so() -> None:
    voted, cells = data()
    even = STYLE_BINS // 2 + 1 - STYLE_BINS % 2
    voted = replace(voted, style=np.zeros((150, 4)), cells=np.full(150, even))
    cells = replace(cells, cells=np.full(len(cells), even))
    both = rank_by_both(voted, cells, style_control=True)
    assert not both.style_control
    assert both.lambda_
    assert both.notes[0] == rank_by_votes(voted, style_control=True).notes[0]


def test_votes_and_cells_of_different_models_are_refused() -> None:
    voted, cells = data()
    with pytest.raises(ValueError, match="same `models`"):
        rank_by_both(voted, replace(cells, models=NAMES[::-1]))


PROBABILITIES = st.sampled_from(
    [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.2, 0.3, 0.5), (1 / 3, 1 / 3, 1 / 3), (np.nan, np.nan, np.nan)]
)
WEIGHTS = st.sampled_from([0.0, 1.0, 1.0, 1e-6, 1e6, np.nan, np.inf])
STYLES = st.sampled_from([-1.0, 0.0, 0.5, np.nan])


def draw_integers(draw: st.DrawFn, size: int, end: int) -> NDArray[np.intp]:
    return np.array(draw(st.lists(st.integers(0, end - 1), min_size=size, max_size=size)), dtype=np.intp)


def draw_floats(draw: st.DrawFn, size: int, of: st.SearchStrategy[Any]) -> NDArray[np.float64]:
    return np.array(draw(st.lists(of, min_size=size, max_size=size)), dtype=np.float64)


@st.composite
def anything(draw: st.DrawFn) -> tuple[VotedBattles, ForecastCells]:
    """Votes and cells that fit together in nothing but their models."""
    n, m = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    voted = VotedBattles(
        models=NAMES,
        model_a=draw_integers(draw, n, 5),
        model_b=draw_integers(draw, n, 5),
        outcomes=draw_integers(draw, n, 3),
        forecasts=draw_floats(draw, n, PROBABILITIES).reshape(n, 3),
        weights=draw_floats(draw, n, WEIGHTS),
        style=draw_floats(draw, 4 * n, STYLES).reshape(n, 4),
        cells=draw_integers(draw, n, STYLE_BINS),
        battles=draw_integers(draw, n, max(n, 1)),
    )
    a, b, bins = (draw_integers(draw, m, end) for end in (5, 5, STYLE_BINS))
    return voted, tally_forecasts(NAMES, a, b, bins, draw_floats(draw, m, PROBABILITIES).reshape(m, 3))


@given(anything(), st.booleans())
def test_no_data_whatever_make_it_fail(given_: tuple[VotedBattles, ForecastCells], style_control: bool) -> None:
    both = rank_by_both(*given_, style_control=style_control)
    for one in both.strengths:
        if one.rating is None:
            assert one.why_no_interval
        else:
            assert one.lower is not None
            assert one.upper is not None
            assert one.lower <= one.rating <= one.upper
            assert np.isfinite([one.lower, one.upper]).all()
