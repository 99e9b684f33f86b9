"""Length taken out: by exactly the slope, alike for both sides, and nothing where there is nothing to take."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream import Battle, Panel, PanelAnswer, PanelConfig, load_panel
from prefstream.schemas import FileSource, decode_preference, encode_preference
from prefstream.scoring.judges.calibration import STEEPEST_LENGTH, Calibration, CalibrationFile
from prefstream.scoring.panel.length import length_odds, take_length_out
from prefstream.scoring.probabilities import Triples, exchange, normalise
from tests.support.priors import prior_entry
from tests.support.samples import battles

HERE = FileSource(file="battles.jsonl", line=1)

amounts = st.just(0.0) | st.floats(1e-300, 1.0)
rows = st.tuples(amounts, amounts, amounts).filter(any).map(lambda row: normalise(np.array([row])))
slopes = st.floats(-STEEPEST_LENGTH, STEEPEST_LENGTH)
LONGEST = 22.0
"""Doublings from one character to the longest text that is read."""


def battle(response_a: str, response_b: str) -> Battle:
    return Battle(id="1", prompt="p", response_a=response_a, response_b=response_b)


def test_a_length_is_of_all_turns() -> None:
    turns = Battle(id="1", prompt=["p", "p"], response_a=["aaaa", "aaaa"], response_b=["b", "b"])
    assert length_odds([turns, battle("a", "bbbb"), battle("same", "size")], 0.5).tolist() == [1.0, -1.0, 0.0]


@pytest.mark.parametrize(("response_a", "response_b"), [("", "text"), ("text", ""), ("", "")])
def test_an_empty_answer_is_not_infinitely_shorter(response_a: str, response_b: str) -> None:
    assert length_odds([battle(response_a, response_b)], 0.5).tolist() == [0.0]


def test_no_battles_have_no_lengths() -> None:
    assert length_odds([], 0.5).shape == (0,)


@given(st.lists(battles(), min_size=1, max_size=4), slopes)
def test_the_exchanged_battle_has_the_other_sign(given: list[Battle], slope: float) -> None:
    exchanged = [one.swap() for one in given]
    assert length_odds(exchanged, slope).tolist() == (-length_odds(given, slope)).tolist()


def odds(row: Triples) -> float:
    return math.log(row[0, 0] / row[0, 1])


def test_what_is_taken_out_is_what_length_is_worth() -> None:
    row = np.array([[0.5, 0.3, 0.2]])
    taken = take_length_out(row, np.array([0.7]))
    assert odds(taken) == pytest.approx(odds(row) - 0.7)
    assert taken[0, 2] == 0.2
    assert taken.sum() == pytest.approx(1.0)


@given(rows, st.floats(-STEEPEST_LENGTH * LONGEST, STEEPEST_LENGTH * LONGEST))
def test_it_stays_a_probability_with_the_same_tie_and_is_exchanged_with_the_sides(row: Triples, worth: float) -> None:
    taken = take_length_out(row, np.array([worth]))
    assert ((taken >= 0) & (taken <= 1)).all()
    assert abs(taken.sum() - 1) < 1e-12
    assert taken[0, 2] == row[0, 2]
    assert take_length_out(exchange(row), np.array([-worth])).tolist() == exchange(taken).tolist()


@given(rows)
def test_answers_of_one_length_keep_theirs_to_the_bit(row: Triples) -> None:
    assert take_length_out(row, np.zeros(1)).tolist() == row.tolist()


def panel(slope: float | None) -> Panel:
    config = PanelConfig.model_validate({"judges": [prior_entry("one", (0.5, 0.3, 0.2))]})
    return load_panel(config, calibration=CalibrationFile(length_slope=slope))


def asked(slope: float | None, given: Battle) -> PanelAnswer:
    with panel(slope) as opened:
        [answer] = opened.score([given])
    assert isinstance(answer, PanelAnswer)
    return answer


def test_a_panel_with_a_slope_answers_a_second_time_without_length() -> None:
    given = battle("a" * 400, "b" * 100)
    answer = asked(0.25, given)
    assert answer.probabilities == asked(None, given).probabilities, "the answer itself is the same"
    adjusted = answer.adjusted
    assert adjusted is not None
    assert math.log(adjusted.model_a / adjusted.model_b) == pytest.approx(math.log(0.5 / 0.3) - 0.5)
    assert adjusted.tie == 0.2
    preference = answer.to_preference(given, HERE)
    assert decode_preference(encode_preference(preference)).adjusted == adjusted
    equal = asked(0.25, battle("aa", "bb"))
    assert equal.adjusted is equal.probabilities


@pytest.mark.parametrize("slope", [None, 0.0])
def test_a_panel_without_a_slope_publishes_no_second_answer(slope: float | None) -> None:
    given = battle("a" * 400, "b" * 100)
    answer = asked(slope, given)
    assert answer.adjusted is None
    assert b"adjusted" not in encode_preference(answer.to_preference(given, HERE))


def test_the_panels_calibration_comes_before() -> None:
    config = PanelConfig.model_validate({"judges": [prior_entry("one", (0.5, 0.3, 0.2))]})
    calibration = CalibrationFile(panel=Calibration(temperature=2.0), length_slope=0.25)
    with load_panel(config, calibration=calibration) as opened:
        [answer] = opened.score([battle("a" * 400, "b" * 100)])
    assert isinstance(answer, PanelAnswer)
    assert answer.adjusted is not None
    assert math.log(answer.adjusted.model_a / answer.adjusted.model_b) == pytest.approx(math.log(0.5 / 0.3) / 2 - 0.5)
