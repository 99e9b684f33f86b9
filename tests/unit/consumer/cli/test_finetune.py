"""`prefstream finetune`: what it shows, what it refuses with which exit code, what it says without a terminal."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from prefstream.consumer.cli import app
from prefstream.consumer.cli.exit_codes import EXIT_FAULT, EXIT_INTERRUPTED, EXIT_USAGE, complain
from prefstream.consumer.cli.ui import progress
from prefstream.consumer.cli.ui.training_progress import TrainingProgress
from prefstream.schemas import OUTCOMES, PrefstreamError
from prefstream.scoring.files.labelled import WINNER_COLUMNS
from prefstream.scoring.finetune.callbacks import StepReport
from tests.support.labelled_pairs import MARK, make_rows, on_one_cpu_thread, write_rows
from tests.support.models import make_tiny_base


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with on_one_cpu_thread():
        yield


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = make_rows(16, prompts=4)
    return write_rows(tmp_path_factory.mktemp("data") / "train.jsonl", [*rows, {"id": "no battle"}])


@pytest.fixture(scope="module")
def dev(train: Path) -> Path:
    return write_rows(train.with_name("dev.jsonl"), make_rows(8, prompts=2, seed=1))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    make_tiny_base(folder / "base", "llama")
    path = folder / "tiny.yaml"
    fields = {
        "name": "tiny",
        "base": str(folder / "base"),
        "kind": "pointwise",
        "max_length": 96,
        "dtype": "float32",
        "step": {"weight": 2},
    }
    path.write_text(yaml.safe_dump(fields))
    return path


def finetune(*arguments: str | Path) -> Result:
    """Run the command inside this process, errors as `main` shows them."""
    result = CliRunner().invoke(app, ["finetune", *map(str, arguments)], env={"COLUMNS": "160"})
    if isinstance(result.exception, PrefstreamError):
        result.exit_code = complain(result.exception)
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_show_prints_every_setting_and_what_the_data_hold_and_writes_nothing(
    train: Path, recipe: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    result = finetune(train, "-r", recipe, "-o", output, "--show", "--set", "lora.rank=3", "--set", "seed=5")
    assert result.exit_code == 0, result.output
    shown, _, report = result.stdout.partition("licence: ''\n")
    fields = yaml.safe_load(shown)
    assert (fields["lora"]["rank"], fields["seed"], fields["optimizer"]["schedule"]) == (3, 5, "cosine")
    assert re.search(r"memory: about 0\.\d GiB on a card in float32, by count \(base .*\); with gradient_check", report)
    assert "17 rows" in report
    assert "16 usable" in report
    assert MARK not in result.output
    assert not output.exists()


def test_a_shipped_recipe_is_shown_by_its_name(train: Path, tmp_path: Path) -> None:
    result = finetune(train, "-r", "lexical", "-o", tmp_path, "--show")
    assert result.exit_code == 0, result.output
    assert "name: lexical\nkind: features\n" in result.stdout


def test_show_refuses_stages_that_have_no_pairs(
    train: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = "data.stages=[{tiers: [nowhere]}]"
    result = finetune(train, "-r", recipe, "-o", tmp_path / "out", "--show", "--set", stage)
    assert result.exit_code == EXIT_USAGE
    assert "data.stages[0].tiers: no pair has nowhere" in capsys.readouterr().err


def test_show_tells_of_the_dev_file_and_of_prompts_in_both(train: Path, recipe: Path, tmp_path: Path) -> None:
    result = finetune(train, "-r", recipe, "-o", tmp_path / "out", "--show", "--eval", train)
    assert result.exit_code == 0, result.output
    assert "\ndev:\n" in result.stdout
    assert f"stand in {train.name}, too" in result.stdout


def test_show_tells_of_a_held_out_part_and_of_a_teacher(train: Path, recipe: Path, tmp_path: Path) -> None:
    said = tmp_path / "said.csv"
    rows = "".join(f"battle-0-{number},1,0,0\n" for number in range(16))
    said.write_text(f"id,{','.join(WINNER_COLUMNS)}\n{rows}")
    options = ("--hold-out", "2/4", "--teacher", said, "--set", "data.teacher=0.25")
    result = finetune(train, "-r", recipe, "-o", tmp_path / "out", "--show", *options)
    assert result.exit_code == 0, result.output
    assert "  teacher: 0.25\n" in result.stdout
    assert "13 rows" in result.stdout
    assert "4 rows" in result.stdout
    assert "teacher said.csv: 12 of 12 pairs" in result.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--hold-out", "6/5"), "--hold-out must be K/N, part K of at least two, such as 1/5"),
        (("--hold-out", "1/2", "--eval", "FILE"), "that is held out: choose one"),
        (("--hold-out", "1/9"), "4 different prompts can't be dealt into 9 parts"),
        (("--teacher", "nowhere.jsonl"), "nowhere.jsonl"),
        (("--start-from", "nowhere"), "nowhere"),
    ],
)
def test_inputs_that_cannot_be_are_told(
    train: Path,
    recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    told: str,
) -> None:
    words = [str(train) if word == "FILE" else word for word in options]
    result = finetune(train, "-r", recipe, "-o", tmp_path / "out", *words)
    assert result.exit_code == EXIT_USAGE
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("lora.rank", "--set needs KEY=VALUE"),
        ("=3", "--set needs KEY=VALUE"),
        ("seed=[1", "--set seed: not YAML at line 1 column 3"),
        ("data.weights={a: 1, a: 2}", "key a is given twice"),
        ("lora.rnak=3", "lora.rnak: unknown key; did you mean rank?"),
        ("data.short_won=2", "data.short_won: unknown key; did you mean shorter_won?"),
        ("data.teachers=0.5", "data.teachers: unknown key; did you mean teacher?"),
        ("data.stages=[{max_ratio: 2}]", "max_ratio: unknown key; did you mean max_length_ratio?"),
        (
            "optimizer.learning_rate=fast",
            "optimizer.learning_rate: should be a number (given by --set ",
        ),
        ("kind.of=1", "kind is no group of settings"),
    ],
)
def test_a_setting_that_cannot_be_is_told(
    train: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, told: str
) -> None:
    result = finetune(train, "-r", recipe, "-o", tmp_path / "out", "--set", setting)
    assert result.exit_code == EXIT_USAGE
    assert told in capsys.readouterr().err


def one_class() -> list[dict[str, Any]]:
    return [{**row, "winner": "model_a", "votes": None} for row in make_rows(4, prompts=2)]


@pytest.mark.parametrize("arguments", [(), ("--show",)])
@pytest.mark.parametrize(
    ("rows", "told"),
    [([], "nothing to learn from"), (one_class(), "every label is model_a"), ([{"id": 1}], "nothing to learn from")],
)
def test_data_that_cannot_be_learnt_from_exit_with_2(
    recipe: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows: list[dict[str, Any]],
    told: str,
    arguments: tuple[str, ...],
) -> None:
    file = write_rows(tmp_path / "train.jsonl", rows)
    result = finetune(file, "-r", recipe, "-o", tmp_path / "out", *arguments)
    assert result.exit_code == EXIT_USAGE
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"file": "missing.jsonl"}, "missing.jsonl"),
        ({"--eval": "missing.csv"}, "missing.csv"),
        ({"-r": "no-such-recipe"}, "no such recipe; give a YAML file, or one of"),
        ({"-o": "taken"}, "can't write to"),
    ],
)
def test_what_is_not_there_exits_with_2(
    train: Path,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").touch()
    options = {"file": str(train), "-r": str(recipe), "-o": "out", **changes}
    words = [options.pop("file"), *(word for pair in options.items() for word in pair)]
    assert finetune(*words).exit_code == EXIT_USAGE
    assert told in capsys.readouterr().err


def test_force_and_resume_exclude_each_other(
    train: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = finetune(train, "-r", recipe, "-o", tmp_path / "out", "--resume", "--force")
    assert result.exit_code == EXIT_USAGE
    assert "choose one" in capsys.readouterr().err


def test_a_run_says_without_a_terminal_how_it_goes_and_refuses_to_be_overwritten(
    train: Path,
    dev: Path,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    output = tmp_path / "[adapters]" / "mine"
    result = finetune(train, "--eval", dev, "-r", recipe, "-o", output)
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    for start in ("train:", "dev:", "tokenising train.jsonl", "16 pairs, ", "step 1 of ", "log_loss: "):
        assert any(line.startswith(start) for line in lines), start
    assert any(line.startswith("step 2 of ") and "loss " in line and "left" in line for line in lines)
    assert sum("dev log_loss" in line for line in lines) == 4
    assert lines[-1] == f"the adapter is in {output}; in a panel file: adapter: {output}"
    assert MARK not in result.output
    assert (output / "adapter_model.safetensors").is_file()

    assert finetune(train, "--eval", dev, "-r", recipe, "-o", output).exit_code == EXIT_USAGE
    assert "holds a run already; go on with --resume" in capsys.readouterr().err
    other_seed = finetune(train, "--eval", dev, "-r", recipe, "-o", output, "--resume", "--set", "seed=1")
    assert other_seed.exit_code == EXIT_USAGE
    assert "started with another recipe" in capsys.readouterr().err


def test_sigterm_saves_and_resume_goes_on(
    train: Path, dev: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a supervisor, or a shell's `kill`, ends a run in the background."""
    words = (train, "--eval", dev, "-r", recipe, "-o", tmp_path / "out", "--resume")
    advanced = TrainingProgress.advanced
    steps = iter([False, True])

    def ended_after_two_steps(progress: TrainingProgress, report: StepReport) -> None:
        advanced(progress, report)
        if next(steps, False):
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "advanced", ended_after_two_steps)
        ended = finetune(*words)
    assert ended.exit_code == EXIT_INTERRUPTED, ended.output
    assert "interrupted and saved; go on with the same command and --resume" in ended.stderr
    assert not (tmp_path / "out" / "train.json").exists()
    resumed = finetune(*words)
    assert resumed.exit_code == 0, resumed.output
    assert "going on at step " in resumed.stderr


