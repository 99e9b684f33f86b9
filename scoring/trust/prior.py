"""What whoever reads no battle would forecast: the baseline that judges must beat to be worth anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.probabilities import Triples


def prequential_prior(outcomes: NDArray[np.intp], weights: NDArray[np.float64] | None = None) -> Triples:
    """Before each vote, the shares of the outcomes among the votes before it (prequential, after Dawid 1984).

    A and B are equally probable: whoever reads no battle knows nothing about the order. One imagined battle of each
    outcome is added, as `evaluation.baselines` does, so that none is impossible.

    Args:
        outcomes: column of what was said, by time.
        weights: how much each of them counts; by default equally.

    Returns:
        Shape (n, 3).
    """
    weight = np.ones(len(outcomes)) if weights is None else weights
    tie = weight * (outcomes == 2)
    ties, decided = (_sums_before(each) for each in (tie, weight - tie))
    # Every battle stands twice, once with its sides exchanged.
    shares = np.stack([decided + 1.0, decided + 1.0, 2.0 * ties + 1.0], axis=1)
    prior: Triples = shares / shares.sum(axis=1, keepdims=True)
    return prior


def _sums_before(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([[0.0], values.cumsum()])[:-1]
