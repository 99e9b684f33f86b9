"""Fitting the linear model of a judge of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csr_array, hstack

from prefstream.scoring.features.extract import Features
from prefstream.scoring.features.linear import LinearModel
from prefstream.scoring.features.names import BOTH, SIDES
from prefstream.scoring.finetune.features.recipe import FeaturesRecipe
from prefstream.scoring.finetune.fitted.convex import FREE, Vector, Verdicts, fit_convex

_CONSTANT: Final = 1e-9
"""Of its size, below which a measure does not vary."""


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
    found = fit_convex(
        sides.columns,
        both.columns,
        judged.at(rows),
        _penalties(recipe, sides.columns.shape[1], both.columns.shape[1]),
        most_iterations=recipe.most_iterations,
    )
    model = LinearModel.fitted(
        sides.weights(found.sides).astype(np.float32),
        both.weights(found.both).astype(np.float32),
        Features(csr_array(features.sides[rows]), csr_array(features.both[rows])),
    )
    return LinearFit(model, found.iterations, settled=found.settled)


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


def _penalties(recipe: FeaturesRecipe, sides: int, both: int) -> Vector:
    penalties, buckets = recipe.penalties, 2**recipe.features.hash_bits
    of_sides = np.full(sides, penalties.characters)
    of_sides[: len(SIDES)] = penalties.measures
    of_sides[len(SIDES) : len(SIDES) + buckets] = penalties.words
    of_both = np.full(both, penalties.tie_words)
    of_both[: len(BOTH)] = penalties.tie_measures
    of_both[0] = FREE
    return np.concatenate([of_sides, of_both])
