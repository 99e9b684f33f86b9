"""`prefstream adapters`: two adapters become one that serves, and runs are compared in tables for a log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from transformers import AutoConfig
from typer.testing import CliRunner, Result

from prefstream.consumer.cli import app
from prefstream.consumer.cli.exit_codes import EXIT_USAGE, complain
from prefstream.schemas import PrefstreamError
from tests.support.labelled_pairs import MARK, make_rows, on_one_cpu_thread, write_rows
from tests.support.models import make_tiny_base, make_tiny_judge


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with on_one_cpu_thread():
        yield


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "train.jsonl", make_rows(24, prompts=8))


@pytest.fixture(scope="module")
def runs(train: Path) -> list[Path]:
    """Two seeds of a recipe, measured on the same part of the training data."""
    make_tiny_base(train.with_name("base"), "llama")
    recipe = train.with_name("tiny.yaml")
    fields = {"name": "tiny", "base": str(train.with_name("base")), "kind": "pointwise", "max_length": 96}
    recipe.write_text(yaml.safe_dump({**fields, "dtype": "float32", "step": {"weight": 4}}))
    folders = [train.with_name(f"seed-{seed}") for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        more = ["--set", "data.shorter_won=2", "--set", "data.stages=[{max_length_ratio: 30}]"] if seed else []
        done = call(
            *("finetune", train, "-r", recipe, "-o", folder, "--hold-out", "1/2", "--set", f"seed={seed}"), *more
        )
        assert done.exit_code == 0, done.output
    return folders


def call(*words: str | Path) -> Result:
    """Run the program inside this process, errors as `main` shows them."""
    result = CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "160"})
    if isinstance(result.exception, PrefstreamError):
        result.exit_code = complain(result.exception)
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_two_seeds_become_one_adapter_that_scores(train: Path, runs: list[Path], tmp_path: Path) -> None:
    made = call("adapters", "average", *runs, "-o", tmp_path / "both")
    assert made.exit_code == 0, made.output
    assert "rank 16 keeps " in made.stdout
    assert f"in a panel file: adapter: {tmp_path / 'both'}" in made.stdout
    judge = {"name": "both", "kind": "pointwise", "base": str(train.with_name("base")), "adapter": "both"}
    panel = tmp_path / "panel.yaml"
    panel.write_text(yaml.safe_dump({"judges": [{**judge, "max_length": 96, "device": "cpu", "dtype": "float32"}]}))
    scored = call("score", train, "-o", tmp_path / "out.csv", "--panel", panel)
    assert scored.exit_code == 0, scored.output
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 25


def test_a_merged_adapter_is_one_model_that_is_replaced_only_by_force(tmp_path: Path) -> None:
    judge = make_tiny_judge(tmp_path / "judge", "gemma2", "pairwise")
    merge = ("adapters", "merge", judge["adapter"], "--base", judge["base"], "-o", tmp_path / "merged")
    merged = call(*merge, "--dtype", "float32")
    assert merged.exit_code == 0, merged.output
    assert re.fullmatch(rf"[\d,]+ parameters in float32 are in {tmp_path / 'merged'}\n", merged.stdout)
    assert AutoConfig.from_pretrained(tmp_path / "merged").num_labels == 3
    assert call(*merge).exit_code == EXIT_USAGE
    assert call(*merge, "--force").exit_code == 0


def test_runs_are_compared_in_tables(train: Path, runs: list[Path]) -> None:
    compared = call("adapters", "compare", train, *runs)
    assert compared.exit_code == 0, compared.output
    lines = compared.stdout.splitlines()
    assert lines[0].startswith("| run | other than the first in | seed | steps | tokens | minutes |")
    assert lines[2].startswith("| seed-0 |  | 0 | ")
    assert lines[3].startswith("| seed-1 | data.stages [")
    assert "data.shorter_won 2.0 | 1 | " in lines[3]
    assert any(re.match(r"(arena|core): \d+ battles, \d+ prompts", line) for line in lines)
    figures = [line for line in lines if line.startswith("| seed-1 | ") and line.count("[") >= 4]
    assert figures
    assert MARK not in compared.output


def test_what_cannot_be_compared_or_averaged_exits_with_2(
    train: Path, runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("adapters", "compare", train, tmp_path).exit_code == EXIT_USAGE
    assert "holds no finished run" in capsys.readouterr().err
    assert call("adapters", "average", runs[0], "-o", tmp_path / "out").exit_code == EXIT_USAGE
    assert "at least two" in capsys.readouterr().err
