"""The files that `score` is given, and where the output of each goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from prefstream.consumer.cli import app
from prefstream.consumer.cli.score_inputs import score_inputs, score_paths
from prefstream.consumer.errors import UsageError
from prefstream.scoring.errors import FileError
from tests.support.priors import write_prior_panel


def write_battles(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"id": path.stem, "prompt": "?", "response_a": "x", "response_b": "y"}) + "\n")
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a/one.jsonl", "a/two.csv.gz", "b/one.jsonl"):
        write_battles(tmp_path / "data" / name)
    return tmp_path / "data"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_files_of_a_pattern_are_written_as_they_lie(tree: Path, tmp_path: Path, scheme: str) -> None:
    inputs = score_inputs([f"{scheme}{tree}/**/*.*"], tmp_path)
    outs = [paths.out for paths in score_paths(inputs, tmp_path / "out", None)]
    assert outs == [tmp_path / "out" / name for name in ("a/one.jsonl", "a/two.jsonl", "b/one.jsonl")]
    one_folder = score_inputs([f"{scheme}{tree}/a/*.jsonl", f"{scheme}{tree}/a/two.csv.gz"], tmp_path)
    outs = [paths.out for paths in score_paths(one_folder, tmp_path / "out", "wsdm")]
    assert outs == [tmp_path / "out" / name for name in ("one.csv", "two.csv")]


def test_what_would_be_lost_or_is_not_there_is_refused(tree: Path, tmp_path: Path) -> None:
    twin = write_battles(tree / "a" / "one.ndjson")
    with pytest.raises(UsageError, match="would all be written to"):
        score_paths(score_inputs([str(tree / "a/one.*")], tmp_path), tmp_path / "out", None)
    with pytest.raises(UsageError, match="name a folder"):
        score_paths(score_inputs([str(tree / "a/one.*")], tmp_path), tmp_path / "out.jsonl", None)
    with pytest.raises(UsageError, match="more than once"):
        score_inputs([str(twin), str(tree / "a/*.ndjson")], tmp_path)
    for absent in (f"{tree}/*.parquet", f"file://{tree}/*.parquet"):
        with pytest.raises(FileError, match="parquet"):
            score_inputs([absent], tmp_path)


def test_a_file_of_an_object_store_is_fetched_scored_and_gone(tree: Path, tmp_path: Path) -> None:
    with write_battles(tree / "a" / "bad.jsonl").open("a") as file:
        file.write("no battle\n")
    (tmp_path / "out").mkdir()
    words = ["score", f"file://{tree}/a/*.jsonl", "-o", str(tmp_path / "out"), "--panel"]
    done = CliRunner().invoke(app, [*words, str(write_prior_panel(tmp_path))])
    assert done.exit_code == 3, done.output
    assert f"file://{tree}/a/bad.jsonl:2: not_json" in done.stderr
    [preference] = (tmp_path / "out/one.jsonl").read_text().splitlines()
    assert json.loads(preference)["source"] == {"file": "one.jsonl", "line": 1}
    again = CliRunner().invoke(app, [*words, str(write_prior_panel(tmp_path)), "--resume"])
    assert (again.exit_code, "each of 2 files is finished" in again.stderr) == (3, True)
