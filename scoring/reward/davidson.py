"""Strengths from comparisons: Bradley-Terry with ties, fitted to fractional outcomes.

The model is Davidson's (1970, "On Extending the Bradley-Terry Model to Accommodate Ties in Paired Comparison
Experiments", JASA 65): item i has a worth exp(s_i); in a comparison of i and j, i wins, j wins and a tie have odds
exp(s_i) : exp(s_j) : v * exp((s_i + s_j) / 2). Divided by the last square root these are the exponentials of d/2,
-d/2 and log v, where d = s_i - s_j: the same reading as that of a pointwise judge (`judges.readout`), and a
log-likelihood that is concave in s and log v.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def fit_strengths(first: Sequence[int], second: Sequence[int], outcomes: Triples, *, count: int) -> _Vector:
    """Fit strengths by maximum likelihood with a weak prior, by Newton's method.

    Args:
        first: the first item of each comparison.
        second: the second item of each comparison.
        outcomes: what each came to, shape (comparisons, 3): the shares of "first wins", "second wins" and "tie".
        count: number of items.

    Returns:
        One per item, with mean zero: s_i - s_j is the log-odds that i wins against j rather than j against i.
    """
    one, other = np.asarray(first, dtype=np.intp), np.asarray(second, dtype=np.intp)
    parameters = np.zeros(count + 1)  # strengths, then log v
    loss, gradient, hessian = _loss(parameters, one, other, outcomes)
    for _ in range(_MAX_STEPS):
        direction = np.linalg.solve(hessian, gradient)
        decrement = float(gradient @ direction)
        if decrement < _TOLERANCE:
            break
        step = 1.0
        while step > _SHORTEST_STEP:
            tried = _loss(parameters - step * direction, one, other, outcomes)
            if tried[0] <= loss - step * decrement / 4:
                break
            step /= 2
        else:
            break
        parameters = parameters - step * direction
        loss, gradient, hessian = tried
    strengths: _Vector = parameters[:count] - parameters[:count].mean()
    return strengths


def _loss(
    parameters: _Vector, one: NDArray[np.intp], other: NDArray[np.intp], outcomes: Triples
) -> tuple[float, _Vector, NDArray[np.float64]]:
    """Negative log-likelihood with the prior, its gradient and its Hessian."""
    count = len(parameters) - 1
    half = (parameters[one] - parameters[other]) / 2
    logits = np.stack([half, -half, np.full(len(half), parameters[count])], axis=1)
    logits -= logits.max(axis=1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = np.exp(logs)
    loss = float(-(outcomes * logs).sum() + PRIOR_PRECISION * (parameters @ parameters) / 2)

    lead = (expected[:, 0] - expected[:, 1]) / 2
    slope = lead - (outcomes[:, 0] - outcomes[:, 1]) / 2
    gradient = PRIOR_PRECISION * parameters
    np.add.at(gradient, one, slope)
    np.add.at(gradient, other, -slope)
    gradient[count] += float((expected[:, 2] - outcomes[:, 2]).sum())

    # Of each comparison: the covariance of (1/2, -1/2, 0) and (0, 0, 1) under the expected outcomes.
    curve = (expected[:, 0] + expected[:, 1]) / 4 - lead**2
    mixed = -lead * expected[:, 2]
    hessian = PRIOR_PRECISION * np.eye(count + 1)
    np.add.at(hessian, (one, one), curve)
    np.add.at(hessian, (other, other), curve)
    np.add.at(hessian, (one, other), -curve)
    np.add.at(hessian, (other, one), -curve)
    for side, sign in ((one, 1), (other, -1)):
        np.add.at(hessian, (side, np.full_like(side, count)), sign * mixed)
        np.add.at(hessian, (np.full_like(side, count), side), sign * mixed)
    hessian[count, count] += float((expected[:, 2] * (1 - expected[:, 2])).sum())
    return loss, gradient, hessian
