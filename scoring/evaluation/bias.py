"""Biases of judges: for the answer that stands first, for the longer one, for answers of any other kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.evaluation.bootstrap import Resamples
from prefstream.scoring.evaluation.metrics import Statistic, difference, mean, share, share_of_a
from prefstream.scoring.evaluation.results import LengthBias, LengthRatio, PositionBias
from prefstream.scoring.probabilities import Triples, credit, exchange

if TYPE_CHECKING:  # what makes forecasts and reads files is no need of whoever has arrays
    from prefstream.scoring.evaluation.battle_facts import BattleFacts
    from prefstream.scoring.panel.predict import Forecast

RATIO_EDGES: Final = (1.0, 1.2, 1.5, 2.0, 3.0, float("inf"))
"""Buckets of the longer answer's length by the shorter's."""

NEARLY_EQUAL: Final = RATIO_EDGES[1]
"""Below this ratio of lengths, length tells next to nothing: who finds the winner there sees something else."""

NEITHER: Final = 2
"""Of a battle in which neither side is the one that is asked about."""


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
    longer = side_with_more(chars_a, chars_b)
    counted = comparable(outcomes, chars_a, chars_b)
    longer_won = outcomes == longer
    held = share(_held_for(probabilities, longer), counted)
    right = credit(probabilities[:, :2], np.where(outcomes < 2, outcomes, 0))
    found = win_statistics(probabilities, outcomes, longer)
    return {
        **found,
        "predicted_share": held,
        "excess_share": difference(held, found["human"]),
        "accuracy_longer_won": share(right, counted & longer_won),
        "accuracy_shorter_won": share(right, counted & ~longer_won),
        "accuracy_nearly_equal": share(right, (outcomes < 2) & (length_ratio(chars_a, chars_b) < NEARLY_EQUAL)),
    }


def win_statistics(probabilities: Triples, outcomes: NDArray[np.intp], sides: NDArray[np.intp]) -> dict[str, Statistic]:
    """How often a kind of answer wins among battles with a winner: by people, by a judge, and the difference.

    Args:
        probabilities: shape (n, 3), in the order of `schemas.OUTCOMES`.
        outcomes: the column of what happened.
        sides: whose answer is of that kind: 0 for A, 1 for B, `NEITHER` leaves a battle out.

    Returns:
        `human`; `predicted_mass`, the mean of P(that side) / (P(A) + P(B)); `excess_mass`, the second minus the first.
    """
    counted = (outcomes < 2) & (sides != NEITHER)
    human = share((outcomes == sides).astype(np.float64), counted)
    mass = mean(_mass_of(probabilities, sides), counted)
    return {"human": human, "predicted_mass": mass, "excess_mass": difference(mass, human)}


def side_with_more(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which side has more of something: 0, 1, or `NEITHER` where both have as much or either is NaN."""
    sides: NDArray[np.intp] = np.select([a > b, b > a], [0, 1], NEITHER).astype(np.intp)
    return sides


def length_ratios(forecast: Forecast, facts: BattleFacts, resamples: Resamples) -> tuple[LengthRatio, ...]:
    """As `length_bias`, by how much longer the longer answer is.

    Args:
        forecast: of the panel.
        facts: of the battles that it is about.
        resamples: of the same battles.
    """
    bucket = np.searchsorted(RATIO_EDGES[1:-1], length_ratio(facts.chars_a, facts.chars_b), side="right")
    longer = side_with_more(facts.chars_a, facts.chars_b)
    human = (facts.outcomes == longer).astype(np.float64)
    mass = _mass_of(forecast.probabilities, longer)
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


def length_ratio(chars_a: NDArray[np.float64], chars_b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The longer answer's length by the shorter's, from 1 up; infinite where one is empty, NaN where one is unknown.

    Args:
        chars_a: characters of response A.
        chars_b: those of response B.
    """
    shorter, longer = np.minimum(chars_a, chars_b), np.maximum(chars_a, chars_b)
    ratio: NDArray[np.float64] = np.divide(longer, shorter, out=np.full(len(longer), np.inf), where=shorter != 0)
    return ratio


def comparable(
    outcomes: NDArray[np.intp], chars_a: NDArray[np.float64], chars_b: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Battles that somebody won, and whose answers are known to differ in length."""
    # False where either length is NaN, as every comparison with it is.
    differing: NDArray[np.bool_] = (outcomes < 2) & ((chars_a < chars_b) | (chars_a > chars_b))
    return differing


def _mass_of(probabilities: Triples, sides: NDArray[np.intp]) -> NDArray[np.float64]:
    """Per battle: the probability of a side among A and B."""
    # Its column first: bit for bit the same, whichever side it is.
    return share_of_a(np.where((sides == 1)[:, None], exchange(probabilities), probabilities))


def _held_for(probabilities: Triples, sides: NDArray[np.intp]) -> NDArray[np.float64]:
    """Per battle: whether a side was held for better."""
    return credit(probabilities[:, :2], np.where(sides == 0, 0, 1))


def _ratio_name(place: int) -> str:
    low, high = RATIO_EDGES[place], RATIO_EDGES[place + 1]
    return f"over {low:g}x" if np.isinf(high) else f"{low:g} to {high:g}x"
