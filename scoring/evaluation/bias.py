"""Two biases of judges: for the answer that stands first, and for the longer one."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.evaluation.battle_facts import BattleFacts
from prefstream.scoring.evaluation.bootstrap import Resamples
from prefstream.scoring.evaluation.metrics import Statistic, difference, mean, share, share_of_a
from prefstream.scoring.evaluation.results import LengthBias, LengthRatio, PositionBias
from prefstream.scoring.panel.predict import Forecast
from prefstream.scoring.probabilities import Triples, credit

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
    counted = _comparable(facts)
    won, mass_of_longer, held_for_longer = _longer_wins(forecast.probabilities, facts)
    human, mass, held = share(won, counted), mean(mass_of_longer, counted), share(held_for_longer, counted)
    longer_won = _longer_won(facts)
    right = credit(forecast.probabilities[:, :2], np.where(facts.outcomes < 2, facts.outcomes, 0))
    found = resamples.estimate(
        {
            "human": human,
            "predicted_mass": mass,
            "predicted_share": held,
            "excess_mass": difference(mass, human),
            "excess_share": difference(held, human),
            "accuracy_longer_won": share(right, counted & longer_won),
            "accuracy_shorter_won": share(right, counted & ~longer_won),
        }
    )
    return LengthBias(name=forecast.name, battles=int(counted.sum()), **found)


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
    human, mass, _ = _longer_wins(forecast.probabilities, facts)
    statistics: dict[str, Statistic] = {}
    counts = []
    for place in range(len(RATIO_EDGES) - 1):
        counted = _comparable(facts) & (bucket == place)
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


def _comparable(facts: BattleFacts) -> NDArray[np.bool_]:
    """Battles that somebody won, and whose answers differ in length."""
    comparable: NDArray[np.bool_] = (facts.outcomes < 2) & (facts.chars_a != facts.chars_b)
    return comparable


def _longer_won(facts: BattleFacts) -> NDArray[np.bool_]:
    won: NDArray[np.bool_] = (facts.outcomes == 0) == facts.longer_is_a
    return won


def _longer_wins(
    probabilities: Triples, facts: BattleFacts
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Per battle: whether the longer won, the probability of that among A and B, whether it was held for better."""
    for_a = share_of_a(probabilities)
    mass = np.where(facts.longer_is_a, for_a, 1.0 - for_a)
    held = credit(probabilities[:, :2], np.where(facts.longer_is_a, 0, 1))
    return _longer_won(facts).astype(np.float64), mass, held


def _ratio_name(place: int) -> str:
    low, high = RATIO_EDGES[place], RATIO_EDGES[place + 1]
    return f"over {low:g}x" if np.isinf(high) else f"{low:g} to {high:g}x"
