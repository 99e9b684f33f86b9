"""Votes drawn from known strengths."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prefstream.scoring.strengths.tallies import STYLE_NAMES, VotedBattles


def make_votes(
    model_a: ArrayLike,
    model_b: ArrayLike,
    outcomes: ArrayLike,
    *,
    models: int,
    style: NDArray[np.float64] | None = None,
    weights: NDArray[np.float64] | None = None,
    battles: NDArray[np.intp] | None = None,
) -> VotedBattles:
    """Votes of nothing but pairs and outcomes; without forecasts, and without style unless it is given."""
    one, other = np.asarray(model_a, dtype=np.intp), np.asarray(model_b, dtype=np.intp)
    n = len(one)
    return VotedBattles(
        models=tuple(f"m{number:03}" for number in range(models)),
        model_a=one,
        model_b=other,
        outcomes=np.asarray(outcomes, dtype=np.intp),
        forecasts=np.full((n, 3), np.nan),
        weights=np.ones(n) if weights is None else weights,
        style=np.full((n, len(STYLE_NAMES)), np.nan) if style is None else style,
        cells=np.zeros(n, dtype=np.intp),
        battles=np.arange(n) if battles is None else battles,
    )


def draw_votes(
    strengths: NDArray[np.float64], count: int, generator: np.random.Generator, *, ties: float = 0.3
) -> VotedBattles:
    """Draw votes whose expected score is Bradley-Terry's.

    Args:
        strengths: in nats, shape (k,).
        count: number of battles, each of a pair at random.
        generator: of random numbers.
        ties: share of them among equal models; less where one is much stronger, as it must be.
    """
    k = len(strengths)
    first = generator.integers(0, k, count)
    second = (first + generator.integers(1, k, count)) % k
    wins = 1 / (1 + np.exp(strengths[second] - strengths[first]))
    tied = 2 * ties * np.minimum(wins, 1 - wins)
    fate = generator.random(count)
    outcomes = np.where(fate < wins - tied / 2, 0, np.where(fate < wins + tied / 2, 2, 1))
    return make_votes(first, second, outcomes, models=k)
