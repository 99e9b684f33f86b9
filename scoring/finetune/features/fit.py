"""Fitting the linear model of a judge of features: maximum likelihood with a penalty, the loss that all judges share.

The loss is convex, so there is one answer, and nothing is drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array, hstack
from scipy.special import log_softmax

from prefstream.scoring.features.extract import Features
from prefstream.scoring.features.linear import LinearModel
from prefstream.scoring.features.names import BOTH, SIDES
from prefstream.scoring.finetune.features.recipe import FeaturesRecipe
from prefstream.scoring.probabilities import Triples

Vector: TypeAlias = NDArray[np.float64]

_IMPOSSIBLE: Final = -1e4
"""Logit of a tie where there are none, as in `losses`."""

_TOLERANCE: Final = 1e-6
"""Of the gradient of the mean loss: the log loss is then settled to its sixth digit."""

_GAIN: Final = 1e-10
"""Of the loss, relative: a step that gains less is the last."""

_CONSTANT: Final = 1e-9
"""Of its size, below which a measure does not vary."""

_FREE: Final = 1e-3
"""Penalty of the constant: how often ties are is to be learnt in full, and a fit on ties alone must end."""

_CUT_OFF: Final = 1
"""SciPy's status of a search that had all its iterations, or evaluations, and was not at its end."""

_MEMORY: Final = 20
"""Steps that L-BFGS remembers: with the default of 10 it takes a third more of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """What people said of the n battles that features are of.

    Attributes:
        targets: shape (n, 3), shares of the outcomes.
        ties_possible: where False, P(A) and P(B) count relative to each other alone.
        weights: how much each counts.
    """

    targets: Triples
    ties_possible: NDArray[np.bool_]
    weights: Vector


@dataclass(frozen=True, slots=True)
class LinearFit:
    """What came of a fit.

    Attributes:
        model: with the weights.
        iterations: of the optimiser.
        settled: False where it was cut off: more iterations would give other weights.
    """

    model: LinearModel
    iterations: int
    settled: bool


def fit_linear(features: Features, judged: Verdicts, recipe: FeaturesRecipe) -> LinearFit:
    """Fit the weights.

    Args:
        features: of n battles, at least one of which counts.
        judged: what people said of them.
        recipe: its penalties and list of features.
    """
    rows = np.flatnonzero(judged.weights > 0)
    sides = _Standardised.of(csr_array(features.sides[rows]), len(SIDES), centred=False)
    both = _Standardised.of(csr_array(features.both[rows]), len(BOTH), centred=True)
    loss = _Loss(
        sides.columns,
        both.columns,
        Verdicts(judged.targets[rows], judged.ties_possible[rows], judged.weights[rows]),
        _penalties(recipe, sides.columns.shape[1], both.columns.shape[1]),
    )
    found = minimize(
        loss,
        np.zeros(sides.columns.shape[1] + both.columns.shape[1]),
        jac=True,
        method="L-BFGS-B",
        options={
            "maxiter": recipe.most_iterations,
            "gtol": _TOLERANCE,
            "ftol": _GAIN,
            "maxcor": _MEMORY,
        },
    )
    split = sides.columns.shape[1]
    model = LinearModel.fitted(
        sides.weights(found.x[:split]).astype(np.float32),
        both.weights(found.x[split:]).astype(np.float32),
        Features(csr_array(features.sides[rows]), csr_array(features.both[rows])),
    )
    return LinearFit(model, int(found.nit), settled=found.status != _CUT_OFF)


def standard_deviations(columns: csr_array) -> Vector:
    """Of each column over all rows."""
    mean = np.asarray(columns.mean(axis=0)).ravel()
    square = np.asarray(columns.multiply(columns).mean(axis=0)).ravel()
    deviations: Vector = np.sqrt(np.maximum(0.0, square - mean * mean))
    return deviations


@dataclass(frozen=True, slots=True, eq=False)
class _Standardised:
    """Features of which the first, the measures, are brought to one size.

    Attributes:
        columns: shape (n, columns).
        middle: what was taken off each measure.
        scale: what it was divided by.
    """

    columns: csr_array
    middle: Vector
    scale: Vector

    @classmethod
    def of(cls, columns: csr_array, measures: int, *, centred: bool) -> _Standardised:
        """Standardise; what has two signs must not be centred: its middle is 0 in both orders of the answers."""
        measured = columns[:, :measures].toarray()
        middle = measured.mean(axis=0) if centred else np.zeros(measures)
        scale = np.sqrt(((measured - middle) ** 2).mean(axis=0))
        constant = scale <= _CONSTANT * np.abs(middle)
        middle[constant] = 0.0
        scale[constant] = 1.0
        standard = csr_array((measured - middle) / scale)
        return cls(csr_array(hstack([standard, columns[:, measures:]], format="csr")), middle, scale)

    def weights(self, fitted: Vector) -> Vector:
        """Weights for the features as they are; what was taken off goes into that of the constant, the first."""
        weights = fitted.copy()
        weights[: len(self.scale)] /= self.scale
        weights[0] -= weights[: len(self.middle)] @ self.middle
        return weights


class _Loss:
    """Mean log loss with the penalty, and its gradient, of weights in one row: sides, then both."""

    def __init__(self, sides: csr_array, both: csr_array, said: Verdicts, penalties: Vector) -> None:
        self._sides, self._both = sides, both
        self._sides_across, self._both_across = csr_array(sides.T), csr_array(both.T)
        self._said = said
        self._penalties = penalties
        self._total = said.weights.sum()

    def __call__(self, weights: Vector) -> tuple[float, Vector]:
        said, split = self._said, self._sides.shape[1]
        half = self._sides @ weights[:split] / 2
        tie = np.where(said.ties_possible, self._both @ weights[split:], _IMPOSSIBLE)
        logs = log_softmax(np.stack([half, -half, tie], axis=1), axis=1)
        excess = said.weights[:, None] * (np.exp(logs) - said.targets)
        gradient = np.concatenate(
            [
                self._sides_across @ ((excess[:, 0] - excess[:, 1]) / 2),
                self._both_across @ np.where(said.ties_possible, excess[:, 2], 0.0),
            ]
        )
        pulled = self._penalties * weights
        loss = -(said.weights[:, None] * said.targets * logs).sum() + weights @ pulled / 2
        return float(loss / self._total), (gradient + pulled) / self._total


def _penalties(recipe: FeaturesRecipe, sides: int, both: int) -> Vector:
    penalties, buckets = recipe.penalties, 2**recipe.features.hash_bits
    of_sides = np.full(sides, penalties.characters)
    of_sides[: len(SIDES)] = penalties.measures
    of_sides[len(SIDES) : len(SIDES) + buckets] = penalties.words
    of_both = np.full(both, penalties.tie_words)
    of_both[: len(BOTH)] = penalties.tie_measures
    of_both[0] = _FREE
    return np.concatenate([of_sides, of_both])
