"""Probabilities of the three outcomes, as arrays: what judges, panels, evaluation and training hand each other."""

from __future__ import annotations

from typing import Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Triples: TypeAlias = NDArray[np.float64]
"""Shape (battles, 3), columns in the order of `schemas.OUTCOMES`."""

EXCHANGED: Final = (1, 0, 2)
"""The outcomes' columns with A and B exchanged."""

SMALLEST_PROBABILITY: Final = float(np.finfo(np.float64).eps)
"""Below it a probability counts as this: one certain and wrong answer must not make a mean infinite."""


_Floats = TypeVar("_Floats", np.float32, np.float64)


def exchange(triples: NDArray[_Floats]) -> NDArray[_Floats]:
    """Exchange A and B.

    Args:
        triples: shape (..., 3).
    """
    exchanged: NDArray[_Floats] = triples[..., EXCHANGED]
    return exchanged


def normalise(weights: Triples) -> Triples:
    """Divide each row by its sum.

    A and B are added first: the sum, and with it every bit of the answer, is the same with the sides exchanged.
    """
    total = (weights[:, 0] + weights[:, 1]) + weights[:, 2]
    return weights / total[:, None]


def possible(probabilities: Triples, ties_possible: NDArray[np.bool_]) -> Triples:
    """What is said about the outcomes that were possible: where ties weren't, A and B share all probability.

    Args:
        probabilities: shape (n, 3).
        ties_possible: shape (n,).

    Returns:
        Shape (n, 3). Who is sure of a tie where there is none says nothing about A and B: a half each.
    """
    left = probabilities.copy()
    left[~ties_possible, 2] = 0.0
    nothing = np.broadcast_to([0.5, 0.5, 0.0], left.shape).copy()
    total = (left[:, 0] + left[:, 1] + left[:, 2])[:, None]
    divided: Triples = np.divide(left, total, out=nothing, where=total > 0)
    return np.where(ties_possible[:, None], probabilities, divided)


def log_losses(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each probability costs when its outcome happens: its negative logarithm, in nats, of any shape."""
    losses: NDArray[np.float64] = -np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))
    return losses


def credit(probabilities: Triples, outcomes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Per battle 1 where its outcome is the most probable one, 1/k where it is one of k, else 0.

    The one rule for whether a forecast was right: its mean is the accuracy, wherever one is told.

    Args:
        probabilities: shape (n, k), k outcomes.
        outcomes: the column of what happened.
    """
    best = probabilities == probabilities.max(axis=1, keepdims=True)
    shares: NDArray[np.float64] = best[np.arange(len(outcomes)), outcomes] / best.sum(axis=1)
    return shares
