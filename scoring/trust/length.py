"""How much the longer answer is preferred, by people and by judges: a slope, and what it is drawn through.

The model is log-odds(the longer answer wins) = slope * log2(longer / shorter), without an intercept: of answers of
equal length neither is the longer. So nothing depends on which side an answer stands, and a slope is what each doubling
of the ratio is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, stdtrit

from prefstream.scoring.evaluation.bias import comparable
from prefstream.scoring.evaluation.bootstrap import Estimate, Resamples
from prefstream.scoring.evaluation.metrics import mean, share, share_of_a, weighted
from prefstream.scoring.probabilities import Triples
from prefstream.scoring.trust.results import LengthBin, LengthSlope
from prefstream.scoring.trust.votes import FEWEST_VOTES, TrustVotes

EDGES: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, float("inf"))
"""Of bins, in doublings: half of one while most battles are there, all above eight times in one."""

_UPPER: Final = 0.975
"""Quantile that a 95 % interval ends at."""

_STEEPEST: Final = 1e6
"""A fit beyond has no slope but a wall: the longer answer always won, or never."""

_NOTHING: Final = Estimate(value=None, low=None, high=None)


@dataclass(frozen=True, slots=True, eq=False)
class LengthVotes:
    """Votes with a winner between answers of different, known lengths: n of them, seen from the longer answer.

    Attributes:
        doublings: log2 of the longer answer's length by the shorter's, above 0.
        won: 1 where people preferred the longer answer, else 0.
        judged: the panel's P(longer) / (P(A) + P(B)).
        weights: how much each counts.
        battles: number of the battle, from 0, every number up to the highest there.
        rows: shape (m,): which of the m votes these are.
    """

    doublings: NDArray[np.float64]
    won: NDArray[np.float64]
    judged: NDArray[np.float64]
    weights: NDArray[np.float64]
    battles: NDArray[np.intp]
    rows: NDArray[np.bool_]

    @classmethod
    def of(cls, votes: TrustVotes) -> LengthVotes:
        """Those of some votes that say something of length.

        Args:
            votes: any.
        """
        return cls.between(
            outcomes=votes.outcomes,
            forecasts=votes.forecasts,
            characters=(votes.characters_a, votes.characters_b),
            weights=votes.weights,
            battles=votes.battles,
        )

    @classmethod
    def between(
        cls,
        *,
        outcomes: NDArray[np.intp],
        forecasts: Triples,
        characters: tuple[NDArray[np.float64], NDArray[np.float64]],
        weights: NDArray[np.float64],
        battles: NDArray[np.intp],
    ) -> LengthVotes:
        """Those of n judged pairs of answers that say something of length.

        An empty answer is no answer that is infinitely shorter: battles with one are left out.

        Args:
            outcomes: column of what was said, in the order of `schemas.OUTCOMES`.
            forecasts: shape (n, 3): the panel's probabilities.
            characters: of A's answers and of B's; NaN where nobody knows.
            weights: how much each counts; 0 leaves it out.
            battles: what tells those apart that are not alike: a number of the battle, or of its prompt.
        """
        a, b = characters
        rows = comparable(outcomes, a, b) & (np.fmin(a, b) > 0) & (weights > 0)
        a, b, outcomes, forecasts = a[rows], b[rows], outcomes[rows], forecasts[rows]
        longer_is_a = a > b
        return cls(
            doublings=np.log2(np.maximum(a, b) / np.minimum(a, b)),
            won=((outcomes == 0) == longer_is_a).astype(np.float64),
            # The longer one's column first: bit for bit the same, whichever side it stands on.
            judged=share_of_a(np.where(longer_is_a[:, None], forecasts, forecasts[:, [1, 0, 2]])),
            weights=weights[rows],
            battles=np.unique(battles[rows], return_inverse=True)[1],
            rows=rows,
        )

    def __len__(self) -> int:
        return len(self.won)


@dataclass(frozen=True, slots=True)
class Slopes:
    """Log-odds per doubling of the ratio of lengths.

    Attributes:
        people: as they decided; no value where the longer answer always won, or never.
        judges: as they forecast of the same votes.
        excess: judges minus people.
    """

    people: Estimate
    judges: Estimate
    excess: Estimate


def measure_length(votes: TrustVotes, draws: Resamples) -> LengthSlope | None:
    """How much length is preferred; None where fewer than `FEWEST_VOTES` say so.

    Args:
        votes: that are counted.
        draws: of their battles, for the intervals of the bins.
    """
    those = LengthVotes.of(votes)
    slopes = fit_slopes(those)
    if slopes is None:
        return None
    return LengthSlope(
        votes=len(those),
        people=slopes.people,
        judges=slopes.judges,
        excess=slopes.excess,
        bins=_bins(those, votes, draws),
    )


def fit_slopes(those: LengthVotes) -> Slopes | None:
    """Logistic regression through people's decisions, and the same through judges' probabilities of them.

    Intervals are by the sandwich estimator over battles (Huber 1967; Liang and Zeger 1986), with Student's t of as many
    degrees as there are battles but one: votes on a battle are alike, a probability is no draw, and weights are no
    counts. The excess is of the difference of what each battle moves either slope by: what people and judges both find
    in the same battles cancels out.

    Args:
        those: votes.

    Returns:
        None where there are fewer than `FEWEST_VOTES`.
    """
    if len(those) < FEWEST_VOTES:
        return None
    people, judges = _fit(those, those.won), _fit(those, those.judged)
    excess = None
    if people is not None and judges is not None:
        excess = _Fit(judges.slope - people.slope, judges.moved - people.moved)
    return Slopes(*(_NOTHING if one is None else one.estimate() for one in (people, judges, excess)))


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """A slope, or a difference of two.

    Attributes:
        slope: log-odds per doubling.
        moved: by how much each battle moves it: its score by the information of all.
    """

    slope: float
    moved: NDArray[np.float64]

    def estimate(self) -> Estimate:
        """With its interval, where there is one."""
        battles = len(self.moved)
        if battles < 2 or not np.isfinite(self.moved).all():
            return Estimate(value=self.slope, low=None, high=None)
        deviation = float(np.sqrt(battles / (battles - 1) * (self.moved**2).sum()))
        reach = float(stdtrit(battles - 1, _UPPER)) * deviation
        return Estimate(value=self.slope, low=self.slope - reach, high=self.slope + reach)


def _fit(those: LengthVotes, said: NDArray[np.float64]) -> _Fit | None:
    """Where the score is 0: it falls as the slope rises, so there is one such place at most."""
    pull = those.weights * those.doublings

    def score(slope: float) -> float:
        return float(pull @ (said - expit(slope * those.doublings)))

    steep = 1.0
    while score(-steep) <= 0 or score(steep) >= 0:
        steep *= 2
        if steep > _STEEPEST:
            return None
    slope = float(brentq(score, -steep, steep))
    expected = expit(slope * those.doublings)
    information = (pull * those.doublings * expected * (1 - expected)).sum()
    scores = np.bincount(those.battles, weights=pull * (said - expected))
    with np.errstate(divide="ignore", invalid="ignore"):  # of a wall that rounding left a slope: it has no interval
        return _Fit(slope, scores / information)


def _bins(those: LengthVotes, votes: TrustVotes, draws: Resamples) -> tuple[LengthBin, ...]:
    """How often the longer answer won, by how much longer it is; none without votes."""
    places = np.searchsorted(EDGES[1:-1], those.doublings, side="right")
    there = np.unique(places).tolist()

    def spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """By vote of all that the draws are of."""
        full = np.zeros(len(votes))
        full[those.rows] = values
        return full

    won, place_of = spread(those.won), spread((1 + places).astype(np.float64))
    found = draws.estimate({str(place): weighted(share(won, place_of == place + 1), votes.weights) for place in there})
    told = []
    for place in there:
        rows = places == place
        means = (weighted(mean(one[rows]), those.weights[rows]).of_all() for one in (those.doublings, those.judged))
        middle, judges = means
        high = EDGES[place + 1]
        told.append(
            LengthBin(
                low=EDGES[place],
                high=None if np.isinf(high) else high,
                mean=middle,
                votes=int(rows.sum()),
                people=found[str(place)],
                judges=judges,
            )
        )
    return tuple(told)
