"""`prefstream panels`: what no choice can hold is refused before a broker is asked."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from prefstream.consumer.cli import app
from prefstream.consumer.cli.exit_codes import EXIT_USAGE, exit_code_of


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["use", "v 2"], "panels: v 2 is no panel's name"),
        (["use", "v2", "--why", "x" * 501], "--why: has 501 characters"),
        (["roll-back", "--why", "x" * 501], "--why: has 501 characters"),
    ],
)
def test_what_a_choice_can_not_hold_is_wrong_usage(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = CliRunner().invoke(app, ["panels", *arguments, "--bootstrap-servers", "localhost:1"])
    assert result.exception is not None
    assert exit_code_of(result.exception) == EXIT_USAGE
    assert told in capsys.readouterr().err
