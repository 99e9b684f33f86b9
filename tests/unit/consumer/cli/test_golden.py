"""`prefstream golden`, and what other commands say of a panel's golden set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from prefstream.consumer.cli import app
from prefstream.consumer.cli.exit_codes import EXIT_FAULT, EXIT_USAGE, complain
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor.finding import attempt
from prefstream.consumer.doctor.judges import check_scoring, describe_panel, read_panel
from prefstream.schemas import PrefstreamError, encode_battle
from prefstream.scoring.golden.record import GoldenSet
from tests.support.goldens import golden_battles
from tests.support.priors import prior_entry

LEXICAL = {
    "name": "lexical",
    "kind": "features",
    "adapter": str(Path(__file__).parents[4] / "scoring/demo/pretrained/lexical-demo"),
}


def run(*arguments: object) -> Result:
    """A command, its errors told as the command line tells them; their exit code is the result's."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    if isinstance(result.exception, PrefstreamError):
        result.exit_code = complain(result.exception)
    return result


def write_panel(folder: Path, prior: dict[str, Any], **panel: Any) -> Path:
    path = folder / "panel.yaml"
    path.write_text(yaml.safe_dump({"judges": [prior, LEXICAL], **panel}))
    return path


@pytest.fixture
def battles(tmp_path: Path) -> Path:
    path = tmp_path / "battles.jsonl"
    path.write_bytes(b"\n".join(map(encode_battle, golden_battles(20))) + b'\n{"id": "none", "prompt": "zqsecret"}\n')
    return path


@pytest.fixture
def panel(tmp_path: Path, battles: Path) -> Path:
    """One that names its golden set."""
    made = write_panel(tmp_path, prior_entry())
    assert (
        run("golden", "make", battles, "--panel", made, "-o", tmp_path / "golden.jsonl", "--battles", 6).exit_code == 0
    )
    return write_panel(tmp_path, prior_entry(), golden="golden.jsonl")


def test_what_is_made_has_some_of_each_kind_and_is_the_same_at_every_try(panel: Path, battles: Path) -> None:
    again = panel.with_name("again.jsonl")
    result = run("golden", "make", battles, "--panel", panel, "-o", again, "--battles", 6)
    assert result.exit_code == 0
    assert "English" in result.stdout
    assert f"{battles}:21: missing_field" in result.stderr
    assert result.stderr.endswith(f"{again} is written; in the panel file: golden: again.jsonl\n")
    assert again.read_bytes() == panel.with_name("golden.jsonl").read_bytes()
    assert len(GoldenSet.read(again).battles) == 6


def test_a_set_that_is_there_is_not_overwritten_unasked(panel: Path, battles: Path, capsys: Any) -> None:
    assert (
        run("golden", "make", battles, "--panel", panel, "-o", panel.with_name("golden.jsonl")).exit_code == EXIT_USAGE
    )
    assert "exists already: write it anew with --force" in capsys.readouterr().err


def test_a_file_with_fewer_battles_gives_a_smaller_set_and_says_so(panel: Path, battles: Path) -> None:
    result = run("golden", "make", battles, "--panel", panel, "-o", panel.with_name("all.jsonl"))
    assert f"{battles} has only 20 battles that a set can have" in result.stderr


def test_a_check_that_is_passed_is_a_table_and_a_line(panel: Path) -> None:
    result = run("golden", "check", "--panel", panel)
    assert result.exit_code == 0
    assert result.stdout.count("as known, to the bit") == 4
    assert "answers to 6 golden battles as known, to the bit" in result.stdout


def test_a_check_that_fails_says_why_and_exits_with_1(panel: Path) -> None:
    write_panel(panel.parent, prior_entry(weight=2.0), golden="golden.jsonl")
    result = run("golden", "check", "--panel", panel)
    assert result.exit_code == EXIT_FAULT
    assert "the panel is another one than this golden set is of: weights " in result.stdout


def test_answers_that_are_others_are_a_table_too(panel: Path) -> None:
    golden = panel.with_name("golden.jsonl")
    first, *lines = golden.read_text().splitlines()
    known = json.loads(lines[0])
    known["judges"]["lexical"] = {"model_a": 0.5, "model_b": 0.25, "tie": 0.25}
    golden.write_text("\n".join([first, json.dumps(known), *lines[1:]]))
    result = run("golden", "check", "--panel", panel)
    assert result.exit_code == EXIT_FAULT
    assert "failed" in result.stdout
    assert f"{golden}: judge lexical answers 1 of 6 golden battles otherwise" in result.stdout


def test_a_panel_without_a_set_can_not_be_checked(tmp_path: Path, capsys: Any) -> None:
    assert run("golden", "check", "--panel", write_panel(tmp_path, prior_entry())).exit_code == EXIT_USAGE
    assert "names no golden set: make one by prefstream golden make FILE" in capsys.readouterr().err


def test_score_begins_when_the_panel_gives_its_known_answers(panel: Path, battles: Path, capsys: Any) -> None:
    out = panel.with_name("out.csv")
    assert (
        "answers to 6 golden battles as known, to the bit" in run("score", battles, "-o", out, "--panel", panel).stderr
    )
    assert out.exists()
    write_panel(panel.parent, prior_entry(weight=2.0), golden="golden.jsonl")
    assert run("score", battles, "-o", panel.with_name("other.csv"), "--panel", panel).exit_code == EXIT_USAGE
    assert "another one than this golden set is of" in capsys.readouterr().err
    assert not panel.with_name("other.csv").exists()


def test_doctor_tells_of_the_set_and_has_it_answered(panel: Path) -> None:
    config = StreamConfig.load(panel=panel)
    found = describe_panel(config, read_panel(config))
    assert found.state == "ok"
    assert "a golden set of 6 battles" in found.found
    assert "answers to 6 golden battles as known" in check_scoring(config).found
    write_panel(panel.parent, prior_entry(weight=2.0), golden="golden.jsonl")
    refused = attempt("scoring", lambda: check_scoring(config))
    assert refused.state == "fail"
    assert "another one than this golden set is of" in refused.found
    panel.with_name("golden.jsonl").unlink()
    missing = attempt("panel", lambda: describe_panel(config, read_panel(config)))
    assert missing.state == "fail"
    assert "golden.jsonl: no such file; make one by" in missing.found
