"""The judges by hour and day: each slice is what a window of its votes would say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from prefstream.scoring.evaluation import metrics
from prefstream.scoring.trust.length import LengthVotes, fit_slopes
from prefstream.scoring.trust.over_time import measure_over_time
from prefstream.scoring.trust.prior import prequential_prior
from prefstream.scoring.trust.results import StepName, TrustTime
from prefstream.scoring.trust.votes import FEWEST_VOTES, TrustVotes
from tests.support.judged import make_trust_votes

MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)
MS = int(MIDNIGHT.timestamp() * 1_000)
HOUR_MS = 3_600_000


def at_hours(*counts: int, **columns: Any) -> TrustVotes:
    """So many votes in each hour from midnight on."""
    hours = np.repeat(np.arange(len(counts)), counts)
    within = np.concatenate([np.linspace(0, HOUR_MS - 1, count).astype(int) for count in counts])
    return make_trust_votes(len(hours), voted_ms=MS + HOUR_MS * hours + within, **columns)


def over_time(votes: TrustVotes, step: StepName = "hour", since: datetime = MIDNIGHT) -> TrustTime:
    prior = prequential_prior(votes.outcomes, votes.weights)
    return measure_over_time(step, votes, since=since, prior=prior, resamples=50)


def test_a_slice_has_the_figures_of_its_votes() -> None:
    votes = at_hours(80, 0, 120)
    prior = prequential_prior(votes.outcomes)
    told = over_time(votes)
    assert [(one.votes, one.battles) for one in told.slices] == [(80, 80), (120, 120)]
    assert [one.start for one in told.slices] == [MIDNIGHT, MIDNIGHT + timedelta(hours=2)]
    assert [one.end - one.start for one in told.slices] == [timedelta(hours=1)] * 2
    second = votes.at(np.arange(200) >= 80)
    one = told.slices[1]
    assert one.log_loss.value == metrics.log_loss(second.forecasts, second.outcomes).of_all()
    assert one.accuracy.value == metrics.accuracy(second.forecasts, second.outcomes).of_all()
    assert one.prior_log_loss.value == metrics.log_loss(prior[80:], second.outcomes).of_all()
    slopes = fit_slopes(LengthVotes.of(second))
    assert slopes is not None
    assert one.length_excess == slopes.excess
    for each in (one.log_loss, one.accuracy, one.prior_log_loss, one.length_excess):
        assert each.low is not None
        assert each.high is not None
        assert each.low < each.high


def test_a_day_has_the_votes_of_its_hours() -> None:
    votes = at_hours(*[5] * 48)
    day = over_time(votes, "day")
    assert [(one.start, one.votes) for one in day.slices] == [(MIDNIGHT, 120), (MIDNIGHT + timedelta(days=1), 120)]
    weights = [one.votes for one in day.slices]
    means = [one.log_loss.value or 0.0 for one in day.slices]
    assert np.average(means, weights=weights) == pytest.approx(
        metrics.log_loss(votes.forecasts, votes.outcomes).of_all()
    )


def test_a_vote_counts_only_where_the_forecast_came_first_and_it_weighs_something() -> None:
    votes = at_hours(100)
    published, weights = votes.published_ms.copy(), votes.weights.copy()
    published[:20], weights[20:30] = votes.voted_ms[:20], 0
    told = over_time(at_hours(100, published_ms=published, weights=weights))
    assert [one.votes for one in told.slices] == [70]
    assert over_time(at_hours(10, published_ms=MS + 10 * HOUR_MS + np.zeros(10, dtype=int))).slices == ()


def test_of_few_votes_their_number_alone_is_told() -> None:
    [few, enough] = over_time(at_hours(FEWEST_VOTES - 1, FEWEST_VOTES)).slices
    assert few.votes == FEWEST_VOTES - 1
    assert (few.log_loss.value, few.accuracy.value, few.prior_log_loss.value) == (None, None, None)
    assert few.length_excess is None
    assert enough.log_loss.value is not None


def test_votes_before_are_of_no_slice() -> None:
    told = over_time(at_hours(40, 40, 40), since=MIDNIGHT + timedelta(hours=1))
    assert [one.start.hour for one in told.slices] == [1, 2]
