"""Metrics as sums over battles.

Every metric here follows from sums over the battles that it is about. So a resample costs a matrix product, whatever
the metric: `bootstrap` needs the sums of each prompt once, and how often each prompt was drawn.

Where several outcomes are equally probable, each counts as predicted by its share: exchanging A and B in every battle
and its label leaves all metrics as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.probabilities import Triples, credit, log_losses

CALIBRATION_BINS: Final = 10
"""Equal-width bins of the top outcome's probability, as the literature has it."""

CHANCE: Final = 0.95
"""Quantile of what a perfectly calibrated forecaster would show: above it, a calibration error is hardly chance."""


@dataclass(frozen=True, slots=True, eq=False)
class Statistic:
    """A number about n battles that follows from sums over them.

    Attributes:
        columns: shape (n, k): what is summed.
        value: from sums of shape (..., k) to the number, shape (...); NaN where it isn't defined.
        counted: which battles take part.
        share: a share of battles: where none of them or all did, resampling can't say how far that is from certain.
    """

    columns: NDArray[np.float64]
    value: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    counted: NDArray[np.bool_] | None = None
    share: bool = False

    def of_all(self) -> float:
        """The number for all battles."""
        return float(self.value(self.columns.sum(axis=0)))


def mean(values: NDArray[np.float64], counted: NDArray[np.bool_] | None = None) -> Statistic:
    """The mean.

    Args:
        values: one per battle.
        counted: which battles take part; by default all.
    """
    weights = np.ones(len(values)) if counted is None else counted.astype(np.float64)
    return Statistic(np.stack([values * weights, weights], axis=1), _ratio, counted)


def share(values: NDArray[np.float64], counted: NDArray[np.bool_] | None = None) -> Statistic:
    """How often something is so.

    Args:
        values: one per battle: 1 where it is, 0 where it isn't, between them where it is so in part.
        counted: which battles take part; by default all.
    """
    return replace(mean(values, counted), share=True)


def difference(one: Statistic, other: Statistic) -> Statistic:
    """`one` minus `other`, on the same battles: resampled together, what both find hard cancels out."""
    width = one.columns.shape[1]
    counted = [part.counted for part in (one, other) if part.counted is not None]
    return Statistic(
        np.concatenate([one.columns, other.columns], axis=1),
        lambda sums: one.value(sums[..., :width]) - other.value(sums[..., width:]),
        np.logical_or.reduce(counted) if len(counted) == 2 else None,  # all take part in what counts all
    )


def weighted(statistic: Statistic, weights: NDArray[np.float64]) -> Statistic:
    """The statistic where battles count unequally; with weights of 1 it is the very same number.

    Args:
        statistic: a ratio of sums over battles, as all of this module are.
        weights: one per battle, not negative.
    """
    return replace(statistic, columns=statistic.columns * weights[:, None])


def log_loss(probabilities: Triples, outcomes: NDArray[np.intp]) -> Statistic:
    """Mean negative logarithm of the probability that the outcome was given, nats.

    Args:
        probabilities: shape (n, 3), in the order of `schemas.OUTCOMES`.
        outcomes: the column of what happened.
    """
    return mean(log_losses(probabilities)[np.arange(len(outcomes)), outcomes])


def soft_log_loss(probabilities: Triples, targets: Triples) -> Statistic:
    """Cross-entropy with the shares of the votes, nats; its floor is the votes' own entropy, not 0.

    Args:
        probabilities: shape (n, 3).
        targets: shape (n, 3); rows sum to 1.
    """
    return mean((targets * log_losses(probabilities)).sum(axis=1))


def accuracy(probabilities: Triples, outcomes: NDArray[np.intp]) -> Statistic:
    """Share of battles whose outcome was the most probable one.

    Args:
        probabilities: shape (n, 3).
        outcomes: the column of what happened.
    """
    return share(credit(probabilities, outcomes))


