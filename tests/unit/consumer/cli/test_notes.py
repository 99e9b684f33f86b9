"""Options and arguments that have no effect where they stand are refused, before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from prefstream.consumer.cli import app
from prefstream.consumer.errors import UsageError


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["schema", "battle", "--write", "FOLDER"], "DOCUMENT: no effect with --write and --check"),
        (["schema", "battle", "--check", "FOLDER"], "DOCUMENT: no effect with --write and --check"),
        (["bench", "overhead", "--recipe", "gemma-3-270m"], "--recipe: no effect on bench overhead"),
        (["bench", "overhead", "--battles", "5"], "--battles: no effect on bench overhead"),
        (["bench", "train", "--panel", "demo", "--batch", "5"], "--panel, --batch: no effect on bench train"),
        (["bench", "panel", "--small-battles", "5"], "--small-battles: no effect on bench panel"),
        (["bench", "panel", "--bootstrap-servers", "a:1"], "--bootstrap-servers: no effect on bench panel"),
        (["dead-letters", "show", "a/0/5", "--topic", "b"], "--topic: no effect on positions that name the topic a"),
        (["dead-letters", "retry", "a/0/5", "--topic", "b"], "--topic: no effect on positions that name the topic a"),
    ],
)
def test_what_has_no_effect_on_the_command_line_is_refused(arguments: list[str], told: str, tmp_path: Path) -> None:
    words = [str(tmp_path) if word == "FOLDER" else word for word in arguments]
    refused = CliRunner().invoke(app, words).exception
    assert isinstance(refused, UsageError)
    assert str(refused).startswith(told)
    assert list(tmp_path.iterdir()) == []


def test_a_variable_may_be_for_another_day(tmp_path: Path) -> None:
    """`schema` takes all documents here, whatever is set for other calls."""
    written = CliRunner().invoke(app, ["schema", "--write", str(tmp_path)], env={"PREFSTREAM_SCHEMA_CHECK": ""})
    assert written.exit_code == 0
    assert len(list(tmp_path.iterdir())) > 3
