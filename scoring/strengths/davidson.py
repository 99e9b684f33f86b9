"""Strengths from comparisons: Bradley-Terry with ties, fitted to fractional outcomes.

The model is Davidson's (1970, "On Extending the Bradley-Terry Model to Accommodate Ties in Paired Comparison
Experiments", JASA 65): item i has a worth exp(s_i); in a comparison of i and j, i wins, j wins and a tie have odds
exp(s_i) : exp(s_j) : v * exp((s_i + s_j) / 2). Divided by the last square root these are the exponentials of d/2,
-d/2 and log v, where d = s_i - s_j: the same reading as that of a pointwise judge (`judges.readout`), and a
log-likelihood that is concave in s and log v.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.probabilities import Triples

_Vector = NDArray[np.float64]

PRIOR_PRECISION: Final = 1e-6
"""Of the normal priors (mean 0, standard deviation 1000) on strengths and log v. They keep finite what outcomes of 0
and 1 would send to infinity: of two answers, one that always wins is some 12 nats ahead. They change a probability of
.999 by less than 1 % of its log-odds."""

_TOLERANCE: Final = 1e-12
"""Newton's decrement at which to stop: the strengths are then right to about six digits more than judges are."""

_MAX_STEPS: Final = 200
"""Far more than a damped Newton method needs on a smooth concave function; only not-a-number would get there."""

_SHORTEST_STEP: Final = 1e-8
"""Below it, rounding decides whether a step was an improvement."""


@dataclass(frozen=True, slots=True, eq=False)
class DavidsonFit:
    """The parameters of Davidson's model."""

    strengths: _Vector
    """One per item, with mean zero: s_i - s_j is the log-odds that i wins against j rather than j against i."""
    log_v: float
    """Log-odds of a tie against a win, among equals."""


def fit_strengths(first: Sequence[int], second: Sequence[int], outcomes: Triples, *, count: int) -> _Vector:
    """Strengths alone: see `fit_davidson`."""
    return fit_davidson(
        np.asarray(first, dtype=np.intp), np.asarray(second, dtype=np.intp), outcomes, count=count
    ).strengths


def fit_davidson(first: NDArray[np.intp], second: NDArray[np.intp], outcomes: Triples, *, count: int) -> DavidsonFit:
    """Fit strengths and ties by maximum likelihood with a weak prior, by Newton's method.

    Args:
        first: the first item of each comparison.
        second: the second item of each comparison.
        outcomes: what each came to, shape (comparisons, 3): how much of "first wins", "second wins" and "tie" it was;
            shares of one comparison, or weights of many.
        count: number of items.
    """
    parameters = np.zeros(count + 1)  # strengths, then log v
    loss, gradient, hessian = _loss(parameters, first, second, outcomes)
    for _ in range(_MAX_STEPS):
        direction = np.linalg.solve(hessian, gradient)
        decrement = float(gradient @ direction)
        if decrement < _TOLERANCE:
            break
        step = 1.0
        while step > _SHORTEST_STEP:
            tried = _loss(parameters - step * direction, first, second, outcomes)
            if tried[0] <= loss - step * decrement / 4:
                break
            step /= 2
        else:
            break
        parameters = parameters - step * direction
        loss, gradient, hessian = tried
    return DavidsonFit(parameters[:count] - parameters[:count].mean(), float(parameters[count]))


def davidson_probabilities(fit: DavidsonFit, first: NDArray[np.intp], second: NDArray[np.intp]) -> Triples:
    """What the model says of comparisons, shape (comparisons, 3)."""
    probabilities: Triples = np.exp(_log_probabilities(fit.strengths, fit.log_v, first, second))
    return probabilities


def _log_probabilities(strengths: _Vector, log_v: float, one: NDArray[np.intp], other: NDArray[np.intp]) -> Triples:
    half = (strengths[one] - strengths[other]) / 2
    logits = np.stack([half, -half, np.full(len(half), log_v)], axis=1)
    logits -= logits.max(axis=1, keepdims=True)
    logs: Triples = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logs


def _loss(
    parameters: _Vector, one: NDArray[np.intp], other: NDArray[np.intp], outcomes: Triples
) -> tuple[float, _Vector, NDArray[np.float64]]:
    """Negative log-likelihood with the prior, its gradient and its Hessian."""
    count = len(parameters) - 1
    logs = _log_probabilities(parameters[:count], float(parameters[count]), one, other)
    expected, total = np.exp(logs), outcomes.sum(axis=1)
    loss = float(-(outcomes * logs).sum() + PRIOR_PRECISION * (parameters @ parameters) / 2)

    lead = (expected[:, 0] - expected[:, 1]) / 2
    slope = total * lead - (outcomes[:, 0] - outcomes[:, 1]) / 2
    gradient = PRIOR_PRECISION * parameters
    np.add.at(gradient, one, slope)
    np.add.at(gradient, other, -slope)
    gradient[count] += float((total * expected[:, 2] - outcomes[:, 2]).sum())

    # Of each comparison: the covariance of (1/2, -1/2, 0) and (0, 0, 1) under the expected outcomes.
    curve = total * ((expected[:, 0] + expected[:, 1]) / 4 - lead**2)
    mixed = -total * lead * expected[:, 2]
    hessian = PRIOR_PRECISION * np.eye(count + 1)
    np.add.at(hessian, (one, one), curve)
    np.add.at(hessian, (other, other), curve)
    np.add.at(hessian, (one, other), -curve)
    np.add.at(hessian, (other, one), -curve)
    for side, sign in ((one, 1), (other, -1)):
        np.add.at(hessian, (side, np.full_like(side, count)), sign * mixed)
        np.add.at(hessian, (np.full_like(side, count), side), sign * mixed)
    hessian[count, count] += float((total * expected[:, 2] * (1 - expected[:, 2])).sum())
    return loss, gradient, hessian
