"""The formulas of prediction-powered inference, held against recorded answers of `ppi-python`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from prefstream.scoring.strengths.comparisons import Comparisons
from prefstream.scoring.strengths.rectifier import Judged, Rectified, Voted, rectify

RECORDED = json.loads((Path(__file__).parent / "recorded" / "ppi_python.json").read_text())
CASES: dict[str, Any] = RECORDED["cases"]
Z = float(norm.isf(RECORDED["alpha"] / 2))

TWO, WEIGHTED, FOUR = "two models", "two models, weighted", "four models"
MEAN, SAME_MEAN = "two models, mean with ties", "two models, mean with ties, same forecasts"
SAME_TWO, SAME_FOUR = "two models, same forecasts", "four models, unbiased judges, same forecasts"
FIXED = (0.3, 0.7, 1.0)

_Vector = NDArray[np.float64]


def said(name: str, lambda_: float | None) -> tuple[_Vector, _Vector]:
    """Point estimates and standard errors that the package gave."""
    answer = next(answer for answer in CASES[name]["said"] if answer["lambda"] == lambda_)
    return np.array(answer["point"]), (np.array(answer["high"]) - np.array(answer["low"])) / (2 * Z)


def sizes(name: str) -> tuple[int, int]:
    """Number of voted battles, and of the others."""
    return len(CASES[name]["voted"]["forecasts"]), len(CASES[name]["rest"]["forecasts"])


def share_of_others(name: str) -> float:
    """What their lambda is of ours, where votes come at random: they hold voted battles against the others only."""
    voted, rest = sizes(name)
    return rest / (voted + rest)


def comparisons(pairs: list[list[int]], scores: _Vector, weights: _Vector | None = None) -> Comparisons:
    """One row a battle."""
    numbers = np.array(pairs)
    return Comparisons(
        models=int(numbers.max()) + 1,
        first=numbers[:, 0],
        second=numbers[:, 1],
        style=np.zeros((len(numbers), 0)),
        counts=np.ones(len(numbers)),
        weights=np.ones(len(numbers)) if weights is None else weights,
        scores=scores,
        squares=scores**2,
    )


def ours(name: str, lambda_: float | None, *, voted_among_all: bool = True) -> Rectified:
    voted, rest = CASES[name]["voted"], CASES[name]["rest"]
    weights = np.array(voted["weights"]) if "weights" in voted else None
    rows = comparisons(voted["pairs"], np.array(voted["scores"]), weights)
    forecasts = np.array(voted["forecasts"] * voted_among_all + rest["forecasts"])
    everywhere = comparisons(voted["pairs"] * voted_among_all + rest["pairs"], forecasts)
    rectified = rectify(
        Voted(rows, rows.design(rows.style), np.array(voted["forecasts"])),
        Judged(everywhere, everywhere.design(everywhere.style)),
        lambda_=lambda_,
        few_votes=False,
    )
    assert rectified is not None
    return rectified


def contrasts(rectified: Rectified) -> tuple[_Vector, _Vector]:
    """Strengths less that of model 0, as the recorded design has them, with standard errors."""
    models = len(rectified.theta)
    less = np.eye(models)[1:] - np.eye(models)[0]
    return less @ rectified.theta, np.sqrt(np.diag(less @ rectified.covariance @ less.T))


@pytest.mark.parametrize("lambda_", FIXED)
@pytest.mark.parametrize("name", [TWO, FOUR, SAME_TWO, SAME_FOUR])
def test_point_estimates_agree_where_pairs_are_mixed_alike(name: str, lambda_: float) -> None:
    """As far as their optimiser goes."""
    expected, _ = said(name, lambda_)
    found, _ = contrasts(ours(name, lambda_ / share_of_others(name)))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("lambda_", FIXED)
def test_weighted_point_estimates_agree(lambda_: float) -> None:
    """Held against battles that are a sample of all, as theirs have to be where votes have weights."""
    expected, _ = said(WEIGHTED, lambda_)
    found, _ = contrasts(ours(WEIGHTED, lambda_, voted_among_all=False))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("lambda_", FIXED)
@pytest.mark.parametrize("name", [MEAN, SAME_MEAN])
def test_of_one_pair_the_strength_is_that_of_the_mean_score(name: str, lambda_: float) -> None:
    """Ties included, which their logistic regression does not know."""
    expected, _ = said(name, lambda_)
    found, _ = contrasts(ours(name, lambda_ / share_of_others(name)))
    np.testing.assert_allclose(expit(found), expected, atol=1e-9)


@pytest.mark.parametrize("lambda_", FIXED)
def test_the_error_of_a_mean_score_agrees(lambda_: float) -> None:
    expected, error = said(SAME_MEAN, lambda_)
    _, found = contrasts(ours(SAME_MEAN, lambda_ / share_of_others(SAME_MEAN)))
    np.testing.assert_allclose(found * expected * (1 - expected), error, rtol=1e-9)


@pytest.mark.parametrize("lambda_", FIXED)
@pytest.mark.parametrize("name", [SAME_TWO, SAME_FOUR])
def test_errors_agree_where_both_samples_have_the_same_mean(name: str, lambda_: float) -> None:
    """Theirs divides the votes' part by n - 1 and the judges' by N - 1: both bounds are tight."""
    voted, rest = sizes(name)
    _, expected = said(name, lambda_)
    _, found = contrasts(ours(name, lambda_ / share_of_others(name)))
    ratio = (expected / found) ** 2
    assert (ratio >= rest / (rest - 1) - 1e-5).all()
    assert (ratio <= voted / (voted - 1) + 1e-5).all()


@pytest.mark.parametrize("lambda_", FIXED)
@pytest.mark.parametrize("name", [TWO, MEAN])
def test_errors_are_near_where_samples_are_centred_otherwise(name: str, lambda_: float) -> None:
    """Theirs takes each sample's own mean off, ours that of all battles."""
    point, expected = said(name, lambda_)
    _, found = contrasts(ours(name, lambda_ / share_of_others(name)))
    slope = point * (1 - point) if name == MEAN else 1.0
    np.testing.assert_allclose(found * slope, expected, rtol=0.01)


