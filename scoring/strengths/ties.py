"""Ties as an outcome of their own, beside Bradley-Terry, where they count half.

Davidson's model (1970, "On Extending the Bradley-Terry Model to Accommodate Ties in Paired Comparison Experiments",
JASA 65) has one parameter more: how readily people call a tie, which then depends on how near two models are. Its
strengths order models nearly as Bradley-Terry's do, and are spread out more: they are log-odds of the battles that
somebody won.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from prefstream.scoring.probabilities import Triples, log_losses
from prefstream.scoring.strengths.comparisons import compare_votes, usable_votes
from prefstream.scoring.strengths.connectivity import connect
from prefstream.scoring.strengths.davidson import davidson_probabilities, fit_davidson
from prefstream.scoring.strengths.results import ELO_PER_NAT, MEAN_RATING
from prefstream.scoring.strengths.tallies import VotedBattles


@dataclass(frozen=True, slots=True)
class TieFit:
    """Davidson's model of votes, and how both models fit them."""

    ratings: tuple[tuple[str, float], ...]
    """Models and their ratings by Davidson's model, best first; Elo points with mean 1000."""
    ties_among_equals: float
    """Predicted share of ties between two models of equal strength, 0 to 1."""
    log_loss: float
    """Mean over votes of Davidson's model, in nats; of the votes that it was fitted to."""
    log_loss_bradley_terry: float
    """Likewise of Bradley-Terry fitted to the votes that somebody won, with the overall share of ties for each pair:
    what is said where ties have nothing to do with strength."""
    votes: int
    """Between the models that have ratings."""


def fit_ties(votes: VotedBattles) -> TieFit | None:
    """Fit Davidson's model to votes, of the models that have a finite strength by Bradley-Terry.

    Args:
        votes: weighted as they come.

    Returns:
        None where no model has a finite strength.
    """
    votes = usable_votes(votes)
    rows = compare_votes(votes, style_control=False)
    rated = connect(rows.wins()).rated
    if not len(rated):
        return None
    place = np.full(len(votes.models), -1, dtype=np.intp)
    place[rated] = np.arange(len(rated))
    votes = votes.select(np.flatnonzero((place[votes.model_a] >= 0) & (place[votes.model_b] >= 0)))
    one, other = place[votes.model_a], place[votes.model_b]
    first, second, outcomes = _by_pair(one, other, votes, len(rated))
    fitted = fit_davidson(first, second, outcomes, count=len(rated))
    mass = votes.weights / votes.weights.sum()
    tied = float(mass @ (votes.outcomes == 2))
    won = fit_davidson(first, second, outcomes * [1, 1, 0], count=len(rated)).strengths
    wins = expit(won[one] - won[other])
    apart = np.stack([(1 - tied) * wins, (1 - tied) * (1 - wins), np.full(len(wins), tied)], axis=1)
    forecast = davidson_probabilities(fitted, one, other)
    order = np.argsort(-fitted.strengths, kind="stable")
    here = np.arange(len(votes)), votes.outcomes
    return TieFit(
        ratings=tuple(
            (votes.models[rated[model]], float(MEAN_RATING + ELO_PER_NAT * fitted.strengths[model])) for model in order
        ),
        ties_among_equals=float(expit(fitted.log_v - np.log(2))),
        log_loss=float(mass @ log_losses(forecast[here])),
        log_loss_bradley_terry=float(mass @ log_losses(apart[here])),
        votes=len(votes),
    )


def _by_pair(
    one: NDArray[np.intp], other: NDArray[np.intp], votes: VotedBattles, count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], Triples]:
    """Votes summed by ordered pair: both models, and the weight of each outcome."""
    pairs, number = np.unique(one * count + other, return_inverse=True)
    outcomes = np.zeros((len(pairs), 3))
    np.add.at(outcomes, (number, votes.outcomes), votes.weights)
    return pairs // count, pairs % count, outcomes
