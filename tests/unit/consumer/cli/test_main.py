"""The command line as a whole: every command explains itself, and errors become one line and an exit code."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from typer.testing import CliRunner

from prefstream.consumer.cli import COMMANDS as SUMMARIES
from prefstream.consumer.cli import app, load_command
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import UsageError
from tests.support.commands import every_command, own_options

COMMANDS = every_command()


def variable(command: str, option: Any) -> str:
    """What sets the option where the command line does not."""
    words = f"prefstream {command} {option.name}"
    return str(option.envvar or re.sub(r"\W", "_", words).upper())


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_every_command_and_option_has_help_and_every_option_a_variable(name: str, command: Any) -> None:
    assert command.help
    shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "80"}).output
    for option in own_options(command):
        assert option.help, option.name
        assert variable(name, option) in re.split(r"[^\w]", shown)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_help_cuts_nothing_off(name: str, command: Any, columns: int) -> None:
    """As it did with variables, beside their options in 80 columns."""
    shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": str(columns)}).output
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= columns
    assert set(re.findall(r"[\w-]+", command.help)) <= set(re.findall(r"[\w-]+", shown))
    for param in command.params:
        for spelling in (*param.opts, *param.secondary_opts) if param.param_type_name == "option" else ():
            assert spelling in re.split(r"[\s,]", shown) or spelling in {"-h", "--help"}


def single_options() -> list[tuple[str, str]]:
    """Every option that takes one value, by its command."""
    return [
        (name, option.opts[0])
        for name, command in COMMANDS
        for option in own_options(command)
        if not option.multiple and (not option.is_flag or option.secondary_opts)
    ]


@pytest.mark.parametrize(("name", "option"), single_options())
def test_an_option_that_takes_one_value_is_refused_twice(name: str, option: str) -> None:
    """The last would win, and nobody would know."""
    command = dict(COMMANDS)[name]
    [found] = [one for one in own_options(command) if option in one.opts]
    once = [option] if found.is_flag else [option, "1"]
    with pytest.raises(UsageError, match=rf"^{option}.*is given twice; give it once"):
        command.make_context(name, [*once, *once])


def test_an_option_that_may_be_repeated_is_taken_as_often_as_it_is_given() -> None:
    command = dict(COMMANDS)["evaluate"]
    context = command.make_context("evaluate", ["f.jsonl", "--tier", "a", "--tier", "b", "--swap", "--swap"])
    assert context.params["tier"] == ["a", "b"]
    assert context.params["swap"] is True


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_command_is_listed_by_the_first_words_of_its_own_help(name: str) -> None:
    """The list is written down, so that it can be shown without importing a command."""
    assert SUMMARIES[name] == load_command(name).help.split("\n\n")[0].strip()


def test_a_variable_that_several_commands_read_is_a_setting_of_the_service() -> None:
    """One that is set for a command changes nothing in another: `--limit` is not the same limit everywhere."""
    read = Counter(variable(name, option) for name, command in COMMANDS for option in own_options(command))
    settings = {f"PREFSTREAM_{field.upper()}" for field in StreamConfig.model_fields}
    assert {name for name, commands in read.items() if commands > 1} <= {*settings, "PREFSTREAM_CONFIG"}


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_no_option_takes_a_secret(name: str, command: Any) -> None:
    """Whoever may list processes reads their arguments. Files and addresses are no secrets."""
    words = {part for option in command.params for word in option.opts for part in word.strip("-").split("-")}
    assert not words & {"password", "passphrase", "secret", "key", "credential", "credentials"}
    assert {word for option in command.params for word in option.opts if "token" in word.split("-")} <= {
        "--sasl-oauth-token-url"
    }


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_help_shows_no_secret_of_the_environment(name: str, command: Any) -> None:
    secrets = ("SASL_PASSWORD", "SSL_PASSWORD", "SASL_OAUTH_CLIENT_SECRET")
    environment = {f"PREFSTREAM_{secret}": "correct-horse" for secret in secrets}
    result = CliRunner().invoke(app, [*name.split(), "--help"], env=environment)
    assert result.exit_code == 0
    assert "correct-horse" not in result.output


def prefstream(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, after some lines of Python."""
    command = [sys.executable, "-c", before + "from prefstream.consumer.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def test_an_unreachable_broker_is_one_line_and_exit_code_1() -> None:
    impatient = "from prefstream.consumer.client import clients; clients.CONNECT_TIMEOUT_MS = 500\n"
    result = prefstream("run", "--panel", "demo", "--bootstrap-servers", "127.0.0.1:1", "--no-http", before=impatient)
    assert result.returncode == 1
    assert "no connection to 127.0.0.1:1" in result.stderr
    assert "nothing listens there" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_panel_that_is_missing_is_told_before_brokers_are_waited_for() -> None:
    """By the exit code, too: a supervisor that starts it again mends nothing."""
    result = prefstream("run", "--panel", "nope.yaml", "--bootstrap-servers", "127.0.0.1:1", "--no-http")
    assert result.returncode == 2
    assert "nope.yaml: no such file" in result.stderr
    assert "127.0.0.1:1" not in result.stderr


def test_wrong_settings_are_one_line_and_exit_code_2() -> None:
    result = prefstream("run", "--security-protocol", "SASL_SSL")
    assert result.returncode == 2
    assert "needs sasl_mechanism, sasl_username and sasl_password" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("given", "meant"), [(["demmo"], "demo"), (["dead-letter"], "dead-letters"), (["dead-letters", "shw"], "show")]
)
def test_an_unknown_command_is_refused_with_the_nearest_one(given: list[str], meant: str) -> None:
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 2
    assert f"No such command '{given[-1]}'. Did you mean '{meant}'?" in result.output


def test_the_version_is_told() -> None:
    assert prefstream("--version").stdout.startswith("prefstream ")


@pytest.mark.parametrize("command", ["run", "replay", "schema"])
def test_a_variable_with_a_typing_error_ends_any_command_with_2(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = {"replay": ["nowhere.csv"]}.get(command, [])
    monkeypatch.setenv("PREFSTREAM_GRUP_ID", "mine")
    result = prefstream(command, *arguments)
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "prefstream: the variable PREFSTREAM_GRUP_ID is unknown; did you mean PREFSTREAM_GROUP_ID?"
    ]
    assert prefstream(command, "--help").returncode == 0


def test_a_variable_that_nobody_knows_is_told_beside_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFSTREAM_TEAM", "mine")
    result = prefstream("schema", "battle")
    assert result.returncode == 0
    assert result.stderr.splitlines() == ["prefstream: the variable PREFSTREAM_TEAM is unknown: no effect"]
