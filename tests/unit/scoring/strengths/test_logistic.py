from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize

from prefstream.scoring.strengths.logistic import Design, minimise, sandwich


def some_design(rows: int = 60, models: int = 5, covariates: int = 2, seed: int = 0) -> Design:
    generator = np.random.default_rng(seed)
    first = generator.integers(0, models, rows)
    return Design(
        first=first,
        second=(first + generator.integers(1, models, rows)) % models,
        covariates=generator.normal(size=(rows, covariates)),
        models=models,
    )


def dense(design: Design) -> NDArray[np.float64]:
    rows = np.arange(len(design.first))
    matrix = np.zeros((len(rows), design.models))
    matrix[rows, design.first], matrix[rows, design.second] = 1, -1
    return np.concatenate([matrix, design.covariates], axis=1)


@pytest.mark.parametrize("covariates", [0, 1, 3])
def test_a_design_is_its_dense_matrix(covariates: int) -> None:
    design = some_design(covariates=covariates)
    matrix, values = dense(design), np.random.default_rng(1).normal(size=60)
    theta = np.random.default_rng(2).normal(size=design.parameters)
    np.testing.assert_allclose(design.logits(theta), matrix @ theta)
    np.testing.assert_allclose(design.total(values), matrix.T @ values, atol=1e-12)
    square = matrix.T @ (values[:, None] * matrix)
    np.testing.assert_allclose(design.gram(values), square, atol=1e-12)
    np.testing.assert_allclose(design.quadratic(square), np.sum((matrix @ square) * matrix, axis=1), atol=1e-9)


@pytest.mark.parametrize("covariates", [0, 2])
def test_the_minimum_is_that_of_a_general_optimiser(covariates: int) -> None:
    """Some weights are negative, and targets lie outside 0 .. weight, as in prediction-powered inference."""
    design, generator = some_design(400, covariates=covariates), np.random.default_rng(5)
    weights = generator.exponential(size=400)
    targets = weights * np.clip(generator.normal(0.5, 0.4, 400), -0.3, 1.3)
    weights[::9] *= -0.3
    fit = minimise(design, weights, targets)
    matrix = dense(design)

    def loss(theta: NDArray[np.float64]) -> float:
        logits = matrix @ theta
        return float(weights @ np.logaddexp(0, logits) - targets @ logits)

    found = optimize.minimize(loss, np.zeros(design.parameters), tol=1e-12).x
    found[:5] -= found[:5].mean()
    assert fit.converged
    assert fit.theta[:5].sum() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(fit.theta, found, atol=1e-4)
    residuals = weights * fit.probabilities - targets
    np.testing.assert_allclose(design.total(residuals), 0, atol=1e-9)


def test_the_inverse_is_that_among_strengths_which_sum_to_zero() -> None:
    design = some_design()
    fit = minimise(design, np.ones(60), np.full(60, 0.5))
    inverse = fit.inverse(design.models)
    np.testing.assert_allclose(inverse, np.linalg.pinv(fit.hessian), atol=1e-10)
    np.testing.assert_allclose(sandwich(inverse, fit.hessian), inverse, atol=1e-10)


@pytest.mark.parametrize(
    "targets",
    [np.array([1.0, 1.0, 1.0]), np.array([0.0, 1.0, 3.0]), np.array([-2.0, 0.5, 0.5])],
    ids=["one who always wins", "a target beyond its weight", "a negative target"],
)
def test_what_has_no_finite_minimum_did_not_converge(targets: NDArray[np.float64]) -> None:
    design = Design(np.array([0, 0, 1]), np.array([1, 2, 2]), np.zeros((3, 0)), models=3)
    fit = minimise(design, np.ones(3), targets)
    assert not fit.converged
    assert np.isfinite(fit.theta).all()


def test_a_covariate_that_says_what_models_say_did_not_converge() -> None:
    first, second = np.array([0, 0, 1, 1]), np.array([1, 1, 2, 2])
    design = Design(first, second, (first - second)[:, None].astype(float), models=3)
    assert not minimise(design, np.ones(4), np.array([0.2, 0.7, 0.5, 0.1])).converged


def test_nothing_at_all_does_not_converge() -> None:
    nothing = np.zeros(0, dtype=np.intp)
    assert not minimise(Design(nothing, nothing, np.zeros((0, 0)), models=2), np.zeros(0), np.zeros(0)).converged
    assert not minimise(Design(nothing, nothing, np.zeros((0, 0)), models=0), np.zeros(0), np.zeros(0)).converged
