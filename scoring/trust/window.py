"""The judges by the votes of one window of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

import numpy as np

from prefstream.scoring.evaluation import metrics
from prefstream.scoring.evaluation.bias import comparable, length_statistics
from prefstream.scoring.evaluation.bootstrap import Estimate, Resamples
from prefstream.scoring.evaluation.metrics import Statistic, difference, mean, share, weighted
from prefstream.scoring.evaluation.reliability import reliability_bins
from prefstream.scoring.probabilities import Triples
from prefstream.scoring.trust.length import measure_length
from prefstream.scoring.trust.results import (
    AgainstPrior,
    LongerWins,
    NotCounted,
    Quality,
    QualityOf,
    Shipped,
    TieRates,
    TrustWindow,
    WindowName,
)
from prefstream.scoring.trust.shipped import against_shipped
from prefstream.scoring.trust.votes import FEWEST_VOTES, TrustVotes

MOST_LANGUAGES: Final = 8


def measure_window(
    window: WindowName,
    votes: TrustVotes,
    *,
    since: datetime,
    until: datetime,
    prior: Triples,
    shipped: Shipped | None = None,
    resamples: int = 1_000,
    seed: int = 0,
) -> TrustWindow:
    """Hold the judges' forecasts against the votes that came after them.

    Battles are resampled, with all votes on each; the board knows no prompts, so where
    several battles share one the intervals are narrower than those of `evaluate`.

    Args:
        window: its name.
        votes: of the window, by time.
        since: its beginning.
        until: its end.
        prior: shape (n, 3): before each of the votes, what whoever reads no battle would forecast.
        shipped: figures to compare with.
        resamples: draws for the intervals and for what chance gives.
        seed: of the draws.
    """
    first, weighed = votes.forecast_first, votes.weights > 0
    rows = first & weighed
    counted, prior = votes.at(rows), prior[rows]
    told = TrustWindow(
        window=window,
        since=since,
        until=until,
        votes=len(counted),
        not_counted=NotCounted(forecast_not_first=int((~first).sum()), without_weight=int((first & ~weighed).sum())),
        panels=tuple(sorted({panel for panel in counted.panels if panel is not None})),
    )
    if len(counted) < FEWEST_VOTES:
        return told.model_copy(
            update={"why_nothing": f"not enough votes: {len(counted)} of the {FEWEST_VOTES} that figures need"}
        )
    draws = Resamples(counted.battles.tolist(), resamples=resamples, seed=seed)
    found = draws.estimate(
        {name: weighted(one, counted.weights) for name, one in (_quality(counted, prior) | _habits(counted)).items()}
    )
    quality = _told_quality(counted, found, draws)
    comparables = int(comparable(counted.outcomes, counted.characters_a, counted.characters_b).sum())
    return told.model_copy(
        update={
            "quality": quality,
            "against_shipped": None if shipped is None else against_shipped(quality, shipped),
            "reliability": reliability_bins(counted.forecasts, counted.outcomes, draws, weights=counted.weights),
            "longer_wins": None
            if not comparables
            else LongerWins(
                votes=comparables,
                people=found["human"],
                judges=found["predicted_mass"],
                excess=found["excess_mass"],
            ),
            "length": measure_length(counted, draws),
            "ties": TieRates(people=found["ties"], judges=found["judged ties"], excess=found["excess ties"]),
            "languages": tuple(_languages(counted, prior, draws)),
            "by_review": tuple(_by_review(counted, prior, draws)),
        }
    )


def _quality(votes: TrustVotes, prior: Triples) -> dict[str, Statistic]:
    forecasts, outcomes = votes.forecasts, votes.outcomes
    log_loss, accuracy = metrics.log_loss(forecasts, outcomes), metrics.accuracy(forecasts, outcomes)
    prior_log_loss, prior_accuracy = metrics.log_loss(prior, outcomes), metrics.accuracy(prior, outcomes)
    return {
        "log_loss": log_loss,
        "accuracy": accuracy,
        "calibration_error": metrics.calibration_error(forecasts, outcomes),
        "prior_log_loss": prior_log_loss,
        "prior_accuracy": prior_accuracy,
        "log_loss to prior": difference(log_loss, prior_log_loss),
        "accuracy to prior": difference(accuracy, prior_accuracy),
    }


def _habits(votes: TrustVotes) -> dict[str, Statistic]:
    """What judges and people tend to: longer answers, and ties."""
    length = length_statistics(votes.forecasts, votes.outcomes, votes.characters_a, votes.characters_b)
    ties, judged = share((votes.outcomes == 2).astype(np.float64)), mean(votes.forecasts[:, 2])
    return {
        **{name: length[name] for name in ("human", "predicted_mass", "excess_mass")},
        "ties": ties,
        "judged ties": judged,
        "excess ties": difference(judged, ties),
    }


def _told_quality(votes: TrustVotes, found: Mapping[str, Estimate], draws: Resamples) -> Quality:
    by_chance = metrics.calibration_error_by_chance(
        votes.forecasts, resamples=draws.resamples, seed=draws.seed, weights=votes.weights
    )
    return Quality(
        votes=len(votes),
        battles=draws.prompts,
        log_loss=found["log_loss"],
        accuracy=found["accuracy"],
        calibration_error=found["calibration_error"],
        calibration_error_by_chance=by_chance.mean,
        calibration_error_by_chance_95=by_chance.upper,
        against_prior=AgainstPrior(
            prior_log_loss=found["prior_log_loss"],
            prior_accuracy=found["prior_accuracy"],
            log_loss=found["log_loss to prior"],
            accuracy=found["accuracy to prior"],
        ),
    )


def _quality_of(value: str, votes: TrustVotes, prior: Triples, draws: Resamples) -> QualityOf:
    # Drawn anew among their own battles, as `evaluate` does with its slices.
    own = Resamples(votes.battles.tolist(), resamples=draws.resamples, seed=draws.seed)
    found = own.estimate({name: weighted(one, votes.weights) for name, one in _quality(votes, prior).items()})
    return QualityOf(value=value, quality=_told_quality(votes, found, own))


def _languages(votes: TrustVotes, prior: Triples, draws: Resamples) -> Iterator[QualityOf]:
    counts = Counter(language for language in votes.languages if language is not None)
    enough = [(count, language) for language, count in counts.items() if count >= FEWEST_VOTES]
    languages = np.array(votes.languages, dtype=object)
    for _, language in sorted(enough, key=lambda each: (-each[0], each[1]))[:MOST_LANGUAGES]:
        rows = languages == language
        yield _quality_of(language, votes.at(rows), prior[rows], draws)


def _by_review(votes: TrustVotes, prior: Triples, draws: Resamples) -> Iterator[QualityOf]:
    """Those asked for and the others, each as they are: weights would hide what they differ in."""
    if not votes.asked_for.any():
        return
    plain = replace(votes, weights=np.ones(len(votes)))
    for value, rows in (("asked for", votes.asked_for), ("not asked for", ~votes.asked_for)):
        if rows.sum() >= FEWEST_VOTES:
            yield _quality_of(value, plain.at(rows), prior[rows], draws)
