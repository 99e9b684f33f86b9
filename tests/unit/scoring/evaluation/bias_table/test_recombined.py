"""What a panel would have said with other judges: the very answers that it gives with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from prefstream.schemas import Battle, Provenance
from prefstream.scoring.evaluation.bias_table.recombined import counted_in, recombined
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.panel.combine import weighted_mean
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.panel.predict import Forecast, Predictions, panel_forecast, predict
from prefstream.scoring.probabilities import Triples
from tests.support.judged import make_labelled, make_probabilities

COUNT = 40
WEIGHTS = (0.4, 0.35, 0.25)
BOTH = Calibration(temperature=0.9, tie_bias=0.04)


class ScriptedJudge:
    """Says what it was made to say, the same of every batch."""

    symmetric = True
    provenance = Provenance(kind="pointwise")
    settings: ClassVar[dict[str, object]] = {}

    def __init__(self, name: str, weight: float) -> None:
        self.name = name
        self.weight = weight

    def encode(self, battles: Sequence[Battle]) -> JudgeBatch:
        return JudgeBatch(len(battles), 1)

    def score(self, batch: JudgeBatch) -> Scores:
        return Scores(make_probabilities(batch.count, seed=ord(self.name)), {})

    def close(self) -> None:
        pass


def answers(said: list[Triples], counted: NDArray[np.bool_], calibration: Calibration) -> Triples:
    """As a panel makes them, battle by battle: the mean of those that count, calibrated."""
    rows = []
    for battle, counts in enumerate(counted):
        shares = [weight * count for weight, count in zip(WEIGHTS, counts, strict=True)]
        rows.append(weighted_mean([one[battle : battle + 1] for one in said], shares))
    return calibration.apply(np.concatenate(rows))


def predictions_of(counted: NDArray[np.bool_], calibration: Calibration = BOTH) -> Predictions:
    said = [make_probabilities(COUNT, seed=seed) for seed in range(3)]
    judges = tuple(
        Forecast(name, one, as_given=one, weight=weight, counted=counted[:, place])
        for place, (name, one, weight) in enumerate(zip("xyz", said, WEIGHTS, strict=True))
    )
    return Predictions(np.arange(COUNT), panel_forecast(answers(said, counted, calibration), judges), judges, {})


def some(seed: int) -> NDArray[np.bool_]:
    """Who counts in each battle; somebody does."""
    counted = np.random.default_rng(seed).random((COUNT, 3)) < 0.6
    counted[~counted.any(axis=1)] = True
    return counted


@given(st.integers(0, 100), st.integers(0, 100), st.floats(0.3, 3.0), st.floats(-2.0, 2.0))
def test_it_is_what_the_panel_says_with_these_judges(
    seed: int, other: int, temperature: float, tie_bias: float
) -> None:
    """Whoever counted before, and whatever calibration the panel has: no file of predictions says it."""
    predictions = predictions_of(some(seed), Calibration(temperature=temperature, tie_bias=tie_bias))
    found = recombined(predictions, some(other))
    assert found is not None
    expected = predictions_of(some(other), Calibration(temperature=temperature, tie_bias=tie_bias)).panel.probabilities
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-9)


def test_where_nobody_would_be_left_all_count() -> None:
    predictions = predictions_of(some(0))
    nobody, everybody = (recombined(predictions, np.full((COUNT, 3), full)) for full in (False, True))
    assert nobody is not None
    assert everybody is not None
    np.testing.assert_array_equal(nobody.probabilities, everybody.probabilities)


def test_answers_that_come_from_elsewhere_are_not_taken_apart() -> None:
    predictions = predictions_of(some(0))
    strange = make_probabilities(COUNT, seed=9)
    assert recombined(replace(predictions, panel=Forecast("panel", strange, strange)), some(0)) is None


@pytest.mark.parametrize("row", [(0.345, 0.345, 0.31), (0.5, 0.25, 0.25)])
def test_judges_that_always_say_the_same_are_no_riddle(row: tuple[float, float, float]) -> None:
    said = np.tile(row, (COUNT, 1))
    judges = tuple(Forecast(name, said, as_given=said) for name in "xy")
    predictions = Predictions(np.arange(COUNT), panel_forecast(said, judges), judges, {})
    found = recombined(predictions, counted_in(predictions))
    assert found is not None
    np.testing.assert_allclose(found.probabilities, said)


def test_of_a_panel_that_recuses_it_is_what_the_panel_says_that_does_not() -> None:
    battles = [
        battle.model_copy(update={"model_a": name})
        for battle, name in zip((one.battle for one in make_labelled(COUNT)), ["own-1", "other"] * COUNT, strict=False)
    ]
    judges = [ScriptedJudge(name, weight) for name, weight in zip("xyz", WEIGHTS, strict=True)]
    with Panel(judges, calibration=BOTH, recuse={"x": ["own-*"]}) as recusing, Panel(judges, calibration=BOTH) as plain:
        told, without = predict(recusing, battles), predict(plain, battles)
    assert not np.array_equal(told.panel.probabilities, without.panel.probabilities)
    back = recombined(told, np.ones((COUNT, 3), dtype=np.bool_))
    there = recombined(without, counted_in(told))
    assert back is not None
    assert there is not None
    np.testing.assert_allclose(back.probabilities, without.panel.probabilities, rtol=1e-9)
    np.testing.assert_allclose(there.probabilities, told.panel.probabilities, rtol=1e-9)
