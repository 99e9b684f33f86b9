"""Two forecasts of the same battles, held against each other battle by battle.

Both are measured on the same resamples: what both find hard cancels out, and a difference shows long before the
intervals of the two stop overlapping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.evaluation import metrics
from prefstream.scoring.evaluation.bootstrap import Estimate, Resamples
from prefstream.scoring.evaluation.metrics import Statistic, difference
from prefstream.scoring.evaluation.results import Comparison
from prefstream.scoring.probabilities import Triples

Metric: TypeAlias = Callable[[Triples, NDArray[np.intp]], Statistic]
"""From probabilities, shape (n, 3), and the column of what happened."""

COMPARED_METRICS: Final[Mapping[str, Metric]] = {
    "log_loss": metrics.log_loss,
    "accuracy": metrics.accuracy,
    "brier": metrics.brier,
    "decided_accuracy": metrics.decided_accuracy,
}
"""By their names in a `Comparison`."""


def paired_differences(
    own: Mapping[str, Statistic], other: Triples, outcomes: NDArray[np.intp], *, baseline: str
) -> dict[str, Statistic]:
    """A forecast's metrics minus another's, to be resampled together with whatever else is.

    Args:
        own: those of `COMPARED_METRICS`, and any others, of the one.
        other: probabilities of the other, about the same battles.
        outcomes: the column of what happened.
        baseline: name of the other.
    """
    return {
        _key(name, baseline): difference(own[name], metric(other, outcomes))
        for name, metric in COMPARED_METRICS.items()
    }


def comparison_of(found: Mapping[str, Estimate], baseline: str) -> Comparison:
    """What came of `paired_differences`.

    Args:
        found: the estimates, and any others.
        baseline: as there.
    """
    return Comparison(baseline=baseline, **{name: found[_key(name, baseline)] for name in COMPARED_METRICS})


def compare_paired(
    one: Triples, other: Triples, outcomes: NDArray[np.intp], draws: Resamples, *, baseline: str
) -> Comparison:
    """A forecast minus another, by every metric of `COMPARED_METRICS`.

    Args:
        one: probabilities, shape (n, 3).
        other: likewise, about the same battles.
        outcomes: the column of what happened.
        draws: of the prompts of these battles.
        baseline: name of the other.
    """
    own = {name: metric(one, outcomes) for name, metric in COMPARED_METRICS.items()}
    return comparison_of(draws.estimate(paired_differences(own, other, outcomes, baseline=baseline)), baseline)


def _key(metric: str, baseline: str) -> str:
    return f"{metric} to {baseline}"
