"""What `score` writes of a panel with recusal and a length slope: all of it into preferences, none into submissions."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from prefstream.consumer.files.score import panel_identity, score_file
from prefstream.consumer.files.score_output import ScorePaths
from prefstream.schemas import Preference, decode_preference
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.judges.calibration import CalibrationFile
from prefstream.scoring.panel.load import load_panel
from tests.support.hash_judge import Recorder
from tests.support.priors import prior_entry


@pytest.fixture
def config(tmp_path: Path) -> PanelConfig:
    CalibrationFile(length_slope=0.5).write(tmp_path / "panel.json")
    return PanelConfig.model_validate(
        {
            "judges": [prior_entry("own", (0.6, 0.2, 0.2)), prior_entry("other", (0.25, 0.5, 0.25))],
            "calibration": str(tmp_path / "panel.json"),
            "recuse": {"own": ["gemma-*"]},
        }
    )


def score(config: PanelConfig, folder: Path, name: str) -> bytes:
    source, recorder = folder / "battles.csv", Recorder()
    source.write_text(
        "id,prompt,response_a,response_b,model_a,model_b\n1,p,aaaa,bb,gpt-4,Gemma-2\n2,p,aa,bb,gpt-4,gpt-3\n3,p,a,bb,,\n"
    )
    with load_panel(config) as panel:
        identity = panel_identity(config, panel)
        paths = ScorePaths(folder / name, source=source)
        score_file(paths, panel, identity=identity, observer=recorder, stop=recorder.stop)
    return (folder / name).read_bytes()


def test_preferences_say_who_is_recused_and_answer_a_second_time(config: PanelConfig, tmp_path: Path) -> None:
    said: list[Preference] = [decode_preference(line) for line in score(config, tmp_path, "out.jsonl").splitlines()]
    assert [one.recused for one in said] == [("own",), None, None]
    own, equal, short = said
    assert own.probabilities.model_a == 0.25, "of the other judge alone"
    for one in said:
        assert one.adjusted is not None
        assert one.adjusted.tie == one.probabilities.tie
    assert own.adjusted.model_a < own.probabilities.model_a  # type: ignore[union-attr]
    assert equal.adjusted == equal.probabilities
    assert short.adjusted.model_a > short.probabilities.model_a  # type: ignore[union-attr]


def test_a_submission_has_the_panels_probabilities_alone(config: PanelConfig, tmp_path: Path) -> None:
    rows = list(csv.reader(score(config, tmp_path, "out.csv").decode().splitlines()))
    assert rows[0] == ["id", "winner_model_a", "winner_model_b", "winner_tie"]
    assert [float(cell) for cell in rows[1][1:]] == [0.25, 0.5, 0.25]


def test_a_run_is_not_resumed_with_another_recusal(config: PanelConfig) -> None:
    other = config.model_copy(update={"recuse": {}})
    with load_panel(config) as one, load_panel(other) as two:
        assert panel_identity(config, one) != panel_identity(other, two)
