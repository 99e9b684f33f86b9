"""`prefstream calibrate`: what it writes is what serving then answers with."""

from __future__ import annotations

import csv
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from prefstream import PanelAnswer
from prefstream.consumer.cli import app
from prefstream.consumer.cli.calibrate import worth
from prefstream.consumer.cli.exit_codes import EXIT_REJECTED, EXIT_USAGE, complain
from prefstream.schemas import Battle, PrefstreamError
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.files.labelled import read_labelled
from prefstream.scoring.judges.calibration import CalibrationFile
from prefstream.scoring.panel.load import load_panel
from prefstream.scoring.panel.predict import Predictions, load_uncalibrated_panel, predict
from tests.support.models import make_tiny_judge, one_torch_thread
from tests.support.priors import prior_entry

WORDS = ("quick", "brown", "fox", "lazy", "dog", "answer", "better", "sum", "numbers", "return", "correct", "wrong")
BATTLES = 90


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A pairwise judge, which has to answer both orders, and a pointwise one."""
    folder = tmp_path_factory.mktemp("judges")
    return [
        make_tiny_judge(folder / "gemma", "gemma2", "pairwise", 0),
        make_tiny_judge(folder / "llama", "llama", "pointwise", 1, weight=3.0),
    ]


@pytest.fixture
def panel(tmp_path: Path, judges: list[dict[str, Any]]) -> Path:
    return write_panel(tmp_path / "panel.yaml", judges)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled battles of two tiers; a row that is none stands among them."""
    rng = random.Random(0)

    def turns() -> list[str]:
        return [" ".join(rng.choices(WORDS, k=rng.randint(2, 12)))]

    rows = [
        json.dumps(
            {
                "id": str(number),
                "prompt": [f"question {number % 30}"],
                "response_a": turns(),
                "response_b": turns(),
                "winner": rng.choice(["model_a", "model_b", "tie"]),
                "tier": "core" if number % 3 else "arena",
            }
        )
        for number in range(BATTLES)
    ]
    path = tmp_path_factory.mktemp("data") / "judged.jsonl"
    path.write_text("\n".join([*rows, '{"id": "none"}']) + "\n")
    return path


def write_panel(path: Path, judges: list[dict[str, Any]], **panel: Any) -> Path:
    path.write_text(yaml.safe_dump({"judges": judges, "swap": True, **panel}))
    return path


def calibrate(*arguments: str | Path) -> Result:
    """Run the command inside this process, errors as `main` shows them."""
    with one_torch_thread():
        result = CliRunner().invoke(app, ["calibrate", *map(str, arguments)], env={"COLUMNS": "120"})
    if isinstance(result.exception, PrefstreamError):
        result.exit_code = complain(result.exception)
    return result


def answers(panel: Path, battles: list[Battle], *, calibrated: bool = True) -> Predictions:
    with one_torch_thread(), (load_panel if calibrated else load_uncalibrated_panel)(panel) as loaded:
        return predict(loaded, battles)


def battles_of(path: Path) -> list[Battle]:
    return [record.battle.battle for record in read_labelled(path) if record.battle]


def test_serving_answers_by_what_was_written(panel: Path, judged: Path, judges: list[dict[str, Any]]) -> None:
    output = panel.with_name("calibration.json")
    result = calibrate(judged, "-o", output, "--panel", panel)
    assert result.exit_code == EXIT_REJECTED, result.output
    assert f"{judged}:{BATTLES + 1}:" in result.stderr
    assert f"put this line into {panel}: calibration: calibration.json" in result.stderr
    written = CalibrationFile.read(output)
    assert set(written.judges) == set(written.weights) == {"gemma", "llama"}

    battles = battles_of(judged)
    before = answers(panel, battles)
    after = answers(write_panel(panel, judges, calibration="calibration.json"), battles)
    by_name = {judge.name: judge for judge in before.judges}
    for judge in after.judges:
        raw, calibration = by_name[judge.name], written.judges[judge.name]
        assert raw.swapped is not None
        expected = (calibration.apply(raw.as_given) + calibration.apply(raw.swapped)) / 2
        assert judge.probabilities == pytest.approx(expected, abs=1e-6)
        assert judge.weight == written.weights[judge.name]
    mean = sum(judge.weight * judge.probabilities for judge in after.judges)
    assert after.panel.probabilities == pytest.approx(written.panel.apply(np.asarray(mean)), abs=1e-6)
    assert np.abs(after.panel.probabilities - before.panel.probabilities).max() > 0.01


