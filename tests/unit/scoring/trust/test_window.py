"""The judges by the votes of a window, by hand and against evaluation's own metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefstream.scoring.evaluation import metrics
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.trust.prior import prequential_prior
from prefstream.scoring.trust.results import Quality, Shipped, TrustWindow
from prefstream.scoring.trust.votes import FEWEST_VOTES, TrustVotes
from prefstream.scoring.trust.window import measure_window
from tests.support.judged import make_trust_votes

SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)


def measure(votes: TrustVotes, **options: Any) -> TrustWindow:
    options = {"resamples": 100, "prior": prequential_prior(votes.outcomes, votes.weights), **options}
    return measure_window("day", votes, since=SINCE, until=UNTIL, **options)


def quality_of(found: TrustWindow) -> Quality:
    assert found.why_nothing is None
    assert found.quality is not None
    return found.quality


def numbers(payload: Any) -> Iterator[float]:
    """Every number of a payload, at any depth."""
    if isinstance(payload, dict):
        payload = list(payload.values())
    if isinstance(payload, list | tuple):
        for one in payload:
            yield from numbers(one)
    elif isinstance(payload, float):
        yield payload


def test_the_figures_are_those_of_evaluation() -> None:
    votes = make_trust_votes(400)
    quality = quality_of(measure(votes))
    for name in ("log_loss", "accuracy", "calibration_error"):
        assert getattr(quality, name).value == getattr(metrics, name)(votes.forecasts, votes.outcomes).of_all()
    by_chance = metrics.calibration_error_by_chance(votes.forecasts, resamples=100, seed=0)
    assert (quality.calibration_error_by_chance, quality.calibration_error_by_chance_95) == by_chance
    assert quality.calibration_error_by_chance < quality.calibration_error_by_chance_95


def test_a_perfect_panel_is_better_than_the_prior_and_a_constant_one_is_not() -> None:
    perfect = quality_of(measure(make_trust_votes(800))).against_prior.log_loss
    assert perfect.high is not None
    assert perfect.high < 0
    sure = np.tile([0.9, 0.05, 0.05], (800, 1))
    constant = quality_of(measure(make_trust_votes(800, forecasts=sure, outcomes=np.arange(800) % 3)))
    assert constant.against_prior.log_loss.low is not None
    assert constant.against_prior.log_loss.low > 0
    assert (constant.calibration_error.low or 0.0) > constant.calibration_error_by_chance_95


def test_a_vote_is_scored_only_by_what_was_published_before_it() -> None:
    votes = make_trust_votes(100)
    late = votes.published_ms.copy()
    late[::4] = votes.voted_ms[::4]
    found = measure(make_trust_votes(100, published_ms=late))
    assert (found.votes, found.not_counted.forecast_not_first) == (75, 25)
    first = votes.at(np.arange(100) % 4 != 0)
    assert quality_of(found).log_loss.value == metrics.log_loss(first.forecasts, first.outcomes).of_all()


@pytest.mark.parametrize("count", [0, 1, FEWEST_VOTES - 1])
def test_of_too_few_votes_nothing_is_said(count: int) -> None:
    found = measure(make_trust_votes(count))
    assert found.why_nothing == f"not enough votes: {count} of the 30 that figures need"
    assert (found.quality, found.longer_wins, found.length, found.ties, found.reliability) == (None,) * 4 + ((),)


def test_votes_on_one_battle_are_resampled_together() -> None:
    """Every battle three times is no more than every battle once."""
    votes = make_trust_votes(300)
    thrice = np.repeat(np.arange(100), 3)
    tripled = quality_of(measure(votes.at(np.isin(np.arange(300), thrice)), resamples=1_000))
    made = {
        name: getattr(votes, name)[thrice]
        for name in ("outcomes", "forecasts", "characters_a", "characters_b", "published_ms", "voted_ms")
    }
    clustered = quality_of(measure(make_trust_votes(300, battles=thrice, **made), resamples=1_000))
    single = quality_of(measure(make_trust_votes(300, battles=np.arange(300), **made), resamples=1_000))
    assert (clustered.votes, clustered.battles) == (300, 100)
    assert clustered.log_loss.value == single.log_loss.value
    widths = [(one.log_loss.high or 0) - (one.log_loss.low or 0) for one in (clustered, single, tripled)]
    assert widths[0] == pytest.approx(widths[1] * math.sqrt(3), rel=0.2)


def test_exchanging_sides_changes_no_figure() -> None:
    votes = make_trust_votes(200)
    exchanged = make_trust_votes(
        200,
        forecasts=votes.forecasts[:, [1, 0, 2]],
        outcomes=np.array([1, 0, 2])[votes.outcomes],
        characters_a=votes.characters_b,
        characters_b=votes.characters_a,
    )
    one, other = (list(numbers(measure(each).model_dump())) for each in (votes, exchanged))
    assert one == pytest.approx(other, abs=1e-9)


def test_judges_that_like_length_more_than_people_do_are_found() -> None:
    draw = np.random.default_rng(0)
    lengths = draw.integers(10, 4_000, (2, 600)).astype(float)
    for_a = np.where(lengths[0] > lengths[1], 0.8, 0.2)
    forecasts = np.stack([for_a, 1 - for_a, np.zeros(600)], axis=1)
    found = measure(
        make_trust_votes(
            600,
            forecasts=forecasts,
            outcomes=draw.integers(0, 2, 600),
            characters_a=lengths[0],
            characters_b=lengths[1],
        )
    ).longer_wins
    assert found is not None
    assert found.judges.value == pytest.approx(0.8)
    assert found.people.value == pytest.approx(0.5, abs=0.05)
    assert found.excess.low is not None
    assert found.excess.low > 0.2


def test_lengths_that_nobody_knows_count_for_no_side() -> None:
    unknown = np.full(100, np.nan)
    votes = make_trust_votes(100, outcomes=np.zeros(100, dtype=int), characters_a=unknown)
    assert measure(votes).longer_wins is None


def test_ties_of_judges_stand_beside_those_of_people() -> None:
    forecasts = np.tile([0.4, 0.4, 0.2], (100, 1))
    found = measure(make_trust_votes(100, forecasts=forecasts, outcomes=2 * (np.arange(100) % 2))).ties
    assert found is not None
    assert found.people.value == 0.5
    assert found.judges.value == pytest.approx(0.2)
    assert found.excess.value == pytest.approx(-0.3)


def test_languages_with_enough_votes_are_told_by_their_number() -> None:
    languages = ["en"] * 60 + ["de"] * 40 + ["fr"] * 29 + [None] * 71
    votes = make_trust_votes(200, languages=languages)
    found = measure(votes)
    assert [(each.value, each.quality.votes) for each in found.languages] == [("en", 60), ("de", 40)]
    german = votes.at(np.array([language == "de" for language in languages]))
    assert found.languages[1].quality.log_loss.value == metrics.log_loss(german.forecasts, german.outcomes).of_all()


def biased_by_review(count: int = 4_000) -> TrustVotes:
    """Half of the battles are hard, and of these every one is reviewed; of the others one in ten."""
    draw = np.random.default_rng(1)
    hard = np.arange(count) % 2 == 0
    forecasts = np.where(hard[:, None], [0.34, 0.33, 0.33], [0.9, 0.05, 0.05])
    chosen_with = np.where(hard, 1.0, 0.1)
    chosen = draw.random(count) < chosen_with
    outcomes = (draw.random(count)[:, None] > forecasts.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    weights = 1 / chosen_with
    return make_trust_votes(count, forecasts=forecasts, outcomes=outcomes, weights=weights, asked_for=chosen).at(chosen)


def test_votes_that_were_asked_for_weigh_what_makes_them_speak_for_all() -> None:
    votes = biased_by_review()
    truth = -(np.log([0.34, 0.33, 0.33]) @ [0.34, 0.33, 0.33] + np.log([0.9, 0.05, 0.05]) @ [0.9, 0.05, 0.05]) / 2
    weighed, plain = (quality_of(measure(each)) for each in (votes, replace(votes, weights=np.ones(len(votes)))))
    assert plain.log_loss.low is not None
    assert plain.log_loss.low > truth + 0.1
    assert (weighed.log_loss.low or 9.0) < truth < (weighed.log_loss.high or 0.0)


def test_votes_without_weight_are_left_out_and_told() -> None:
    votes = make_trust_votes(200, weights=np.where(np.arange(200) < 80, 0.0, 1.0))
    found = measure(votes)
    assert (found.votes, found.not_counted.without_weight) == (120, 80)
    assert quality_of(found).log_loss == quality_of(measure(votes.at(np.arange(200) >= 80))).log_loss


def test_votes_that_were_asked_for_stand_beside_the_others_as_they_are() -> None:
    votes = make_trust_votes(200, asked_for=np.arange(200) < 80, weights=np.linspace(1, 9, 200))
    beside = measure(votes).by_review
    assert [(each.value, each.quality.votes) for each in beside] == [("asked for", 80), ("not asked for", 120)]
    asked = votes.at(votes.asked_for)
    assert beside[0].quality.log_loss.value == metrics.log_loss(asked.forecasts, asked.outcomes).of_all()
    assert measure(make_trust_votes(200)).by_review == ()


def test_shipped_figures_are_compared_with() -> None:
    good = Estimate(value=0.5, low=0.45, high=0.55)
    shipped = Shipped(
        file="test.jsonl",
        version="0",
        battles=300,
        log_loss=good,
        accuracy=Estimate(value=0.8, low=0.75, high=0.85),
        calibration_error=Estimate(value=0.03, low=0.02, high=0.06),
        calibration_error_by_chance=0.03,
        longer_excess=None,
    )
    found = measure(make_trust_votes(400), shipped=shipped)
    against = found.against_shipped
    assert against is not None
    assert against.log_loss.value == pytest.approx((quality_of(found).log_loss.value or 0.0) - 0.5)
    assert against.log_loss.low is not None
    assert against.log_loss.low > 0
    assert measure(make_trust_votes(400)).against_shipped is None


few = st.integers(0, 2)
drawn_votes = st.integers(FEWEST_VOTES, 60).flatmap(
    lambda count: st.tuples(
        st.lists(few, min_size=count, max_size=count),
        st.lists(st.sampled_from([0, 1, 2]), min_size=count, max_size=count),
        st.lists(st.sampled_from([0.0, 5.0, math.nan]), min_size=count, max_size=count),
    )
)


@settings(max_examples=40, deadline=None)
@given(drawn_votes)
def test_whatever_people_said_there_is_no_number_in_the_payload_that_is_none(
    drawn: tuple[list[int], list[int], list[float]],
) -> None:
    """Constant verdicts, certain forecasts, equal or unknown lengths: JSON has no NaN."""
    outcomes, certain, lengths = drawn
    count = len(outcomes)
    found = measure(
        make_trust_votes(
            count, outcomes=outcomes, forecasts=np.eye(3)[certain], characters_a=lengths, characters_b=lengths[::-1]
        ),
        resamples=20,
    )
    assert all(map(math.isfinite, numbers(found.model_dump())))
    assert TrustWindow.model_validate_json(orjson.dumps(found.model_dump(mode="json"))) == found
