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


def entropy_bits(triples: Triples) -> NDArray[np.float64]:
    """Of each row, in bits; 0 log 0 is 0.

    Args:
        triples: shape (n, 3).
    """
    logs = np.log2(triples, out=np.zeros_like(triples), where=triples > 0)
    bits: NDArray[np.float64] = -(triples * logs).sum(axis=1)
    return bits


def divergence_bits(one: Triples, other: Triples) -> NDArray[np.float64]:
    """Jensen-Shannon divergence row by row (Lin 1991), in bits, 0 to 1; the same whichever comes first.

    Args:
        one: shape (n, 3).
        other: likewise.
    """
    gaps = entropy_bits((one + other) / 2) - (entropy_bits(one) + entropy_bits(other)) / 2
    # Rounding can leave the range by an ulp; of equal rows it is none.
    bits: NDArray[np.float64] = np.where((one == other).all(axis=1), 0.0, np.clip(gaps, 0.0, 1.0))
    return bits


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