def test_the_table_shows_each_judge_and_the_panel_before_and_after(panel: Path, judged: Path) -> None:
    result = calibrate(judged, "-o", panel.with_name("c.json"), "--panel", panel, "--folds", "3")
    assert f"{BATTLES} battles, 30 prompts" in result.stdout
    assert "(3 folds)" in result.stdout
    for word in ("gemma", "llama", "panel", "before", "after", "change", "log loss", "ECE", "tie bias"):
        assert word in result.stdout
    assert "log loss changes by" in result.stdout
    assert not any(word in result.output for word in ("question 7", "lazy"))


def test_the_length_slope_is_told_beside_peoples_and_serving_takes_it_out(
    panel: Path, judged: Path, judges: list[dict[str, Any]]
) -> None:
    result = calibrate(judged, "-o", panel.with_name("calibration.json"), "--panel", panel)
    lines = result.stdout[result.stdout.index("length slope") :].splitlines()
    for name in ("people", "panel", "difference"):
        assert sum(name in line and "[" in line for line in lines) == 1
    slope = CalibrationFile.read(panel.with_name("calibration.json")).length_slope
    assert slope is not None
    assert f"which is written: {slope:+.3f}" in result.stdout
    battle = battles_of(judged)[0]
    with one_torch_thread(), load_panel(write_panel(panel, judges, calibration="calibration.json")) as loaded:
        [answer] = loaded.score([battle])
    assert isinstance(answer, PanelAnswer)
    said, adjusted = answer.probabilities, answer.adjusted
    assert adjusted is not None
    doublings = math.log2(len(battle.response_a[0]) / len(battle.response_b[0]))
    taken_out = math.log(said.model_a / said.model_b) - math.log(adjusted.model_a / adjusted.model_b)
    assert taken_out == pytest.approx(slope * doublings, abs=1e-9)


def test_from_how_many_battles_a_judge_is_recused_is_said(tmp_path: Path) -> None:
    judged, panel = tmp_path / "judged.csv", tmp_path / "panel.yaml"
    rows = [f"{row},question {row},a,b,own-{row % 3},other,{('model_a', 'model_b')[row % 2]}" for row in range(60)]
    judged.write_text("\n".join(["id,prompt,response_a,response_b,model_a,model_b,winner", *rows]) + "\n")
    judges = [prior_entry("one"), prior_entry("two", (0.3, 0.3, 0.4))]
    write_panel(panel, judges, recuse={"one": ["own-1"], "two": ["nobody"]})
    result = calibrate(judged, "-o", tmp_path / "c.json", "--panel", panel)
    assert result.exit_code == 0, result.output
    assert "one is recused from 20 of 60 battles: what it says there is not fitted to" in result.stderr
    assert "two is recused" not in result.stderr


def test_where_answers_are_equally_long_there_is_no_slope_and_the_command_says_so(panel: Path, tmp_path: Path) -> None:
    judged = tmp_path / "judged.csv"
    rows = [f"{row},question {row},aaaa,bbbb,{('model_a', 'model_b', 'tie')[row % 3]}" for row in range(60)]
    judged.write_text("\n".join(["id,prompt,response_a,response_b,winner", *rows]) + "\n")
    result = calibrate(judged, "-o", panel.with_name("c.json"), "--panel", panel)
    assert "No length slope" in result.stdout
    assert "length_slope" not in panel.with_name("c.json").read_text()


