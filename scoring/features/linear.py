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
    """

    sides: NDArray[np.float32]
    both: NDArray[np.float32]

    def logits(self, features: Features) -> NDArray[np.float32]:
        """Of the three outcomes, shape (n, 3); of the exchanged battle the same to the last bit, exchanged.

        SciPy adds a row's products one after the other, in the order of its columns: the bits of a battle depend on no
        other battle, and exchanging its answers turns the sign of every partial sum.

        Args:
            features: of n battles.
        """
        half = (features.sides @ self.sides.astype(np.float64)) / 2
        tie = features.both @ self.both.astype(np.float64)
        return np.stack([half, -half, tie], axis=1).astype(np.float32)
