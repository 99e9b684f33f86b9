from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prefstream.scoring.strengths.bradley_terry import JUDGES_NOTE, NO_STYLE, rank_by_judges, rank_by_votes
from prefstream.scoring.strengths.comparisons import compare_votes
from prefstream.scoring.strengths.connectivity import NOBODY, connect
from prefstream.scoring.strengths.estimate import estimate
from prefstream.scoring.strengths.results import ELO_PER_NAT, Strength, Strengths
from prefstream.scoring.strengths.tallies import ForecastCells, VotedBattles, bin_style, tally_forecasts
from tests.support.drawn_votes import draw_votes, make_votes

SEEDS = st.integers(0, 2**32 - 1)


def some_votes(seed: int, count: int = 150, models: int = 5) -> VotedBattles:
    """With style, and with some battles that two or three people voted on."""
    generator = np.random.default_rng(seed)
    votes = draw_votes(generator.normal(0, 0.6, models), count, generator)
    style = np.clip(generator.normal(0, 0.5, (count, 4)), -1, 1)
    votes = replace(votes, style=style, weights=generator.choice([1.0, 2.5], count))
    again = votes.select(np.concatenate([np.arange(count), generator.integers(0, count, count // 10)]))
    return replace(again, outcomes=generator.permuted(again.outcomes) if seed % 2 else again.outcomes)


def certain(votes: VotedBattles) -> ForecastCells:
    """Forecasts that are certain of what was voted."""
    forecasts = np.eye(3)[votes.outcomes]
    return tally_forecasts(votes.models, votes.model_a, votes.model_b, votes.cells, forecasts)


def by_name(ranked: Strengths) -> dict[str, Strength]:
    return {row.model: row for row in ranked.strengths}


def numbers(rows: dict[str, Strength]) -> NDArray[np.float64]:
    return np.array([(row.rating, row.lower, row.upper) for _, row in sorted(rows.items())], dtype=np.float64)


def same(one: Strengths, other: Strengths) -> None:
    here, there = by_name(one), by_name(other)
    assert here.keys() == there.keys()
    np.testing.assert_allclose(numbers(here), numbers(there), atol=1e-6)
    for model, row in here.items():
        assert (row.rank_low, row.rank_high) == (there[model].rank_low, there[model].rank_high)
        assert row.battles == there[model].battles
        assert row.why_no_interval == there[model].why_no_interval
    np.testing.assert_allclose(
        [effect.coefficient for effect in one.style], [effect.coefficient for effect in other.style], atol=1e-8
    )


@pytest.mark.parametrize("style_control", [False, True])
@settings(max_examples=20)
@given(SEEDS)
def test_who_was_a_changes_nothing(style_control: bool, seed: int) -> None:
    votes = some_votes(seed)
    same(
        rank_by_votes(votes, style_control=style_control),
        rank_by_votes(votes.exchanged(), style_control=style_control),
    )


@pytest.mark.parametrize("style_control", [False, True])
@settings(max_examples=20)
@given(SEEDS)
def test_the_order_of_models_and_of_votes_changes_nothing(style_control: bool, seed: int) -> None:
    votes, generator = some_votes(seed), np.random.default_rng(seed)
    place = generator.permutation(len(votes.models))
    moved = replace(
        votes.select(generator.permutation(len(votes))),
        models=tuple(votes.models[old] for old in np.argsort(place)),
    )
    moved = replace(moved, model_a=place[moved.model_a], model_b=place[moved.model_b])
    same(
        rank_by_votes(votes, style_control=style_control),
        rank_by_votes(moved, style_control=style_control),
    )


@settings(max_examples=20)
@given(SEEDS, st.floats(0.01, 100))
def test_ratings_have_mean_1000_lie_in_their_intervals_and_know_no_unit_of_weight(seed: int, unit: float) -> None:
    votes = some_votes(seed)
    ranked = rank_by_votes(votes)
    same(ranked, rank_by_votes(replace(votes, weights=unit * votes.weights)))
    found = numbers(by_name(ranked))
    assert found[:, 0].mean() == pytest.approx(1000)
    assert (found[:, 1] < found[:, 0]).all()
    assert [row.rating for row in ranked.strengths] == sorted(found[:, 0].tolist(), reverse=True)
    for place, row in enumerate(ranked.strengths, start=1):
        assert row.rank_low is not None
        assert row.rank_high is not None
        assert row.rank_low <= place <= row.rank_high


@settings(max_examples=20)
@given(SEEDS)
def test_twice_the_battles_keep_ratings_and_narrow_intervals_by_the_root_of_two(seed: int) -> None:
    votes = some_votes(seed, count=400)
    twice = votes.select(np.concatenate([np.arange(len(votes))] * 2))
    twice = replace(twice, battles=np.concatenate([votes.battles, votes.battles + votes.battles.max() + 1]))
    one, two = numbers(by_name(rank_by_votes(votes))), numbers(by_name(rank_by_votes(twice)))
    np.testing.assert_allclose(one[:, 0], two[:, 0], atol=1e-6)
    narrower = (one[:, 2] - one[:, 1]) / (two[:, 2] - two[:, 1])
    np.testing.assert_allclose(narrower, np.sqrt(2), rtol=0.02)  # the correction for few battles is less with twice


@settings(max_examples=20)
@given(SEEDS)
def test_votes_that_agree_on_one_battle_do_not_narrow_intervals(seed: int) -> None:
    votes = some_votes(seed)
    same_battles = votes.select(np.concatenate([np.arange(len(votes))] * 2))
    same(rank_by_votes(votes), rank_by_votes(same_battles))


@settings(max_examples=20)
@given(SEEDS)
def test_judges_who_are_certain_say_what_the_votes_say(seed: int) -> None:
    votes = draw_votes(np.random.default_rng(seed).normal(0, 0.6, 5), 200, np.random.default_rng(seed))
    judged, voted = rank_by_judges(certain(votes)), rank_by_votes(votes)
    same(judged, voted)
    np.testing.assert_allclose(judged.win_rates, voted.win_rates)
    np.testing.assert_allclose(judged.observed, voted.observed)
    assert (judged.votes, judged.preferences) == (0, 200)
    assert (voted.votes, voted.preferences) == (200, 0)
    assert JUDGES_NOTE in judged.notes


def test_win_rates_are_predicted_and_observed_in_the_order_of_the_table() -> None:
    votes = make_votes([0, 1, 0, 2, 1, 1], [1, 0, 1, 1, 2, 2], [0, 0, 2, 0, 0, 2], models=3)
    ranked = rank_by_votes(votes)
    order = [row.model for row in ranked.strengths]
    there = np.array([order.index(model) for model in votes.models])
    observed, meetings = ranked.observed[np.ix_(there, there)], ranked.meetings[np.ix_(there, there)]
    np.testing.assert_allclose(observed[[0, 1, 1], [1, 0, 2]], [1.5 / 3, 1.5 / 3, 1.5 / 3])
    assert np.isnan(observed[0, 2])
    assert meetings[there.argsort()].sum() == 12
    ratings = [row.rating or 0.0 for row in ranked.strengths]
    assert ranked.win_rates[0, 2] == pytest.approx(1 / (1 + 10 ** ((ratings[2] - ratings[0]) / 400)))
    np.testing.assert_allclose(np.triu(ranked.win_rates, 1) + np.tril(ranked.win_rates, -1).T, np.triu(np.ones(3), 1))


def test_style_that_decides_is_taken_out() -> None:
    """The long-winded model is as good as the others, and wins by length."""
    generator = np.random.default_rng(11)
    votes = draw_votes(np.zeros(4), 6000, generator)
    style = np.zeros((6000, 4))
    style[:, 0] = np.clip(generator.normal(0, 0.2, 6000), -0.5, 0.5)
    style[:, 0] += 0.4 * ((votes.model_a == 0).astype(float) - (votes.model_b == 0))
    longer = generator.random(6000) < 1 / (1 + np.exp(-2.0 * style[:, 0]))
    cells = np.where(style[:, 0] > 0.08, 14, np.where(style[:, 0] < -0.08, 8, 11))
    votes = replace(votes, style=style, outcomes=1 - longer.astype(np.intp), cells=cells)
    raw, held = by_name(rank_by_votes(votes)), rank_by_votes(votes, style_control=True)
    assert (raw["m000"].lower or 0) > 1040
    assert held.style_control
    assert [effect.name for effect in held.style] == ["length"]
    effect = held.style[0].coefficient / np.sqrt(np.mean(style[:, 0] ** 2))
    assert effect == pytest.approx(2.0, abs=0.3)
    for row in held.strengths:
        assert abs((row.rating or 0) - 1000) < 20
    judged = rank_by_judges(certain(votes), style_control=True)
    assert judged.style_control
    assert [effect.name for effect in judged.style] == ["length"]
    assert abs((by_name(judged)["m000"].rating or 0) - 1000) < abs((raw["m000"].rating or 0) - 1000) / 2


def test_votes_without_style_are_left_out_of_style_control_and_counted() -> None:
    votes = some_votes(4)
    style = votes.style.copy()
    style[:30] = np.nan
    ranked = rank_by_votes(replace(votes, style=style), style_control=True)
    assert ranked.votes == len(votes) - 30
    assert "30 votes left out: their style is not known" in ranked.notes
    cells = tally_forecasts(
        votes.models, votes.model_a, votes.model_b, np.arange(len(votes)) % 22, np.eye(3)[votes.outcomes]
    )
    judged = rank_by_judges(cells, style_control=True)
    assert judged.preferences + round(cells.counts[cells.cells == 0].sum()) == len(votes)
    assert f"{round(cells.counts[cells.cells == 0].sum())} battles left out: their style is not known" in judged.notes


@pytest.mark.parametrize(
    "style",
    [np.full((60, 4), np.nan), np.zeros((60, 4)), np.array([1.0, 0, 0, 0]) * np.resize([1, -1], 60)[:, None]],
    ids=["unknown", "alike", "tells every outcome"],
)
def test_where_style_can_not_be_held_constant_it_is_not_and_that_is_said(style: NDArray[np.float64]) -> None:
    votes = make_votes(np.arange(60) // 2 % 3, (np.arange(60) // 2 + 1) % 3, np.arange(60) % 2, models=3, style=style)
    ranked = rank_by_votes(votes, style_control=True)
    assert not ranked.style_control
    assert ranked.style == ()
    assert NO_STYLE in ranked.notes
    same(ranked, rank_by_votes(votes))
    cells = tally_forecasts(votes.models, votes.model_a, votes.model_b, votes.cells, np.eye(3)[votes.outcomes])
    assert not rank_by_judges(cells, style_control=True).style_control
    assert not np.isfinite(bin_style(cells.cells)).any()


def test_style_that_one_battle_alone_has_is_not_held_constant_and_the_rest_is() -> None:
    """Who had the heading won: no finite worth of headings fits that better than a greater one."""
    style = np.zeros((60, 4))
    style[:, 0] = np.resize([0.3, -0.2, 0.1, 0.4, -0.3, -0.1, 0.2], 60)
    style[7, 1] = -0.5
    votes = make_votes(np.arange(60) // 2 % 3, (np.arange(60) // 2 + 1) % 3, np.arange(60) % 2, models=3, style=style)
    ranked = rank_by_votes(votes, style_control=True)
    assert [line.name for line in ranked.style] == ["length"]
    assert ranked.notes == ("headings not held constant: too few battles tell what it is worth",)
    style[7, 1] = 0
    same(ranked, rank_by_votes(replace(votes, style=style), style_control=True))


def test_of_nothing_there_is_an_empty_table() -> None:
    nothing = make_votes([], [], [], models=0)
    for ranked in (rank_by_votes(nothing, style_control=True), rank_by_judges(certain(nothing), style_control=True)):
        assert ranked.strengths == ()
        assert ranked.win_rates.shape == ranked.observed.shape == ranked.meetings.shape == (0, 0)


@pytest.mark.parametrize(
    ("pairs", "outcomes", "rated"),
    [
        ([(0, 0)], [0], 0),
        ([(0, 1)], [0], 0),
        ([(0, 1)], [2], 2),
        ([(0, 1), (1, 0)], [0, 0], 2),
        ([(0, 1)] * 50, [2] * 50, 2),
        ([(0, 1), (1, 2), (2, 3)], [2, 2, 2], 4),
        ([(0, 1)] * 50 + [(1, 2)], [2] * 50 + [0], 2),
    ],
    ids=["one model", "one vote", "one tie", "one win each", "all ties", "a chain of ties", "a loser"],
)
def test_few_votes_are_told_as_what_they_are(pairs: list[tuple[int, int]], outcomes: list[int], rated: int) -> None:
    first, second = np.array(pairs).T
    ranked = rank_by_votes(make_votes(first, second, np.array(outcomes), models=6))
    with_rating = [row for row in ranked.strengths if row.rating is not None]
    assert len(with_rating) == rated
    for row in with_rating:
        assert row.why_no_interval is None
        assert row.lower is not None
        assert row.upper is not None
        assert row.upper - row.lower > 10
    for row in ranked.strengths[rated:]:
        assert row.why_no_interval
        assert (row.lower, row.upper, row.rank_low, row.rank_high) == (None,) * 4
    assert np.isfinite(ranked.win_rates).sum() == rated * (rated - 1)


def test_one_vote_says_why_it_rates_nobody() -> None:
    ranked = rank_by_votes(make_votes([0], [1], [0], models=2))
    assert [row.why_no_interval for row in ranked.strengths] == [NOBODY, NOBODY]
    assert ranked.notes == (
        "2 without a rating: m000; m001",
        "pairs in which one won every battle, and nothing else ties them together: m000 over m001",
    )


def test_weights_from_nothing_to_almost_infinite_break_nothing() -> None:
    votes = replace(some_votes(3), weights=np.resize([0.0, np.nan, -1.0, 1e-12, 1.0, 1e12], 165))
    ranked = rank_by_votes(votes)
    assert ranked.votes == 81
    assert "84 votes left out: of a model with itself, or of no weight" in ranked.notes
    assert len(ranked.strengths) == 5


def test_forecasts_that_are_no_numbers_are_left_out() -> None:
    cells = certain(some_votes(3))
    sums = cells.sums.copy()
    sums[0] = np.nan
    assert rank_by_judges(replace(cells, sums=sums)).preferences == 165 - round(cells.counts[0])


def coverage(repetitions: int, models: int, votes: int) -> NDArray[np.float64]:
    """Share of repetitions in which each model's interval holds its true strength, of those in which all are rated."""
    generator = np.random.default_rng(8)
    truth = generator.normal(0, 0.6, models)
    truth -= truth.mean()
    hits = []
    for _ in range(repetitions):
        rows = compare_votes(draw_votes(truth, votes, generator), style_control=False)
        if len(connect(rows.wins()).rated) < models:
            continue
        found = estimate(rows)
        assert found is not None
        hits.append(np.abs(found.strengths - truth) <= 1.959964 * np.sqrt(np.diag(found.covariance)))
    assert len(hits) > 0.6 * repetitions
    shares: NDArray[np.float64] = np.mean(hits, axis=0)
    return shares


def test_intervals_cover_the_truth() -> None:
    assert 0.93 <= coverage(150, models=20, votes=1000).mean() <= 0.97


@pytest.mark.long
@pytest.mark.parametrize("votes", [250, 1000])
def test_intervals_cover_the_truth_of_each_model(votes: int) -> None:
    covered = coverage(2000, models=20, votes=votes)
    assert 0.945 <= covered.mean() <= 0.96
    assert 0.93 <= covered.min() <= covered.max() <= 0.97


def test_points_are_those_of_elo() -> None:
    votes = make_votes(np.zeros(11), np.ones(11), np.array([0] * 10 + [1]), models=2)
    one, other = rank_by_votes(votes).strengths
    assert (one.rating or 0) - (other.rating or 0) == pytest.approx(400)
    assert pytest.approx(173.7178) == ELO_PER_NAT
