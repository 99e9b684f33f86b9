"""The linear model over features: who is ahead, how likely a tie is, and which features say so.

Bradley-Terry with ties, after Davidson (1970), as a pointwise judge reads its scores: the log odds of A against B are
linear in the features that change their signs under exchange, without an intercept; the tie's logit is linear in those
that don't.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.features.extract import Features


@dataclass(frozen=True, slots=True, eq=False)
class LinearModel:
    """Weights, one per column of the features.

    Attributes:
        sides: what each feature adds to the log odds of A against B, nats.
        both: what each adds to the tie's logit, nats.
        bounds: shape (3,): the furthest log odds either way, the lowest and the highest logit of a tie that it gave
            to a battle that it was fitted on. It answers no other battle more extremely: a line goes on for ever,
            what was learnt ends there.
    """

    sides: NDArray[np.float32]
    both: NDArray[np.float32]
    bounds: NDArray[np.float32]

    @classmethod
    def fitted(cls, sides: NDArray[np.float32], both: NDArray[np.float32], features: Features) -> LinearModel:
        """The model with its bounds.

        Args:
            sides: as above.
            both: as above.
            features: of the battles that the weights were fitted on, at least one.
        """
        odds, ties = _unbounded(features, sides, both)
        return cls(sides, both, np.array([np.abs(odds).max(), ties.min(), ties.max()], dtype=np.float32))

    def logits(self, features: Features) -> NDArray[np.float32]:
        """Of the three outcomes, shape (n, 3); of the exchanged battle the same to the last bit, exchanged.

        SciPy adds a row's products one after the other, in the order of its columns: the bits of a battle depend on no
        other battle, and exchanging its answers turns the sign of every partial sum.

        Args:
            features: of n battles.
        """
        odds, ties = _unbounded(features, self.sides, self.both)
        furthest, lowest, highest = self.bounds.astype(np.float64)
        half = np.clip(odds, -furthest, furthest) / 2
        return np.stack([half, -half, np.clip(ties, lowest, highest)], axis=1).astype(np.float32)


def _unbounded(
    features: Features, sides: NDArray[np.float32], both: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log odds of A against B and logits of the tie, without any bound."""
    odds: NDArray[np.float64] = features.sides @ sides.astype(np.float64)
    ties: NDArray[np.float64] = features.both @ both.astype(np.float64)
    return odds, ties
