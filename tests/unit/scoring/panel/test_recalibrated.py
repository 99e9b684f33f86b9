"""A panel of the same judges with another calibration: what it answers, and what it shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream import Panel, PanelAnswer, PanelConfig, load_panel
from prefstream.schemas import Battle
from prefstream.scoring.errors import MisuseError
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from tests.support.priors import prior_entry

JUDGES = [prior_entry("one", (0.5, 0.25, 0.25)), prior_entry("two", (0.25, 0.5, 0.25))]
BATTLE = Battle(id="1", prompt=("p",), response_a=("a",), response_b=("a longer one",))


@pytest.fixture(scope="module")
def panel() -> Iterator[Panel]:
    with load_panel(PanelConfig.model_validate({"judges": JUDGES})) as loaded:
        yield loaded


def answer_of(panel: Panel) -> PanelAnswer:
    [answer] = panel.score([BATTLE])
    assert isinstance(answer, PanelAnswer)
    return answer


@given(
    temperature=st.floats(0.1, 10),
    tie_bias=st.floats(-5, 5),
    weights=st.dictionaries(st.sampled_from(["one", "two"]), st.floats(0.1, 10)),
    slope=st.none() | st.floats(-1, 1),
)
def test_it_answers_as_a_panel_that_was_loaded_with_that_calibration(
    panel: Panel, temperature: float, tie_bias: float, weights: dict[str, float], slope: float | None
) -> None:
    calibration = CalibrationFile(
        panel=Calibration(temperature=temperature, tie_bias=tie_bias), weights=weights, length_slope=slope
    )
    recalibrated = panel.recalibrated(calibration)
    with load_panel(PanelConfig.model_validate({"judges": JUDGES}), calibration=calibration) as loaded:
        assert answer_of(recalibrated) == answer_of(loaded)
        assert recalibrated.identity == loaded.identity


def test_the_one_that_it_was_made_of_answers_as_before(panel: Panel) -> None:
    before = answer_of(panel)
    panel.recalibrated(CalibrationFile(panel=Calibration(tie_bias=3.0), weights={"one": 5.0}))
    assert answer_of(panel) == before


def test_it_can_be_made_of_one_that_was_made_so(panel: Panel) -> None:
    twice = panel.recalibrated(CalibrationFile(weights={"one": 5.0}))
    again = twice.recalibrated(None)
    assert answer_of(again) == answer_of(panel)


def test_one_that_was_loaded_with_weights_is_weighed_as_its_file_says_without() -> None:
    config = PanelConfig.model_validate({"judges": JUDGES})
    with load_panel(config, calibration=CalibrationFile(weights={"one": 9.0})) as weighed, load_panel(config) as plain:
        assert answer_of(weighed.recalibrated(None)) == answer_of(plain)


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (
            CalibrationFile(judges={"one": Calibration(tie_bias=1.0)}),
            "one: a judge's own calibration is taken when it is loaded",
        ),
        (CalibrationFile(weights={"three": 1.0}), "the panel has no judge three"),
        (CalibrationFile(weights={"one": 0.0, "two": 0.0}), "at least one judge must count"),
    ],
)
def test_what_it_can_not_take_is_refused(panel: Panel, calibration: CalibrationFile, message: str) -> None:
    with pytest.raises(MisuseError, match=message):
        panel.recalibrated(calibration)


def test_both_share_their_judges_and_close_together() -> None:
    panel = load_panel(PanelConfig.model_validate({"judges": JUDGES}))
    recalibrated = panel.recalibrated(CalibrationFile())
    assert recalibrated.shares_judges(panel)
    recalibrated.close()
    with pytest.raises(MisuseError, match="closed"):
        panel.score([BATTLE])


def test_a_panel_that_was_loaded_anew_shares_none(panel: Panel) -> None:
    with load_panel(PanelConfig.model_validate({"judges": JUDGES})) as other:
        assert not other.shares_judges(panel)
