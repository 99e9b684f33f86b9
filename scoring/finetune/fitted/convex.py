"""Fitting what is linear in a judge: maximum likelihood with a penalty, the loss that all judges share.

Bradley-Terry with ties, after Davidson (1970): the log odds of A against B are linear in one set of columns, the logit
of the tie in another. The loss is convex, so there is one answer, and nothing is drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator
from scipy.special import log_softmax

from prefstream.scoring.probabilities import Triples

Vector: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = LinearOperator | NDArray[np.float64]
"""What columns are multiplied by; an operator need not hold them as they are multiplied."""

FREE: Final = 1e-3
"""Penalty of the constant: how often ties are is to be learnt in full, and a fit on ties alone must end."""

_IMPOSSIBLE: Final = -1e4
"""Logit of a tie where there are none, as in `losses`."""

_TOLERANCE: Final = 1e-6
"""Of the gradient of the mean loss: the log loss is then settled to its sixth digit."""

_GAIN: Final = 1e-10
"""Of the loss, relative: a step that gains less is the last."""

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

    def at(self, rows: NDArray[np.intp]) -> Verdicts:
        """Of some of the battles.

        Args:
            rows: which.
        """
        return Verdicts(self.targets[rows], self.ties_possible[rows], self.weights[rows])


@dataclass(frozen=True, slots=True, eq=False)
class ConvexFit:
    """What came of a fit.

    Attributes:
        sides: weights of the columns that decide who wins.
        both: of those that decide how likely a tie is.
        iterations: of the optimiser.
        settled: False where it was cut off: more iterations would give other weights.
    """

    sides: Vector
    both: Vector
    iterations: int
    settled: bool

    def losses(self, sides: Matrix, both: Matrix, judged: Verdicts) -> Vector:
        """What people said of other battles costs, each, nats.

        Args:
            sides: as in the fit.
            both: as in the fit.
            judged: what people said of them.
        """
        logs = _log_probabilities(sides @ self.sides, both @ self.both, judged.ties_possible)
        losses: Vector = -(judged.targets * logs).sum(axis=1)
        return losses


def fit_convex(sides: Matrix, both: Matrix, judged: Verdicts, penalties: Vector, *, most_iterations: int) -> ConvexFit:
    """Fit the weights.

    Args:
        sides: shape (n, columns), of n battles that all count; its signs change when A and B change places.
        both: likewise for the tie's logit, and without a sign.
        judged: what people said of them.
        penalties: half of this times the square of a weight is added to the sum of losses; sides first, then both.
        most_iterations: of the optimiser.
    """
    found = minimize(
        _Loss(sides, both, judged, penalties),
        np.zeros(sides.shape[1] + both.shape[1]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": most_iterations, "gtol": _TOLERANCE, "ftol": _GAIN, "maxcor": _MEMORY},
    )
    split = sides.shape[1]
    return ConvexFit(found.x[:split], found.x[split:], int(found.nit), settled=found.status != _CUT_OFF)


class _Loss:
    """Mean log loss with the penalty, and its gradient, of weights in one row: sides, then both."""

    def __init__(self, sides: Matrix, both: Matrix, said: Verdicts, penalties: Vector) -> None:
        self._sides, self._both = sides, both
        self._said = said
        self._penalties = penalties
        self._total = said.weights.sum()

    def __call__(self, weights: Vector) -> tuple[float, Vector]:
        said, split = self._said, self._sides.shape[1]
        logs = _log_probabilities(self._sides @ weights[:split], self._both @ weights[split:], said.ties_possible)
        excess = said.weights[:, None] * (np.exp(logs) - said.targets)
        gradient = np.concatenate(
            [
                self._sides.T @ ((excess[:, 0] - excess[:, 1]) / 2),
                self._both.T @ np.where(said.ties_possible, excess[:, 2], 0.0),
            ]
        )
        pulled = self._penalties * weights
        loss = -(said.weights[:, None] * said.targets * logs).sum() + weights @ pulled / 2
        return float(loss / self._total), (gradient + pulled) / self._total


def _log_probabilities(odds: Vector, tie: Vector, ties_possible: NDArray[np.bool_]) -> Triples:
    half = odds / 2
    logs: Triples = log_softmax(np.stack([half, -half, np.where(ties_possible, tie, _IMPOSSIBLE)], axis=1), axis=1)
    return logs
