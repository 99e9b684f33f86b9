"""Prediction-powered inference for strengths: votes, corrected by the luck that judges saw in what was voted on.

Angelopoulos, Bates, Fannjiang, Jordan and Zrnic (2023, "Prediction-Powered Inference", Science 382), with the tuning of
Angelopoulos, Duchi and Zrnic (2023, "PPI++: Efficient Prediction-Powered Inference", arXiv 2311.01453).

Of voted battle i let y_i be the score that people gave (ties are half), f_i the one that the judges expected, w_i its
weight and x_i its row of the design. m_i = sigma(x_i theta_J) is what the judges expect of any battle of these two
models, where theta_J is their own Bradley-Terry fit over all battles that they saw. f_i - m_i, then, is what they hold
to be particular about this battle. Over all battles it averages to nothing, whatever the judges' bias. Over the few
voted ones it does not, by luck, and as far as the judges are right about it, the votes had the same luck. It is taken
out of them:

    sum_i w_i x_i (sigma(x_i theta) - (y_i - lambda (f_i - m_i))) = 0

With lambda 0 that is the fit of the votes. A lambda that is not the best costs width, and no truth.

PPI++ as printed differs in two things, both of no effect where the voted battles' pairs are mixed as all battles' are:

* It takes the judges' gradient at theta instead of theta_J. There, their bias for a model would be noise, and a bias of
  the estimate wherever people vote on other pairs than battles are made of. (At theta_J: Chen and Chen 2000, "A unified
  approach to regression analysis under double-sampling designs", JRSS B 62. Gronsbell et al. 2024, "Another look at
  inference after prediction", arXiv 2411.19908, find it the more efficient.)
* It holds voted battles against the others, which are no sample of all where a vote's chance depends on the battle.
  Here voted battles are held against all, themselves included, and the covariance knows it. Where votes come at random
  both are one estimator: its lambda is ours times 1 - n / N, with n voted battles of N.

Voted battles whose forecast is not known stay in the votes' part, and are left out of the judges' part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from prefstream.scoring.strengths.comparisons import Comparisons
from prefstream.scoring.strengths.estimate import leverages, score_variances
from prefstream.scoring.strengths.logistic import Design, Fit, minimise, sandwich

_Vector = NDArray[np.float64]
_Matrix = NDArray[np.float64]

MOST_LAMBDA: Final = 2.0
"""The mean of several judges is less sure than it should be, and deserves more than 1; more than this is what few votes
say by chance."""

_LEAST_SPREAD: Final = 1e-9
"""Variance of the judges' part beside the votes'. Below it judges say of every battle what they say of its models (a
prior does), and what remains is rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Voted:
    """n voted battles."""

    rows: Comparisons
    """One row a battle, over models that votes connect."""
    design: Design
    """Of these rows."""
    forecasts: _Vector
    """Shape (n,): what the judges expected the first model's score to be; NaN where that is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """All battles that judges saw, those of `Voted` with a forecast included, summed in r rows of one design each."""

    rows: Comparisons
    """Over the same models, which they connect."""
    design: Design
    """Of these rows, with the same parameters as that of `Voted`."""


@dataclass(frozen=True, slots=True, eq=False)
class Rectified:
    """An estimate with its covariance."""

    theta: _Vector
    """Shape (p,): strengths, which sum to zero, in nats; then coefficients."""
    covariance: _Matrix
    """Shape (p, p)."""
    lambda_: float
    """How much the judges were relied upon; above 0."""


@dataclass(frozen=True, slots=True, eq=False)
class _Luck:
    """The judges' part: what they hold to be particular about each voted battle."""

    residuals: _Vector
    """f - m, shape (n,); 0 where unknown."""
    spill: _Matrix
    """Shape (p, p): what a residual of any battle does to the judges' fit, and so to the m of the voted ones."""
    everywhere: _Matrix
    """Shape (p, p): sum over all battles of (f - m)^2 x x'."""


