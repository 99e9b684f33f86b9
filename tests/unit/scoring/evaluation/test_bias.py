"""Position and length bias, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prefstream.scoring.evaluation.battle_facts import BattleFacts, gather_facts
from prefstream.scoring.evaluation.bias import length_bias, length_ratios, position_bias
from prefstream.scoring.evaluation.bootstrap import Resamples
from prefstream.scoring.files.labelled import Label, LabelledBattle
from prefstream.scoring.panel.predict import Forecast
from tests.support.judged import make_labelled

LABELS = {
    "model_a": Label("model_a", (1.0, 0.0, 0.0)),
    "model_b": Label("model_b", (0.0, 1.0, 0.0)),
    "tie": Label("tie", (0.0, 0.0, 1.0)),
}


def facts_of(*battles: tuple[int, int, str]) -> BattleFacts:
    """Battles by characters of A, of B, and outcome."""
    labelled: list[LabelledBattle] = [
        replace(
            one,
            battle=one.battle.model_copy(update={"response_a": ("a" * chars_a,), "response_b": ("b" * chars_b,)}),
            label=LABELS[outcome],
        )
        for one, (chars_a, chars_b, outcome) in zip(make_labelled(len(battles)), battles, strict=True)
    ]
    return gather_facts(labelled)


def forecast_of(*rows: tuple[float, float, float], swapped: list[tuple[float, float, float]] | None = None) -> Forecast:
    given = np.array(rows)
    return Forecast("one", given, as_given=given, swapped=None if swapped is None else np.array(swapped))


def test_flips_and_gaps_are_counted_between_both_orders() -> None:
    forecast = forecast_of((0.6, 0.3, 0.1), (0.2, 0.7, 0.1), swapped=[(0.2, 0.7, 0.1), (0.1, 0.8, 0.1)])
    found = position_bias(forecast, Resamples([0, 1], resamples=100))
    assert found.measured
    assert not found.by_construction
    assert [one.value for one in (found.flip_rate, found.mean_gap, found.first_bias) if one] == pytest.approx(
        [0.5, 0.25, 0.25]
    )


def test_a_judge_that_read_one_order_is_not_measured() -> None:
    found = position_bias(forecast_of((0.6, 0.3, 0.1)), Resamples([0], resamples=100))
    assert not found.measured
    assert found.flip_rate is None


def test_a_symmetric_judge_cannot_flip() -> None:
    rows = np.array([[0.6, 0.3, 0.1], [0.4, 0.5, 0.1]])
    forecast = Forecast("one", rows, as_given=rows, swapped=rows, symmetric=True)
    found = position_bias(forecast, Resamples([0, 1], resamples=100))
    assert found.by_construction
    assert found.flip_rate is not None
    assert found.flip_rate.value == 0.0


def test_longer_wins_over_decided_pairs_of_different_lengths() -> None:
    facts = facts_of((200, 100, "model_a"), (100, 200, "model_a"), (200, 100, "tie"), (50, 50, "model_b"))
    forecast = forecast_of((0.6, 0.2, 0.2), (0.3, 0.6, 0.1), (0.9, 0.05, 0.05), (0.9, 0.05, 0.05))
    found = length_bias(forecast, facts, Resamples(range(4), resamples=100))
    assert found.battles == 2
    assert found.human.value == 0.5
    assert found.predicted_mass.value == pytest.approx((0.75 + 2 / 3) / 2)
    assert found.predicted_share.value == 1.0
    assert found.excess_share.value == 0.5
    assert found.accuracy_longer_won.value == 1.0
    assert found.accuracy_shorter_won.value == 0.0


def test_nearly_equal_lengths_are_less_than_a_fifth_apart_and_equal_ones_belong_to_them() -> None:
    facts = facts_of((119, 100, "model_b"), (100, 100, "model_a"), (120, 100, "model_b"), (110, 100, "tie"))
    found = length_bias(forecast_of(*[(0.6, 0.2, 0.2)] * 4), facts, Resamples(range(4), resamples=100))
    assert found.accuracy_nearly_equal is not None
    assert found.accuracy_nearly_equal.value == 0.5


def test_ratios_hold_every_comparable_battle_once() -> None:
    facts = facts_of((110, 100, "model_a"), (100, 900, "model_a"), (0, 10, "model_b"), (100, 120, "model_b"))
    forecast = forecast_of(*[(0.5, 0.3, 0.2)] * 4)
    found = length_ratios(forecast, facts, Resamples(range(4), resamples=100))
    assert [one.battles for one in found] == [1, 1, 0, 0, 2]
    assert found[0].human.value == 1.0
    assert found[2].human.value is None
