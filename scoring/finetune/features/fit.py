"""Fitting the linear model of a judge of features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator

from prefstream.scoring.features.extract import Features
from prefstream.scoring.features.linear import LinearModel
from prefstream.scoring.features.names import BOTH, SIDES
from prefstream.scoring.finetune.features.recipe import FeaturesRecipe
from prefstream.scoring.finetune.fitted.convex import FREE, Vector, Verdicts, fit_convex

_CONSTANT: Final = 1e-9
"""Of its size, below which a measure does not vary."""

_BLOCK_ROWS: Final = 4096
"""Squared at a time."""


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
        features: of n battles, all of which count, at least one.
        judged: what people said of them.
        recipe: its penalties and list of features.
    """
    sides = _Standardised.of(features.sides, len(SIDES), centred=False)
    both = _Standardised.of(features.both, len(BOTH), centred=True)
    found = fit_convex(
        sides.operator(),
        both.operator(),
        judged,
        _penalties(recipe, features.sides.shape[1], features.both.shape[1]),
        most_iterations=recipe.most_iterations,
    )
    model = LinearModel.fitted(
        sides.weights(found.sides).astype(np.float32), both.weights(found.both).astype(np.float32), features
    )
    return LinearFit(model, found.iterations, settled=found.settled)


def standard_deviations(columns: csr_array) -> Vector:
    """Of each column over all rows."""
    total, squares = np.zeros(columns.shape[1]), np.zeros(columns.shape[1])
    for start in range(0, columns.shape[0], _BLOCK_ROWS):
        block = csr_array(columns[start : start + _BLOCK_ROWS])
        total += block.sum(axis=0)
        squares += block.multiply(block).sum(axis=0)
    mean = total / columns.shape[0]
    deviations: Vector = np.sqrt(np.maximum(0.0, squares / columns.shape[0] - mean * mean))
    return deviations


@dataclass(frozen=True, slots=True, eq=False)
class _Standardised:
    """Features of which the first, the measures, are brought to one size where they are multiplied.

    The features themselves stay as they are: standardised ones beside them would take as much memory again.

    Attributes:
        columns: shape (n, columns), the features.
        middle: what is taken off each column.
        scale: what it is divided by then.
    """

    columns: csr_array
    middle: Vector
    scale: Vector

    @classmethod
    def of(cls, columns: csr_array, measures: int, *, centred: bool) -> _Standardised:
        """Standardise; what has two signs must not be centred: its middle is 0 in both orders of the answers."""
        measured = columns[:, :measures].toarray()
        middle, scale = np.zeros(columns.shape[1]), np.ones(columns.shape[1])
        if centred:
            middle[:measures] = measured.mean(axis=0)
        measured -= middle[:measures]
        deviations = np.sqrt(np.square(measured, out=measured).mean(axis=0))
        constant = deviations <= _CONSTANT * np.abs(middle[:measures])
        middle[:measures][constant] = 0.0
        scale[:measures] = np.where(constant, 1.0, deviations)
        return cls(columns, middle, scale)

    def operator(self) -> LinearOperator:
        """The standardised features, as a fit multiplies them."""
        columns, middle, scale = self.columns, self.middle, self.scale

        def along(weights: Vector) -> Vector:
            scaled = weights.ravel() / scale
            product: Vector = columns @ scaled - middle @ scaled
            return product

        def across(rows: Vector) -> Vector:
            product: Vector = (columns.T @ rows.ravel() - middle * rows.sum()) / scale
            return product

        return LinearOperator(columns.shape, matvec=along, rmatvec=across, dtype=np.float64)

    def weights(self, fitted: Vector) -> Vector:
        """Weights for the features as they are; what was taken off goes into that of the constant, the first."""
        weights: Vector = fitted / self.scale
        weights[0] -= weights @ self.middle
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
