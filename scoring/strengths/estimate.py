"""Strengths and their covariance from comparisons: the fit, with or without style, and how sure it is.

How sure: each battle is one observation, whatever number of votes it had, and its score is taken as it fell, not as a
binomial's (the sandwich, `logistic.sandwich`). Of few battles a plain sandwich makes intervals that are too short,
because a fit lies nearer to its own data than to the truth: each squared residual is divided by one less its leverage
(MacKinnon and White 1985, HC2, "Some heteroskedasticity-consistent covariance matrix estimators with improved finite
sample properties"), and joined by one more battle of each model, which varies as much as a battle without ties can.
So a model whose battles were all ties has an interval, too. In simulations (20 models; ties .3) the 95 % intervals
cover 94.8 % at 1,000 votes, 95.2 % at 200 and 96.2 % at 100, where the plain sandwich covers 94.4, 93.6 and 92.3 %.
Of about 600 votes that weigh from 1.1 to 10, chosen by how near the models are, 94.2 % (plain 93.5), from 2 to 50,
93.2 % (91.8): very unequal weights still make them a little short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.strengths.comparisons import Comparisons
from prefstream.scoring.strengths.logistic import Design, Fit, minimise, sandwich

_Vector = NDArray[np.float64]

_HIGHEST_LEVERAGE: Final = 1 - 1e-9
"""A battle that alone decides a parameter has leverage 1, and no residual to divide."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedStrengths:
    """Strengths of k models, and what style adds."""

    strengths: _Vector
    """Shape (k,), in nats; their sum is zero."""
    coefficients: _Vector
    """Shape (c,): log-odds for one standard deviation of each style; empty without style control."""
    covariance: NDArray[np.float64]
    """Shape (k + c, k + c)."""
    names: tuple[str, ...] = ()
    """Of the coefficients."""


def estimate(rows: Comparisons, names: tuple[str, ...] = ()) -> FittedStrengths | None:
    """Fit all of the rows' models, which must be connected (`connectivity.connect`).

    Args:
        rows: at least one.
        names: of the columns of `rows.style`, all of it known.

    Returns:
        None where there is no finite fit: style alone tells some outcomes, or says what the models say.
    """
    scale = style_scale(rows)
    told = scale > 0
    design = rows.design(rows.style[:, told] / scale[told])
    fit = minimise(design, rows.masses, rows.targets)
    if not fit.converged:
        return None
    inverse = fit.inverse(rows.models)
    leverage = leverages(design, rows, fit)
    covariance = sandwich(inverse, design.gram(score_variances(rows, fit.probabilities, leverage)))
    return FittedStrengths(
        strengths=fit.theta[: rows.models],
        coefficients=fit.theta[rows.models :],
        covariance=covariance,
        names=tuple(name for name, there in zip(names, told, strict=True) if there),
    )


def style_scale(rows: Comparisons) -> _Vector:
    """Standard deviation of each difference in style over battles, shape (c,).

    About zero, not about its mean: which response is A is chance, so the mean is chance, too, and to take it off would
    make the answer depend on that.
    """
    if not len(rows):
        return np.zeros(rows.style.shape[1])
    scale: _Vector = np.sqrt(rows.counts @ rows.style**2 / rows.counts.sum())
    return scale


def score_variances(rows: Comparisons, probabilities: _Vector, leverage: _Vector) -> _Vector:
    """Estimated variance of each row's sum of weighted scores about its expectation, shape (r,).

    Args:
        rows: shape (r,).
        probabilities: expected score of each row's battles.
        leverage: of one battle of each row, 0 to 1: how much of its own residual it takes away.
    """
    residuals = rows.squares - 2 * probabilities * rows.scores + rows.counts * probabilities**2
    corrected = np.maximum(residuals, 0) / (1 - np.clip(leverage, 0, _HIGHEST_LEVERAGE))
    widest = rows.counts * probabilities * (1 - probabilities)
    battles = rows.battles()
    fewer = np.minimum(battles[rows.first], battles[rows.second])
    variances: _Vector = rows.weights**2 * (fewer * corrected + widest) / (fewer + 1)
    return variances


def leverages(design: Design, rows: Comparisons, fit: Fit) -> _Vector:
    """How much of its own residual one battle of each row takes away, shape (r,), from 0 to 1."""
    pull: _Vector = rows.weights * fit.probabilities * (1 - fit.probabilities)
    return pull * design.quadratic(fit.inverse(design.models))
