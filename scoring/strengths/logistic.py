"""Weighted logistic M-estimation of strengths: one Newton's method, and the sandwich that tells how sure it is.

The loss is a sum over rows r of w_r log(1 + exp(x_r theta)) - t_r x_r theta, where x_r theta is the difference of two
models' strengths plus what style adds, w_r is a number of battles (weighted), and t_r the wins of the first model among
them (weighted alike, ties counting half). It is Bradley and Terry's (1952, "Rank Analysis of Incomplete Block Designs",
Biometrika 39) with fractional outcomes. Rows may stand for one battle or for thousands: gradient and Hessian are linear
in w and t. Single weights may be negative, and targets outside 0 .. w, as prediction-powered inference has them, as
long as the sum has a minimum; where it has none, the fit says that it did not converge.

Strengths are known up to a constant: theirs sum to zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.special import expit

_Vector = NDArray[np.float64]
_Numbers = NDArray[np.intp]
_Matrix = NDArray[np.float64]

_TOLERANCE: Final = 1e-24
"""Newton's decrement per unit of weight at which to stop. It falls quadratically: theta is then right to rounding."""

_MAX_STEPS: Final = 100
"""A dozen suffice; more are needed only on the way to infinity."""

_SHORTEST_STEP: Final = 1e-6
"""Below it, rounding decides whether a step was an improvement."""

_FARTHEST: Final = 30.0
"""Log-odds of 30 are a win in 10^13 battles: what gets there is on its way to infinity."""

_LEAST_CURVATURE: Final = 1e-11
"""Of the Hessian's eigenvalues, relative to the largest: below it, data say nothing about a direction."""


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Rows of comparisons: +1 at one model, -1 at another, and covariates. p = models + covariates parameters."""

    first: _Numbers
    """Shape (r,)."""
    second: _Numbers
    """Shape (r,)."""
    covariates: _Matrix
    """Shape (r, c), antisymmetric: exchanging both models changes their sign. c may be 0."""
    models: int

    @property
    def parameters(self) -> int:
        """Number of parameters: strengths first, then coefficients."""
        return self.models + int(self.covariates.shape[1])

    def logits(self, theta: _Vector) -> _Vector:
        """X theta, shape (r,)."""
        logits: _Vector = theta[self.first] - theta[self.second] + self.covariates @ theta[self.models :]
        return logits

    def total(self, values: _Vector) -> _Vector:
        """X' values, shape (p,): the gradient of a loss whose derivatives by the logits are `values`."""
        by_model = np.bincount(self.first, values, self.models) - np.bincount(self.second, values, self.models)
        gradient: _Vector = np.concatenate([by_model, values @ self.covariates])
        return gradient

    def gram(self, values: _Vector) -> _Matrix:
        """X' diag(values) X, shape (p, p)."""
        k, first, second = self.models, self.first, self.second
        result = np.zeros((self.parameters, self.parameters))
        between = np.bincount(first * k + second, values, k * k).reshape(k, k)
        result[:k, :k] = np.diag(between.sum(axis=0) + between.sum(axis=1)) - between - between.T
        weighted = values[:, None] * self.covariates
        for column in range(weighted.shape[1]):
            by_model = np.bincount(first, weighted[:, column], k) - np.bincount(second, weighted[:, column], k)
            result[:k, k + column] = result[k + column, :k] = by_model
        result[k:, k:] = self.covariates.T @ weighted
        return result

    def quadratic(self, matrix: _Matrix) -> _Vector:
        """x_r' matrix x_r of each row, shape (r,), for a symmetric matrix of shape (p, p)."""
        k, first, second = self.models, self.first, self.second
        diagonal = np.diag(matrix)
        cross = (matrix[first, k:] - matrix[second, k:]) * self.covariates
        own = (self.covariates @ matrix[k:, k:]) * self.covariates
        pairs = diagonal[first] + diagonal[second] - 2 * matrix[first, second]
        forms: _Vector = pairs + 2 * cross.sum(axis=1) + own.sum(axis=1)
        return forms


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A minimum, or how far the search for one came."""

    theta: _Vector
    """Shape (p,): strengths, which sum to zero, in nats; then coefficients."""
    hessian: _Matrix
    """Shape (p, p), at theta. It is singular in the direction in which all strengths move alike."""
    probabilities: _Vector
    """Shape (r,): predicted share of wins of each row's first model."""
    converged: bool
    """False: there is no finite minimum, or data say nothing about some parameter."""

    def inverse(self, models: int) -> _Matrix:
        """The Hessian's inverse among strengths that sum to zero, shape (p, p)."""
        fixed = _fix_sum(self.hessian, models)
        inverse: _Matrix = linalg.inv(fixed)
        scale = np.trace(self.hessian[:models, :models]) / max(models, 1)
        inverse[:models, :models] -= 1 / (scale * models)
        return inverse