def voters_alike(votes: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """How often two who voted on a battle say the same.

    Args:
        votes: shape (n, 3), by outcome. What is no whole number is a weight, and no pair of people.

    Returns:
        Which battles several people voted on; and of each, the share of the pairs of its votes that are alike, 0 where
        there is no pair.
    """
    voters = votes.sum(axis=1)
    several = (voters >= 2) & (votes == np.floor(votes)).all(axis=1)
    pairs = np.where(several, voters * (voters - 1.0), 1.0)
    return several, np.where(several, (votes * (votes - 1.0)).sum(axis=1) / pairs, 0.0)


def brier(probabilities: Triples, outcomes: NDArray[np.intp]) -> Statistic:
    """Mean squared distance between probabilities and what happened, summed over the outcomes: 0 to 2.

    Args:
        probabilities: shape (n, 3).
        outcomes: the column of what happened.
    """
    happened = np.eye(probabilities.shape[1])[outcomes]
    return mean(((probabilities - happened) ** 2).sum(axis=1))


def calibration_error(probabilities: Triples, outcomes: NDArray[np.intp]) -> Statistic:
    """Expected calibration error: how far the top outcome's probability is from how often it happens, over 10 bins.

    Args:
        probabilities: shape (n, 3).
        outcomes: the column of what happened.
    """
    excess = probabilities.max(axis=1) - credit(probabilities, outcomes)
    columns = np.zeros((len(outcomes), CALIBRATION_BINS + 1))
    columns[np.arange(len(outcomes)), calibration_bin(probabilities)] = excess
    columns[:, -1] = 1.0
    return Statistic(columns, _absolute_ratio)


class ByChance(NamedTuple):
    """Calibration errors that a perfectly calibrated forecaster would show.

    Attributes:
        mean: over all draws of outcomes.
        upper: their quantile `CHANCE`.
    """

    mean: float
    upper: float


def calibration_error_by_chance(
    probabilities: Triples, *, resamples: int, seed: int, weights: NDArray[np.float64] | None = None
) -> ByChance:
    """What calibration error chance alone gives a perfectly calibrated forecaster with these very probabilities.

    With finitely many battles it isn't 0, and the fewer there are, the larger it is: what was measured means little
    unless it stands above this.

    Args:
        probabilities: shape (n, 3).
        resamples: how often outcomes are drawn.
        seed: of the draws.
        weights: how much each battle counts, not all 0; by default equally.

    Returns:
        Numbers that are none where there are no battles.
    """
    if not len(probabilities):
        return ByChance(float("nan"), float("nan"))
    errors = calibration_errors_by_chance(probabilities, resamples=resamples, seed=seed, weights=weights)
    return ByChance(float(errors.mean()), float(np.quantile(errors, CHANCE)))


def calibration_errors_by_chance(
    probabilities: Triples, *, resamples: int, seed: int, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """What a perfectly calibrated forecaster with these very probabilities would show, one error per draw of outcomes.

    Args:
        probabilities: shape (n, 3), n > 0.
        resamples: how often outcomes are drawn.
        seed: of the draws.
        weights: how much each battle counts, not all 0; by default equally.
    """
    confidence = probabilities.max(axis=1)
    weight = np.ones(len(confidence)) if weights is None else weights
    generator = np.random.default_rng(seed)
    bins = calibration_bin(probabilities)
    errors = np.zeros(resamples)
    for draw in range(resamples):
        excess = confidence - (generator.random(len(confidence)) < confidence)
        errors[draw] = np.abs(np.bincount(bins, weight * excess, CALIBRATION_BINS)).sum()
    shares: NDArray[np.float64] = errors / weight.sum()
    return shares


def decided_log_loss(probabilities: Triples, outcomes: NDArray[np.intp]) -> Statistic:
    """Log loss of P(A) / (P(A) + P(B)) over the battles that are no ties, nats: who is better, whatever ties are.

    Args:
        probabilities: shape (n, 3).
        outcomes: the column of what happened.
    """
    for_a = share_of_a(probabilities)
    chance = np.where(outcomes == 0, for_a, 1.0 - for_a)
    return mean(log_losses(chance), outcomes < 2)


def decided_accuracy(probabilities: Triples, outcomes: NDArray[np.intp]) -> Statistic:
    """Share of the battles that are no ties in which the winner was held for better than the loser.

    Args:
        probabilities: shape (n, 3).
        outcomes: the column of what happened.
    """
    decided = outcomes < 2
    return share(credit(probabilities[:, :2], np.where(decided, outcomes, 0)), decided)


def calibration_bin(probabilities: Triples) -> NDArray[np.intp]:
    """The bin of each battle, by its top outcome's probability."""
    bins = (probabilities.max(axis=1) * CALIBRATION_BINS).astype(np.intp)
    capped: NDArray[np.intp] = np.minimum(bins, CALIBRATION_BINS - 1)
    return capped


def share_of_a(probabilities: Triples) -> NDArray[np.float64]:
    """P(A) / (P(A) + P(B)); a half where both are 0."""
    both = probabilities[:, 0] + probabilities[:, 1]
    for_a: NDArray[np.float64] = np.divide(probabilities[:, 0], both, out=np.full(len(both), 0.5), where=both > 0)
    return for_a


def _ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    total, count = sums[..., 0], sums[..., 1]
    ratio: NDArray[np.float64] = np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
    return ratio


def _absolute_ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ratio(np.stack([np.abs(sums[..., :-1]).sum(axis=-1), sums[..., -1]], axis=-1))
