"""Two biases of judges: for the answer that stands first, and for the longer one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.evaluation.bootstrap import Resamples
from prefstream.scoring.evaluation.metrics import Statistic, difference, mean, share, share_of_a
from prefstream.scoring.evaluation.results import LengthBias, LengthRatio, PositionBias
from prefstream.scoring.probabilities import Triples, credit

if TYPE_CHECKING:  # what makes forecasts and reads files is no need of whoever has arrays
    from prefstream.scoring.evaluation.battle_facts import BattleFacts
    from prefstream.scoring.panel.predict import Forecast

RATIO_EDGES: Final = (1.0, 1.2, 1.5, 2.0, 3.0, float("inf"))
"""Buckets of the longer answer's length by the shorter's."""


def position_bias(forecast: Forecast, resamples: Resamples) -> PositionBias:
    """What changes when the sides of every battle are exchanged.

    Args:
        forecast: of a judge or the panel.
        resamples: of the battles that it is about.
    """
    if forecast.swapped is None:
        return PositionBias(name=forecast.name, measured=False, by_construction=False)
    before, after = forecast.as_given, forecast.swapped
    gap = before[:, 0] - after[:, 0]
    found = resamples.estimate(
        {
            "flip_rate": share((before.argmax(axis=1) != after.argmax(axis=1)).astype(np.float64)),
            "mean_gap": mean(np.abs(gap)),
            "first_bias": mean(gap),
        }
    )
    return PositionBias(name=forecast.name, measured=True, by_construction=forecast.symmetric, **found)


def length_bias(forecast: Forecast, facts: BattleFacts, resamples: Resamples) -> LengthBias:
    """How often the longer answer wins, as forecast and as people decided.

    Args:
        forecast: of a judge, the panel, or a baseline.
        facts: of the battles that it is about.
        resamples: of the same battles.
    """
    found = resamples.estimate(length_statistics(forecast.probabilities, facts.outcomes, facts.chars_a, facts.chars_b))
    battles = int(comparable(facts.outcomes, facts.chars_a, facts.chars_b).sum())
    return LengthBias(name=forecast.name, battles=battles, **found)


def length_statistics(
    probabilities: Triples, outcomes: NDArray[np.intp], chars_a: NDArray[np.float64], chars_b: NDArray[np.float64]
) -> dict[str, Statistic]:
    """What `LengthBias` tells, by its fields' names.

    Args:
        probabilities: shape (n, 3), in the order of `schemas.OUTCOMES`.
        outcomes: the column of what happened.
        chars_a: characters of response A; NaN where nobody knows.
        chars_b: those of response B.
    """
    counted = comparable(outcomes, chars_a, chars_b)
    longer_is_a = chars_a > chars_b
    longer_won = _longer_won(outcomes, longer_is_a)
    mass_of_longer, held_for_longer = _held_for_longer(probabilities, longer_is_a)
    human = share(longer_won.astype(np.float64), counted)
    mass, held = mean(mass_of_longer, counted), share(held_for_longer, counted)
    right = credit(probabilities[:, :2], np.where(outcomes < 2, outcomes, 0))
    return {
        "human": human,
        "predicted_mass": mass,
        "predicted_share": held,
        "excess_mass": difference(mass, human),
        "excess_share": difference(held, human),
        "accuracy_longer_won": share(right, counted & longer_won),
        "accuracy_shorter_won": share(right, counted & ~longer_won),
    }


def length_ratios(forecast: Forecast, facts: BattleFacts, resamples: Resamples) -> tuple[LengthRatio, ...]:
    """As `length_bias`, by how much longer the longer answer is.

    Args:
        forecast: of the panel.
        facts: of the battles that it is about.
        resamples: of the same battles.
    """
    shorter = np.minimum(facts.chars_a, facts.chars_b)
    longer = np.maximum(facts.chars_a, facts.chars_b)
    ratio = np.divide(longer, shorter, out=np.full(len(facts), np.inf), where=shorter > 0)
    bucket = np.searchsorted(RATIO_EDGES[1:-1], ratio, side="right")
    human = _longer_won(facts.outcomes, facts.longer_is_a).astype(np.float64)
    mass, _ = _held_for_longer(forecast.probabilities, facts.longer_is_a)
    differing = comparable(facts.outcomes, facts.chars_a, facts.chars_b)
    statistics: dict[str, Statistic] = {}
    counts = []
    for place in range(len(RATIO_EDGES) - 1):
        counted = differing & (bucket == place)
        counts.append(int(counted.sum()))
        statistics[f"human {place}"] = share(human, counted)
        statistics[f"mass {place}"] = mean(mass, counted)
    found = resamples.estimate(statistics)
    return tuple(
        LengthRatio(
            name=_ratio_name(place), battles=count, human=found[f"human {place}"], predicted=found[f"mass {place}"]
        )
        for place, count in enumerate(counts)
    )


def comparable(
    outcomes: NDArray[np.intp], chars_a: NDArray[np.float64], chars_b: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Battles that somebody won, and whose answers are known to differ in length."""
    # False where either length is NaN, as every comparison with it is.
    differing: NDArray[np.bool_] = (outcomes < 2) & ((chars_a < chars_b) | (chars_a > chars_b))
    return differing


def _longer_won(outcomes: NDArray[np.intp], longer_is_a: NDArray[np.bool_]) -> NDArray[np.bool_]:
    won: NDArray[np.bool_] = (outcomes == 0) == longer_is_a
    return won


def _held_for_longer(
    probabilities: Triples, longer_is_a: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per battle: the probability of the longer among A and B, and whether it was held for better."""
    for_a = share_of_a(probabilities)
    return np.where(longer_is_a, for_a, 1.0 - for_a), credit(probabilities[:, :2], np.where(longer_is_a, 0, 1))


def _ratio_name(place: int) -> str:
    low, high = RATIO_EDGES[place], RATIO_EDGES[place + 1]
    return f"over {low:g}x" if np.isinf(high) else f"{low:g} to {high:g}x"
