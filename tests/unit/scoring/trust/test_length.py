"""The length slope: against what it was drawn from, and what it must not depend on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from prefstream.scoring.evaluation.bootstrap import Resamples
from prefstream.scoring.trust.length import EDGES, LengthVotes, Slopes, fit_slopes, measure_length
from prefstream.scoring.trust.results import LengthSlope
from prefstream.scoring.trust.votes import FEWEST_VOTES, TrustVotes
from tests.support.judged import make_trust_votes

SWAP = [1, 0, 2]


def drawn(count: int, *, people: float, judges: float, seed: int = 0, **columns: Any) -> TrustVotes:
    """Votes drawn by one slope, and forecasts whose mean is by another."""
    draw = np.random.default_rng(seed)
    lengths = np.exp(draw.normal(6, 0.8, (2, count))).round() + 1
    doublings = np.log2(lengths[0] / lengths[1])
    luck = draw.random(count)
    outcomes = np.where(luck < expit(people * doublings), 0, 1)
    mean, certainty = expit(judges * doublings), 4.0
    for_a = draw.beta(certainty * mean, certainty * (1 - mean)).clip(1e-9, 1 - 1e-9)
    return make_trust_votes(
        count,
        outcomes=outcomes,
        forecasts=np.stack([0.8 * for_a, 0.8 * (1 - for_a), np.full(count, 0.2)], axis=1),
        characters_a=lengths[0],
        characters_b=lengths[1],
        **columns,
    )


def slopes_of(votes: TrustVotes) -> Slopes:
    found = fit_slopes(LengthVotes.of(votes))
    assert found is not None
    return found


def measured(votes: TrustVotes, *, resamples: int = 100) -> LengthSlope | None:
    return measure_length(votes, Resamples(votes.battles.tolist(), resamples=resamples))


def ends(found: Slopes) -> list[float | None]:
    return [end for one in (found.people, found.judges, found.excess) for end in (one.value, one.low, one.high)]


@pytest.mark.parametrize(("people", "judges"), [(0.3, 0.8), (0.0, 0.0), (0.6, -0.2)])
def test_slopes_are_those_that_the_votes_were_drawn_from(people: float, judges: float) -> None:
    found = slopes_of(drawn(20_000, people=people, judges=judges))
    truths = (people, judges, judges - people)
    for one, truth in zip((found.people, found.judges, found.excess), truths, strict=True):
        assert one.value == pytest.approx(truth, abs=0.06)
        assert one.low is not None
        assert one.high is not None
        assert one.high - one.low < 0.15


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-2, 2))
def test_exchanging_sides_changes_nothing_not_even_the_last_digit(seed: int, slope: float) -> None:
    votes = drawn(60, people=slope, judges=-slope, seed=seed)
    which = np.random.default_rng(seed).random(60) < 0.5
    exchanged = make_trust_votes(
        60,
        outcomes=np.where(which, 1 - votes.outcomes, votes.outcomes),
        forecasts=np.where(which[:, None], votes.forecasts[:, SWAP], votes.forecasts),
        characters_a=np.where(which, votes.characters_b, votes.characters_a),
        characters_b=np.where(which, votes.characters_a, votes.characters_b),
    )
    assert measured(votes) == measured(exchanged)


def test_judges_that_say_what_people_said_have_no_excess_however_few_votes_there_are() -> None:
    """Of the same battles: what is uncertain of both is certain of their difference."""
    votes = drawn(60, people=0.5, judges=0.5)
    found = slopes_of(make_trust_votes(
        60, outcomes=votes.outcomes, forecasts=np.eye(3)[votes.outcomes],
        characters_a=votes.characters_a, characters_b=votes.characters_b,
    ))  # fmt: skip
    assert found.judges == found.people
    assert (found.excess.value, found.excess.low, found.excess.high) == (0.0, 0.0, 0.0)
    assert found.people.high is not None
    assert found.people.low is not None
    assert found.people.high - found.people.low > 0.5


def test_votes_on_one_battle_are_no_more_than_one() -> None:
    once = drawn(300, people=0.5, judges=0.8)
    thrice = np.repeat(np.arange(300), 3)
    names = ("outcomes", "forecasts", "characters_a", "characters_b")
    tripled = make_trust_votes(900, battles=thrice, **{name: getattr(once, name)[thrice] for name in names})
    assert ends(slopes_of(tripled)) == pytest.approx(ends(slopes_of(once)), abs=1e-9)


def test_a_weight_is_as_many_votes() -> None:
    weights = 1.0 + np.arange(100) % 3
    one = slopes_of(drawn(100, people=0.5, judges=0.8, weights=weights))
    rows = np.repeat(np.arange(100), weights.astype(int))
    plain = drawn(100, people=0.5, judges=0.8)
    names = ("outcomes", "forecasts", "characters_a", "characters_b")
    several = make_trust_votes(len(rows), battles=rows, **{name: getattr(plain, name)[rows] for name in names})
    assert ends(one) == pytest.approx(ends(slopes_of(several)), abs=1e-9)


@pytest.mark.parametrize("winner", [0, 1])
def test_where_the_longer_always_or_never_wins_there_is_no_slope(winner: int) -> None:
    lengths = np.tile([200.0, 100.0], (50, 1)) + np.arange(50)[:, None]
    columns: dict[str, Any] = {
        "outcomes": np.full(50, winner),
        "characters_a": lengths[:, 0],
        "characters_b": lengths[:, 1],
    }
    found = measured(make_trust_votes(50, **columns))
    assert found is not None
    assert (found.people.value, found.excess.value) == (None, None)
    assert found.judges.value is not None
    assert [one.people.value for one in found.bins] == [1.0 - winner] * len(found.bins)


def test_what_says_nothing_of_length_is_left_out() -> None:
    """Ties, equal and unknown lengths, an empty answer, and what weighs nothing."""
    votes = drawn(200, people=0.5, judges=0.5)
    outcomes, a, weights = votes.outcomes.copy(), votes.characters_a.copy(), votes.weights.copy()
    outcomes[:10], a[10:20], a[20:30], a[30:40], weights[40:50] = 2, votes.characters_b[10:20], math.nan, 0, 0
    columns: dict[str, Any] = {"forecasts": votes.forecasts, "characters_b": votes.characters_b}
    found = make_trust_votes(200, outcomes=outcomes, characters_a=a, weights=weights, **columns)
    assert ends(slopes_of(found)) == ends(slopes_of(votes.at(np.arange(200) >= 50)))


@pytest.mark.parametrize(("count", "told"), [(0, False), (FEWEST_VOTES - 1, False), (FEWEST_VOTES, True)])
def test_of_too_few_votes_nothing_is_said(count: int, *, told: bool) -> None:
    assert (measured(drawn(count, people=0.1, judges=0.1)) is not None) is told


def test_bins_are_all_votes_by_how_much_longer_the_longer_answer_is() -> None:
    votes = drawn(2_000, people=0.7, judges=0.7, weights=1.0 + np.arange(2_000) % 2)
    found = measured(votes)
    assert found is not None
    assert sum(one.votes for one in found.bins) == found.votes
    assert [one.low for one in found.bins] == list(EDGES[:-1])
    assert [one.high for one in found.bins] == [*EDGES[1:-1], None]
    for one in found.bins:
        assert one.low <= one.mean <= (one.high or math.inf)
        assert one.people.low is not None
        assert one.people.high is not None
        expected = expit(0.7 * one.mean)
        assert one.people.low - 0.05 <= expected <= one.people.high + 0.05
        assert one.judges == pytest.approx(expected, abs=0.08)


def test_a_bin_is_the_share_of_its_votes() -> None:
    votes = drawn(400, people=0.7, judges=0.3)
    found = measured(votes)
    assert found is not None
    those = LengthVotes.of(votes)
    for one in found.bins:
        rows = (those.doublings >= one.low) & (those.doublings < (one.high or math.inf))
        assert one.votes == rows.sum()
        assert one.people.value == pytest.approx(those.won[rows].mean())
        assert one.judges == pytest.approx(those.judged[rows].mean())


lengths = st.sampled_from([0.0, 1.0, 100.0, 100.5, 1e9, math.nan])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), lengths, lengths), min_size=30, max_size=40))
def test_whatever_was_said_there_is_no_number_that_is_none(rows: list[tuple[int, int, float, float]]) -> None:
    outcomes, certain, characters_a, characters_b = (np.array(column) for column in zip(*rows, strict=True))
    forecasts: NDArray[np.float64] = np.eye(3)[certain]
    found = measured(
        make_trust_votes(
            len(rows), outcomes=outcomes, forecasts=forecasts, characters_a=characters_a, characters_b=characters_b
        ),
        resamples=20,
    )
    if found is not None:
        assert LengthSlope.model_validate_json(found.model_dump_json()) == found
        assert all(math.isfinite(end) for one in (found.people, found.judges, found.excess) for end in
                   (one.value, one.low, one.high) if end is not None)  # fmt: skip