def test_a_calibration_that_the_panel_names_is_left_out_of_account(
    panel: Path, judged: Path, judges: list[dict[str, Any]]
) -> None:
    """Whether it exists or not: the first one is fitted for a panel file that names it already."""
    write_panel(panel, judges, calibration="calibration.json")
    output = panel.with_name("calibration.json")
    first = calibrate(judged, "-o", output, "--panel", panel)
    assert "names it already" in first.stderr
    fitted = output.read_bytes()
    second = calibrate(judged, "-o", output, "--panel", panel, "--force")
    assert second.stdout == first.stdout
    assert output.read_bytes() == fitted
    other = calibrate(judged, "-o", panel.with_name("other.json"), "--panel", panel)
    assert "change it to: calibration: other.json" in other.stderr


def test_the_plot_and_the_answers_out_of_fold_are_written(panel: Path, judged: Path) -> None:
    plot, out_of_fold = panel.with_name("reliability.png"), panel.with_name("out.csv")
    result = calibrate(
        *(judged, "-o", panel.with_name("c.json"), "--panel", panel),
        *("--plot", plot, "--out-of-fold", out_of_fold, "--tier", "core", "--balance", "source"),
    )
    assert result.exit_code == EXIT_REJECTED, result.output
    assert plot.read_bytes().startswith(b"\x89PNG")
    with out_of_fold.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [str(number) for number in range(BATTLES) if number % 3]
    assert all(
        abs(sum(float(row[f"winner_{name}"]) for name in ("model_a", "model_b", "tie")) - 1) < 1e-9 for row in rows
    )


def test_the_panel_file_and_the_data_are_not_overwritten(panel: Path, judged: Path) -> None:
    existing = panel.with_name("there.json")
    existing.write_text("{}")
    refused: list[list[str | Path]] = [
        ["-o", judged, "--panel", panel, "--force"],
        ["-o", panel, "--panel", panel, "--force"],
        ["-o", panel.with_name("x"), "--plot", panel.with_name("x"), "--panel", panel],
        ["-o", existing, "--panel", panel],
        ["-o", panel.parent / "none" / "c.json", "--panel", panel],
        ["-o", panel.parent, "--panel", panel, "--force"],
    ]
    for arguments in refused:
        result = calibrate(judged, *arguments)
        assert result.exit_code == EXIT_USAGE, arguments
        assert isinstance(result.exception, PrefstreamError)
    assert existing.read_text() == "{}"


def test_a_tier_that_is_not_there_is_refused_with_those_that_are(panel: Path, judged: Path) -> None:
    result = calibrate(judged, "-o", panel.with_name("c.json"), "--panel", panel, "--tier", "ocre")
    assert result.exit_code == EXIT_USAGE
    assert "no battle has --tier ocre; those named in it: core (60), arena (30)" in str(result.exception)


def test_too_few_battles_are_refused_before_a_judge_is_loaded(judged: Path, tmp_path: Path) -> None:
    result = calibrate(judged, "-o", tmp_path / "c.json", "--panel", tmp_path / "none.yaml", "--tier", "arena")
    assert result.exit_code == EXIT_USAGE
    assert "30 labelled battles count, too few" in str(result.exception)
    assert not (tmp_path / "c.json").exists()


@pytest.mark.parametrize(
    ("low", "value", "high", "told"),
    [
        (
            -0.05,
            -0.03,
            -0.01,
            "Calibration makes the panel better: its log loss changes by -0.030, between -0.050 and ",
        ),
        (-0.05, -0.01, 0.03, "leave it out, or calibrate on more battles"),
        (0.01, 0.03, 0.05, "Calibration makes the panel worse: its log loss changes by +0.030"),
        (None, -0.03, None, "too few prompts to tell"),
    ],
)
def test_what_calibration_is_worth_is_said_by_its_interval(
    low: float | None, value: float, high: float | None, told: str
) -> None:
    assert told in worth(Estimate(value=value, low=low, high=high))