@pytest.mark.parametrize("lambda_", FIXED)
def test_errors_are_smaller_where_judges_are_biased(lambda_: float) -> None:
    """In theirs, the bias for model 3 counts as noise; of the others, errors are nearly the same."""
    _, expected = said(FOUR, lambda_)
    _, found = contrasts(ours(FOUR, lambda_ / share_of_others(FOUR)))
    assert (found < expected).all()
    np.testing.assert_allclose(found[:2], expected[:2], rtol=0.015)
    assert found[2] / expected[2] < (found / expected)[:2].min() or lambda_ < 0.5


@pytest.mark.parametrize("name", [SAME_TWO, SAME_MEAN, SAME_FOUR])
def test_the_tuned_lambda_gives_the_width_of_theirs(name: str) -> None:
    voted, _ = sizes(name)
    point, expected = said(name, None)
    tuned = ours(name, None)
    _, found = contrasts(tuned)
    slope = point * (1 - point) if name == SAME_MEAN else 1.0
    if name == SAME_FOUR:  # theirs ends at 1, ours may go on
        assert tuned.lambda_ * share_of_others(name) > 1
        assert (found < expected).all()
    else:
        np.testing.assert_allclose(found * slope, expected, rtol=1 / voted)


def test_the_tuned_lambda_is_near_theirs() -> None:
    """They take the forecasts' variance from all battles, we that of the voted ones beside it."""
    means = [np.mean(CASES[MEAN][part]["forecasts"]) for part in ("rest", "voted")]
    (at_zero,), (tuned,) = said(MEAN, 0.0)[0], said(MEAN, None)[0]
    theirs = (tuned - at_zero) / (means[0] - means[1])
    assert ours(MEAN, None).lambda_ * share_of_others(MEAN) == pytest.approx(theirs, rel=0.15)
