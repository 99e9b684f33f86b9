"""Temperature and tie bias: what they do, that they treat A and B alike, and their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream import ConfigError
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.probabilities import normalise

weights = st.floats(1e-6, 1.0)
triples = st.tuples(weights, weights, weights)
calibrations = st.builds(Calibration, temperature=st.floats(0.05, 20), tie_bias=st.floats(-5, 5))


def test_the_default_changes_nothing() -> None:
    probabilities = np.array([[0.2, 0.3, 0.5]])
    assert Calibration().apply(probabilities) is probabilities


def test_a_high_temperature_flattens_and_a_low_one_sharpens() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1]])
    flat = Calibration(temperature=2).apply(probabilities)
    sharp = Calibration(temperature=0.5).apply(probabilities)
    assert flat[0, 0] < 0.6 < sharp[0, 0]


def test_temperature_divides_log_probabilities() -> None:
    calibrated = Calibration(temperature=2).apply(np.array([[0.64, 0.16, 0.2]]))
    roots = np.sqrt([0.64, 0.16, 0.2])
    np.testing.assert_allclose(calibrated[0], roots / roots.sum(), rtol=1e-12)


def test_a_tie_bias_multiplies_the_odds_of_a_tie() -> None:
    calibrated = Calibration(tie_bias=np.log(3)).apply(np.array([[0.5, 0.25, 0.25]]))
    np.testing.assert_allclose(calibrated[0], np.array([0.5, 0.25, 0.75]) / 1.5, rtol=1e-12)


def test_impossible_outcomes_stay_impossible() -> None:
    calibrated = Calibration(temperature=3, tie_bias=1).apply(np.array([[1.0, 0.0, 0.0]]))
    assert calibrated.tolist() == [[1.0, 0.0, 0.0]]


@given(calibrations, triples)
def test_exchanging_sides_exchanges_the_answer_exactly(
    calibration: Calibration, row: tuple[float, float, float]
) -> None:
    both = normalise(np.array([row, (row[1], row[0], row[2])]))
    calibrated = calibration.apply(both)
    assert calibrated[1].tolist() == calibrated[0, [1, 0, 2]].tolist()
    assert abs(calibrated[0].sum() - 1) < 1e-12


def test_a_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    written = CalibrationFile(
        panel=Calibration(temperature=1.2),
        judges={"gemma": Calibration(tie_bias=-0.3)},
        weights={"gemma": 0.7},
        length_slope=0.25,
    )
    written.write(tmp_path / "panel.json")
    assert CalibrationFile.read(tmp_path / "panel.json") == written
    assert [path.name for path in tmp_path.iterdir()] == ["panel.json"]


def test_a_file_from_before_there_was_a_length_slope_has_none(tmp_path: Path) -> None:
    path = tmp_path / "panel.json"
    path.write_text('{"format": 1, "panel": {"temperature": 2.0}}')
    assert CalibrationFile.read(path).length_slope is None
    assert b"length_slope" not in CalibrationFile.read(path).encode()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"length_slope": 11}', "length_slope: should be less than or equal to 10"),
        ('{"panel": {"temperatur": 1}}', "panel.temperatur: unknown key; did you mean temperature?"),
        ('{"panel": {"temperature": 0}}', "panel.temperature:"),
        ('{"format": 2}', "format:"),
        ("{", "not JSON at line 1 column 2"),
    ],
)
def test_a_faulty_file_is_refused_by_its_place(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "panel.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        CalibrationFile.read(path)
    assert fault in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        CalibrationFile.read(tmp_path / "none.json")
