"""`prefstream finetune` with a recipe of a judge of features, and what becomes of its folder."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from prefstream.consumer.cli import app
from prefstream.consumer.cli.exit_codes import EXIT_USAGE
from prefstream.schemas import PrefstreamError
from prefstream.scoring.finetune.checks import written_alone
from tests.support.features_judges import make_features_recipe
from tests.support.labelled_pairs import MARK, make_rows, write_rows


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "train.jsonl", make_rows(120, prompts=24))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "lexical.yaml"
    path.write_text(yaml.safe_dump(make_features_recipe().model_dump(mode="json")))
    return path


def invoke(*arguments: str | Path) -> tuple[int, str]:
    """Run the command inside this process: its exit code, and all that it said."""
    result = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "200"})
    if isinstance(result.exception, PrefstreamError):
        return EXIT_USAGE, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def read_submission(path: Path) -> dict[str, list[float]]:
    with path.open() as file:
        return {row.pop("id"): list(map(float, row.values())) for row in csv.DictReader(file)}


def test_a_judge_is_trained_and_scores_a_file(train: Path, recipe: Path, tmp_path: Path) -> None:
    dev = write_rows(tmp_path / "dev.jsonl", make_rows(24, prompts=8, seed=1))
    adapter, panel, out = tmp_path / "lexical", tmp_path / "panel.yaml", tmp_path / "scores.csv"
    code, said = invoke("finetune", train, "--eval", dev, "-r", recipe, "-o", adapter)
    assert code == 0, said
    assert f"the adapter is in {adapter}; in a panel file: adapter: {adapter}" in said
    assert "log_loss_arena: " in said
    assert MARK not in said
    assert sorted(path.name for path in adapter.iterdir()) == [
        *("README.md", "adapter_model.safetensors", "dev-predictions.csv", "prefstream.json", "train.json"),
    ]
    panel.write_text(yaml.safe_dump({"judges": [{"name": "lexical", "kind": "features", "adapter": "lexical"}]}))
    assert invoke("score", dev, "--panel", panel, "-o", out)[0] == 0
    scored, predicted = read_submission(out), read_submission(adapter / "dev-predictions.csv")
    assert scored.keys() == predicted.keys()
    assert list(scored.values()) == pytest.approx(np.array(list(predicted.values())), abs=1e-6)  # summed in float64


def test_a_folder_that_holds_a_judge_is_not_overwritten(train: Path, recipe: Path, tmp_path: Path) -> None:
    arguments = ("finetune", train, "-r", recipe, "-o", tmp_path / "lexical")
    assert invoke(*arguments)[0] == 0
    code, said = invoke(*arguments)
    assert code == EXIT_USAGE
    assert "holds a run already; go on with --resume, or start anew with --force" in said
    assert invoke(*arguments, "--force")[0] == 0


def test_two_runs_at_once_do_not_write_to_one_folder(train: Path, recipe: Path, tmp_path: Path) -> None:
    """`--force` is about what an earlier run left, and not about one that is under way."""
    adapter = tmp_path / "lexical"
    arguments = ("finetune", train, "-r", recipe, "-o", adapter, "--force")
    adapter.mkdir()
    with written_alone(adapter):
        code, said = invoke(*arguments)
        assert code == EXIT_USAGE
        assert f"another process is writing to {adapter}; wait for it, or end it first" in said
        assert not list(adapter.iterdir())
    assert invoke(*arguments)[0] == 0


def test_show_prints_every_setting_and_trains_nothing(train: Path, recipe: Path, tmp_path: Path) -> None:
    code, shown = invoke("finetune", train, "-r", recipe, "-o", tmp_path / "lexical", "--show")
    assert code == 0
    assert "tie_words: " in shown
    assert not (tmp_path / "lexical").exists()


def test_there_is_nothing_to_start_from(train: Path, recipe: Path, tmp_path: Path) -> None:
    output = tmp_path / "lexical"
    code, said = invoke("finetune", train, "-r", recipe, "-o", output, "--start-from", tmp_path)
    assert code == EXIT_USAGE
    assert "--start-from is for LoRA" in said
    assert not output.exists()


def test_a_kind_that_is_none_is_refused(train: Path, recipe: Path, tmp_path: Path) -> None:
    code, said = invoke("finetune", train, "-r", recipe, "-o", tmp_path / "lexical", "--set", "kind=feature")
    assert code == EXIT_USAGE
    assert "kind: unknown, or missing; give one of pairwise, pointwise, features" in said
