"""The judges by the votes of each hour or day."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import numpy as np

from prefstream.scoring.evaluation import metrics
from prefstream.scoring.evaluation.bootstrap import Estimate, Resamples
from prefstream.scoring.evaluation.metrics import weighted
from prefstream.scoring.moments import EPOCH, milliseconds
from prefstream.scoring.probabilities import Triples
from prefstream.scoring.trust.length import LengthVotes, fit_slopes
from prefstream.scoring.trust.results import StepName, TrustSlice, TrustTime
from prefstream.scoring.trust.votes import FEWEST_VOTES, TrustVotes

STEPS: Final[dict[StepName, timedelta]] = {"hour": timedelta(hours=1), "day": timedelta(days=1)}

_UNTOLD: Final = Estimate(value=None, low=None, high=None)


def measure_over_time(
    step: StepName, votes: TrustVotes, *, since: datetime, prior: Triples, resamples: int = 500, seed: int = 0
) -> TrustTime:
    """Hold the judges' forecasts of each hour's or day's votes against these, as `measure_window` does.

    Hours and days are those of UTC. Of one with fewer than `FEWEST_VOTES` there are no figures, and one without a
    counted vote is left out.

    Args:
        step: how long a slice is.
        votes: by time.
        since: votes before are of no slice.
        prior: shape (n, 3): before each of the votes, what whoever reads no battle would forecast.
        resamples: draws for the intervals.
        seed: of the draws.
    """
    length = STEPS[step] // timedelta(milliseconds=1)
    rows = votes.forecast_first & (votes.weights > 0) & (votes.voted_ms >= milliseconds(since))
    counted, prior = votes.at(rows), prior[rows]
    numbers = counted.voted_ms // length
    slices = []
    for number in np.unique(numbers).tolist():
        those = numbers == number
        slices.append(_slice(step, number, counted.at(those), prior[those], resamples, seed))
    return TrustTime(step=step, slices=tuple(slices))


def _slice(step: StepName, number: int, votes: TrustVotes, prior: Triples, resamples: int, seed: int) -> TrustSlice:
    draws = Resamples(votes.battles.tolist(), resamples=resamples, seed=seed)
    told = TrustSlice(
        start=EPOCH + number * STEPS[step],
        end=EPOCH + (number + 1) * STEPS[step],
        votes=len(votes),
        battles=draws.prompts,
        log_loss=_UNTOLD,
        accuracy=_UNTOLD,
        prior_log_loss=_UNTOLD,
        length_excess=None,
    )
    if len(votes) < FEWEST_VOTES:
        return told
    statistics = {
        "log_loss": metrics.log_loss(votes.forecasts, votes.outcomes),
        "accuracy": metrics.accuracy(votes.forecasts, votes.outcomes),
        "prior_log_loss": metrics.log_loss(prior, votes.outcomes),
    }
    slopes = fit_slopes(LengthVotes.of(votes))
    found = draws.estimate({name: weighted(one, votes.weights) for name, one in statistics.items()})
    return told.model_copy(update={**found, "length_excess": None if slopes is None else slopes.excess})