def minimise(design: Design, weights: _Vector, targets: _Vector) -> Fit:
    """Fit strengths and coefficients by a damped Newton's method, from zero.

    Args:
        design: r rows over models that comparisons connect (see `connectivity`).
        weights: w_r, shape (r,).
        targets: t_r, shape (r,).
    """
    theta, decrement = np.zeros(design.parameters), 0.0
    if not design.models:
        return Fit(theta, np.zeros((len(theta), len(theta))), np.full(len(weights), 0.5), converged=False)
    mass = max(float(np.abs(weights).sum()), np.finfo(np.float64).tiny)
    for _ in range(_MAX_STEPS):
        probabilities = expit(design.logits(theta))
        gradient = design.total(weights * probabilities - targets)
        hessian = design.gram(weights * probabilities * (1 - probabilities))
        direction = _newton_direction(hessian, gradient, design.models)
        if direction is None:
            return Fit(theta, hessian, probabilities, converged=False)
        decrement = float(gradient @ direction)
        if decrement <= _TOLERANCE * mass:
            return Fit(theta, hessian, probabilities, converged=_is_determined(hessian, design.models))
        step = _step(design, weights, targets, theta, direction, decrement)
        theta = theta - step * direction
        theta[: design.models] -= theta[: design.models].mean()
        if not step or np.abs(theta).max() > _FARTHEST:
            break
    probabilities = expit(design.logits(theta))
    hessian = design.gram(weights * probabilities * (1 - probabilities))
    near = bool(np.abs(theta).max() <= _FARTHEST) and decrement <= np.sqrt(_TOLERANCE) * mass
    return Fit(theta, hessian, probabilities, converged=near and _is_determined(hessian, design.models))


def sandwich(inverse: _Matrix, meat: _Matrix) -> _Matrix:
    """Covariance of an M-estimate: inverse Hessian, sum of the outer products of scores, inverse Hessian.

    It holds whether or not the model is true and whatever the outcomes' variance is, which with ties counted as halves
    is not a binomial's (Huber 1967, "The Behavior of Maximum Likelihood Estimates under Nonstandard Conditions"; White
    1980, "A Heteroskedasticity-Consistent Covariance Matrix Estimator", Econometrica 48).

    Args:
        inverse: `Fit.inverse`, shape (p, p).
        meat: shape (p, p).
    """
    covariance: _Matrix = inverse @ meat @ inverse
    return (covariance + covariance.T) / 2


def _loss(design: Design, weights: _Vector, targets: _Vector, theta: _Vector) -> float:
    logits = design.logits(theta)
    return float(weights @ np.logaddexp(0, logits) - targets @ logits)


def _step(
    design: Design, weights: _Vector, targets: _Vector, theta: _Vector, direction: _Vector, decrement: float
) -> float:
    """Length of the step, by halving until it is an improvement; 0 where none is."""
    loss = _loss(design, weights, targets, theta)
    slack = 1e-13 * (abs(loss) + 1)  # near the minimum an improvement is less than the loss's rounding
    step = 1.0
    while step > _SHORTEST_STEP:
        if _loss(design, weights, targets, theta - step * direction) <= loss - step * decrement / 4 + slack:
            return step
        step /= 2
    return 0.0


def _fix_sum(hessian: _Matrix, models: int) -> _Matrix:
    """The Hessian with curvature of its own size where all strengths move alike, where it has none."""
    fixed = hessian.copy()
    fixed[:models, :models] += np.trace(hessian[:models, :models]) / max(models, 1) / max(models, 1)
    return fixed


def _newton_direction(hessian: _Matrix, gradient: _Vector, models: int) -> _Vector | None:
    """Solve for a step; None where the loss isn't convex here, or flat."""
    try:
        factor = linalg.cho_factor(_fix_sum(hessian, models), lower=True)
    except (linalg.LinAlgError, ValueError):
        return None
    direction: _Vector = linalg.cho_solve(factor, gradient)
    return direction if np.isfinite(direction).all() else None


def _is_determined(hessian: _Matrix, models: int) -> bool:
    eigenvalues = linalg.eigvalsh(_fix_sum(hessian, models))
    return bool(eigenvalues[0] > _LEAST_CURVATURE * eigenvalues[-1])
