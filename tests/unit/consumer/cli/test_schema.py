"""`prefstream schema`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from prefstream.consumer.cli.schema import schema
from prefstream.schemas.documents import documents


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(schema)
    return app


@pytest.mark.parametrize(
    ("name", "title"),
    [("battle", "Battle"), ("preference", "Preference"), ("dead-letter", "DeadLetterHeaders")],
)
def test_prints_a_json_schema(app: typer.Typer, name: str, title: str) -> None:
    result = CliRunner().invoke(app, [name])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["title"] == title


def test_prints_asyncapi(app: typer.Typer) -> None:
    assert yaml.safe_load(CliRunner().invoke(app, ["asyncapi"]).stdout)["asyncapi"] == "3.0.0"


def test_prints_all_by_default(app: typer.Typer) -> None:
    printed = CliRunner().invoke(app, []).stdout
    assert [line.split()[1] for line in printed.splitlines() if line.startswith("==>")] == list(documents())


def test_unknown_document_is_a_usage_error(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, ["battles"]).exit_code == 2


def test_written_documents_pass_the_check_until_one_is_changed(app: typer.Typer, tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["--write", str(tmp_path)]).exit_code == 0
    assert runner.invoke(app, ["--check", str(tmp_path)]).exit_code == 0
    (tmp_path / "battle.schema.json").write_text("{}")
    result = runner.invoke(app, ["--check", str(tmp_path)])
    assert result.exit_code == 1
    assert "battle.schema.json" in result.stderr
    assert f"prefstream schema --write {tmp_path}" in result.stderr
    assert "preference.schema.json" not in result.stderr