def rectify(voted: Voted, judged: Judged, *, lambda_: float | None = None, few_votes: bool = True) -> Rectified | None:
    """Estimate strengths from votes and forecasts.

    Args:
        voted: at least one battle.
        judged: likewise.
        lambda_: how much to rely on the judges; tuned where it is None: the one from 0 to `MOST_LAMBDA` that makes the
            strengths' mean variance least.
        few_votes: correct the votes' part of the variance for fits that lie nearer to their data than to the truth:
            `estimate.score_variances`, with residuals divided by the square of what their leverage leaves of them
            (the jackknife, or HC3, of MacKinnon and White 1985), because lambda is fitted to them, too. Without it the
            formulas are those of the papers.

    Returns:
        None where the judges' part is of no use (lambda would be 0), or where there is no finite fit.
    """
    alone = minimise(voted.design, voted.rows.masses, voted.rows.targets)
    luck = _luck(voted, judged) if alone.converged else None
    if luck is None:
        return None
    chosen = _tune(voted, alone, luck) if lambda_ is None else lambda_
    if not chosen:
        return None
    scores = voted.rows.scores - chosen * luck.residuals
    corrected = replace(voted.rows, scores=scores, squares=scores**2)
    fit = minimise(voted.design, corrected.masses, corrected.targets)
    if not fit.converged:
        return None
    return Rectified(fit.theta, _covariance(voted.design, corrected, fit, luck, chosen, few_votes=few_votes), chosen)


def _luck(voted: Voted, judged: Judged) -> _Luck | None:
    """The judges' part; None where they have no finite fit of their own over these parameters."""
    own = minimise(judged.design, judged.rows.masses, judged.rows.targets)
    if not own.converged:
        return None
    known = np.isfinite(voted.forecasts)
    expected = expit(voted.design.logits(own.theta))
    residuals = np.where(known, np.nan_to_num(voted.forecasts) - expected, 0.0)
    curvature = voted.design.gram(np.where(known, voted.rows.weights * expected * (1 - expected), 0.0))
    rows, mean = judged.rows, own.probabilities
    everywhere = judged.design.gram(np.maximum(rows.squares - 2 * mean * rows.scores + mean**2 * rows.counts, 0))
    return _Luck(residuals, curvature @ own.inverse(judged.design.models), everywhere)


def _tune(voted: Voted, fit: Fit, luck: _Luck) -> float:
    """The lambda for which votes + lambda x judges' part varies least, summed over the strengths.

    The variance is quadratic in lambda: A + 2 lambda B + lambda^2 C.
    """
    ours = voted.rows.weights * (fit.probabilities - voted.rows.scores)
    theirs = voted.rows.weights * luck.residuals
    cross = voted.design.gram(ours * theirs) - _spilled(voted.design, luck, ours)
    own = voted.design.gram(theirs**2) - 2 * _spilled(voted.design, luck, theirs)
    own += luck.spill @ luck.everywhere @ luck.spill.T
    inverse, models = fit.inverse(voted.design.models), voted.design.models
    a, b, c = (
        float(np.trace(sandwich(inverse, meat)[:models, :models])) for meat in (voted.design.gram(ours**2), cross, own)
    )
    return float(np.clip(-b / c, 0.0, MOST_LAMBDA)) if c > _LEAST_SPREAD * a else 0.0


def _covariance(
    design: Design, corrected: Comparisons, fit: Fit, luck: _Luck, lambda_: float, *, few_votes: bool
) -> _Matrix:
    """The sandwich. Every battle is one observation, and enters by all that it does.

    A voted one moves the equation by its own residual; any battle that judges saw, voted or not, moves m as well.
    """
    residuals = fit.probabilities - corrected.scores
    variances = (corrected.weights * residuals) ** 2
    if few_votes:
        left = 1 - np.clip(leverages(design, corrected, fit), 0, 1)
        variances = score_variances(corrected, fit.probabilities, 1 - left**2)
    meat = design.gram(variances) - 2 * lambda_ * _spilled(design, luck, corrected.weights * residuals)
    meat += lambda_**2 * luck.spill @ luck.everywhere @ luck.spill.T
    return sandwich(fit.inverse(design.models), meat)


def _spilled(design: Design, luck: _Luck, residuals: _Vector) -> _Matrix:
    """Symmetric part of the covariance of voted battles' residuals with what the same battles do to m, shape (p, p)."""
    one_way = luck.spill @ design.gram(residuals * luck.residuals)
    both_ways: _Matrix = (one_way + one_way.T) / 2
    return both_ways
