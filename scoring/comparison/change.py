"""How far two sets of answers lie apart: verdicts, shifts, distances, each with its interval."""

from __future__ import annotations

from typing import Final

import numpy as np

from prefstream.schemas import OUTCOMES
from prefstream.scoring.comparison.results import Change, Counts, MeanShift
from prefstream.scoring.evaluation.bootstrap import Resamples
from prefstream.scoring.evaluation.metrics import Statistic, mean, share
from prefstream.scoring.probabilities import Triples, divergence_bits

_SHIFT: Final = "shift of "


def most_distant(left: Triples, right: Triples, most: int) -> list[tuple[int, float]]:
    """Which answers differ most, the most distant first; none that are the same.

    Args:
        left: shape (n, 3).
        right: likewise, about the same battles.
        most: so many at most.

    Returns:
        Rows, and the Jensen-Shannon divergence of each, in bits.
    """
    distances = divergence_bits(left, right)
    order = np.argsort(-distances, kind="stable")[:most]
    return [(row, float(distances[row])) for row in order.tolist() if distances[row] > 0]


def measure_change(left: Triples, right: Triples, draws: Resamples) -> Change:
    """Hold answers against each other battle by battle.

    Args:
        left: shape (n, 3), n > 0.
        right: likewise, about the same battles.
        draws: of their prompts.
    """
    verdict_left, verdict_right = left.argmax(axis=1), right.argmax(axis=1)
    shifts = right - left
    statistics: dict[str, Statistic] = {
        "changed": share((verdict_left != verdict_right).astype(np.float64)),
        "mean_absolute_difference": mean(np.abs(shifts).mean(axis=1)),
        "divergence": mean(divergence_bits(left, right)),
        **{f"{_SHIFT}{outcome}": mean(shifts[:, column]) for column, outcome in enumerate(OUTCOMES)},
    }
    found = draws.estimate(statistics)
    shift = MeanShift(**{outcome: found.pop(f"{_SHIFT}{outcome}") for outcome in OUTCOMES})
    counts = np.bincount(verdict_left * len(OUTCOMES) + verdict_right, minlength=len(OUTCOMES) ** 2)
    rows: list[Counts] = [(a, b, tie) for a, b, tie in counts.reshape(len(OUTCOMES), -1).tolist()]
    return Change(
        battles=len(left),
        prompts=draws.prompts,
        verdicts=(rows[0], rows[1], rows[2]),
        shift=shift,
        changed=found["changed"],
        mean_absolute_difference=found["mean_absolute_difference"],
        divergence=found["divergence"],
    )
