"""Records what `ppi-python` says of small data, as `ppi_python.json` beside this file.

Run once, in an environment of its own (`python -m venv ppi && ppi/bin/pip install ppi-python==0.2.3`): the package pins
more than a test could carry. The data are drawn here and stand in the file, so that the tests need neither.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ppi_py import (  # type: ignore[import-not-found]
    ppi_logistic_ci,
    ppi_logistic_pointestimate,
    ppi_mean_ci,
    ppi_mean_pointestimate,
)
from scipy.special import expit

_Vector = NDArray[np.float64]

ALPHA = 0.05
LAMBDAS = (0.0, 0.3, 0.7, 1.0, None)
"""None lets the package tune."""


def design(pairs: _Vector) -> _Vector:
    """+1 at the first model, -1 at the second; the first column, of model 0, is left out: its strength is 0."""
    matrix = np.zeros((len(pairs), int(pairs.max()) + 1))
    matrix[np.arange(len(pairs)), pairs[:, 0]] += 1
    matrix[np.arange(len(pairs)), pairs[:, 1]] -= 1
    return matrix[:, 1:]


def logistic(voted: dict[str, _Vector], rest: dict[str, _Vector]) -> list[dict[str, Any]]:
    """Point estimates and intervals for each lambda."""
    arguments = [design(voted["pairs"]), voted["scores"], voted["forecasts"], design(rest["pairs"]), rest["forecasts"]]
    weights = {"w": voted["weights"]} if "weights" in voted else {}
    said = []
    for lam in LAMBDAS:
        point = ppi_logistic_pointestimate(*arguments, lam=lam, **weights)
        low, high = ppi_logistic_ci(*arguments, alpha=ALPHA, lam=lam, **weights)
        said.append({"lambda": lam, "point": point.tolist(), "low": low.tolist(), "high": high.tolist()})
    return said


def mean(voted: dict[str, _Vector], rest: dict[str, _Vector]) -> list[dict[str, Any]]:
    """The same for the mean of the scores."""
    arguments = [voted["scores"], voted["forecasts"], rest["forecasts"]]
    said = []
    for lam in LAMBDAS:
        point = np.ravel(ppi_mean_pointestimate(*arguments, lam=lam))
        low, high = map(np.ravel, ppi_mean_ci(*arguments, alpha=ALPHA, lam=lam))
        said.append({"lambda": lam, "point": point.tolist(), "low": low.tolist(), "high": high.tolist()})
    return said


def two_models(generator: np.random.Generator, *, ties: bool) -> tuple[dict[str, _Vector], dict[str, _Vector]]:
    """70 votes and 430 other battles of one pair, with judges that are too fond of the first model."""
    chance = generator.beta(1.2, 1.0, size=500)
    scores = (generator.random(500) < chance).astype(float)
    if ties:
        scores[generator.random(500) < 0.25] = 0.5
    forecasts = np.clip(0.1 + 0.85 * chance + generator.normal(0, 0.05, 500), 0.02, 0.98)
    pairs = np.tile([1, 0], (500, 1))
    return (
        {"pairs": pairs[:70], "scores": scores[:70], "forecasts": forecasts[:70]},
        {"pairs": pairs[70:], "forecasts": forecasts[70:]},
    )


def four_models(generator: np.random.Generator) -> tuple[dict[str, _Vector], dict[str, _Vector]]:
    """Six pairs with 25 votes and 75 other battles each; judges overrate model 3."""
    pairs = np.repeat(np.array(list(combinations(range(4), 2))), 100, axis=0)
    strengths = np.array([0.0, 0.4, -0.3, 0.8])
    chance = expit(strengths[pairs[:, 0]] - strengths[pairs[:, 1]] + generator.normal(0, 1.5, len(pairs)))
    scores = (generator.random(len(pairs)) < chance).astype(float)
    biased = (pairs[:, 0] == 3) * 0.1 - (pairs[:, 1] == 3) * 0.1
    forecasts = np.clip(chance + biased + generator.normal(0, 0.1, len(pairs)), 0.02, 0.98)
    voted = np.tile(np.arange(100) < 25, 6)
    return (
        {"pairs": pairs[voted], "scores": scores[voted], "forecasts": forecasts[voted]},
        {"pairs": pairs[~voted], "forecasts": forecasts[~voted]},
    )


def repeated(voted: dict[str, _Vector], times: int) -> dict[str, _Vector]:
    """Other battles that repeat the forecasts of the voted ones: whatever is summed, both give the same mean."""
    return {name: np.concatenate([voted[name]] * times) for name in ("pairs", "forecasts")}


def unbiased(voted: dict[str, _Vector], generator: np.random.Generator) -> dict[str, _Vector]:
    """Forecasts whose own fit is the votes': those of the votes, halfway to the outcome, with noise that sums to 0."""
    matrix = design(voted["pairs"])
    theta = ppi_logistic_pointestimate(matrix, voted["scores"], voted["scores"], matrix, voted["scores"], lam=0)
    expected = expit(matrix @ theta)
    noise = generator.uniform(-0.05, 0.05, len(expected))
    for row in np.unique(voted["pairs"], axis=0):
        same = (voted["pairs"] == row).all(axis=1)
        noise[same] -= noise[same].mean()
    return {**voted, "forecasts": expected + 0.4 * (voted["scores"] - expected) + noise}


def main() -> None:
    """Draw, ask, write."""
    generator = np.random.default_rng(20231102)
    pair, other = two_models(generator, ties=False)
    tied, tied_other = two_models(generator, ties=True)
    four, four_other = four_models(generator)
    weighted = {**pair, "weights": generator.uniform(0.5, 4.0, len(pair["scores"]))}
    exact = unbiased(four, generator)
    cases = {
        "two models": (pair, other, logistic),
        "two models, same forecasts": (pair, repeated(pair, 5), logistic),
        "two models, weighted": (weighted, other, logistic),
        "two models, mean with ties": (tied, tied_other, mean),
        "two models, mean with ties, same forecasts": (tied, repeated(tied, 5), mean),
        "four models": (four, four_other, logistic),
        "four models, unbiased judges, same forecasts": (exact, repeated(exact, 3), logistic),
    }
    recorded = {
        name: {
            "voted": {key: values.tolist() for key, values in voted.items()},
            "rest": {key: values.tolist() for key, values in rest.items()},
            "said": ask(voted, rest),
        }
        for name, (voted, rest, ask) in cases.items()
    }
    document = {"ppi-python": version("ppi-python"), "alpha": ALPHA, "cases": recorded}
    Path(__file__).with_name("ppi_python.json").write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
