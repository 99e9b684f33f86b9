"""How probable the top outcome was, and how often it happened: what a reliability diagram shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.evaluation import metrics
from prefstream.scoring.evaluation.bootstrap import Resamples
from prefstream.scoring.evaluation.results import ReliabilityBin
from prefstream.scoring.probabilities import Triples, credit


def reliability_bins(
    probabilities: Triples,
    outcomes: NDArray[np.intp],
    draws: Resamples,
    *,
    weights: NDArray[np.float64] | None = None,
) -> tuple[ReliabilityBin, ...]:
    """Bin by bin: battles, their mean confidence, the share that was right. Empty bins are left out.

    Args:
        probabilities: shape (n, 3), in the order of `schemas.OUTCOMES`.
        outcomes: the column of what happened.
        draws: of these battles' prompts.
        weights: how much each battle counts, above 0; by default equally. `battles` counts them all the same.
    """
    bins = metrics.calibration_bin(probabilities)
    confidence = probabilities.max(axis=1)
    right = credit(probabilities, outcomes)
    weight = np.ones(len(outcomes)) if weights is None else weights
    found = draws.estimate(
        {str(place): metrics.weighted(metrics.share(right, bins == place), weight) for place in np.unique(bins)}
    )
    return tuple(
        ReliabilityBin(
            low=int(place) / metrics.CALIBRATION_BINS,
            battles=int((bins == place).sum()),
            confidence=float(np.average(confidence[bins == place], weights=weight[bins == place])),
            accuracy=found[str(place)],
        )
        for place in np.unique(bins)
    )