def test_a_training_that_fails_exits_with_1(
    train: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = finetune(train, "-r", recipe, "-o", tmp_path / "out", "--set", "optimizer.learning_rate=1e36")
    assert result.exit_code == EXIT_FAULT
    assert "is no number; lower optimizer.learning_rate" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["gemma-3-270m", "smollm2-135m"])
def test_the_recipes_for_any_data_take_kaggles_file_for_a_try(
    name: str, train: Path, recipe: Path, tmp_path: Path
) -> None:
    """On a tiny base in place of the demo's."""
    file = tmp_path / "train.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        rows = csv.writer(opened)
        rows.writerow(["id", "model_a", "model_b", "prompt", "response_a", "response_b", *WINNER_COLUMNS])
        for number, row in enumerate(make_rows(8, prompts=4)):
            texts = [json.dumps(row[text]) for text in ("prompt", "response_a", "response_b")]
            rows.writerow([number, "x", "y", *texts, *(int(row["winner"] == outcome) for outcome in OUTCOMES)])
    base = yaml.safe_load(recipe.read_text())["base"]
    tiny = ["--set", f"base={base}", "--set", "lora.frozen_layers=0", "--set", "dtype=float32"]
    result = finetune(file, "--eval", file, "-r", name, *tiny, "--max-steps", "1", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out" / "train.json").read_text())["steps"] == 1
