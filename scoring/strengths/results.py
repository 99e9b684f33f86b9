"""The table of models: how strong each is, how sure that is, and what has to be said beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

ELO_PER_NAT: Final = 400 / float(np.log(10))
"""Points of rating for a difference of 1 in log-odds, as in chess and on LMArena: 400 points are odds of 10 to 1."""

MEAN_RATING: Final = 1000.0
"""Mean of the ratings of all models that have one."""

LEVEL: Final = 0.95
"""Of every interval and every rank range."""

Method: TypeAlias = Literal["votes", "judges", "both"]


@dataclass(frozen=True, slots=True)
class Strength:
    """One model."""

    model: str
    rating: float | None
    """Elo points; None where the data hold no finite one (`why_no_interval` says why)."""
    lower: float | None
    """95 % interval in Elo points. It is of the model's distance from the mean of all, which is 1000 by definition."""
    upper: float | None
    rank_low: int | None
    """Best rank that is compatible with the data, from 1: one more than the models that are better for sure, where
    sure is a 95 % interval of the *difference* of both ratings that lies on one side of 0."""
    rank_high: int | None
    """Worst rank, likewise."""
    battles: int
    """Battles of the model that were used: voted ones, or those that judges saw."""
    votes: float
    """Sum of the weights of its votes: their number where all came at random; 0 where only judges speak."""
    why_no_interval: str | None = None


@dataclass(frozen=True, slots=True)
class StyleEffect:
    """What a style is worth by itself, when models are equal."""

    name: str
    coefficient: float
    """Log-odds for a difference of one standard deviation of the data's; positive: the side with more of it wins."""
    lower: float | None
    """95 % interval."""
    upper: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Strengths:
    """All models, best first; those without a rating last, by name."""

    method: Method
    style_control: bool
    """Whether it was done: where it was asked for and could not be, this is false and `notes` says why."""
    strengths: tuple[Strength, ...]
    style: tuple[StyleEffect, ...]
    """Empty without style control."""
    win_rates: NDArray[np.float64]
    """Shape (k, k), in the order of `strengths`: predicted share of the row's wins over the column, ties counting half;
    NaN where one of both has no rating, and on the diagonal."""
    observed: NDArray[np.float64]
    """Shape (k, k): what was seen of that share; NaN where the pair never met."""
    meetings: NDArray[np.float64]
    """Shape (k, k): how often the pair met, weighted as the votes are."""
    votes: int
    """Votes that went in."""
    preferences: int
    """Battles with a preference that went in."""
    lambda_: float | None = None
    """Of prediction-powered inference: how much the judges are relied upon, from 0 (not at all)."""
    notes: tuple[str, ...] = ()
    """What a reader has to know, one sentence each."""
