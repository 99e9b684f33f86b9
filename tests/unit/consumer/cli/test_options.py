"""Every setting but a secret is an option and a variable, explained by the setting itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
import typer
from pydantic import SecretStr
from typer.testing import CliRunner

from prefstream.consumer.cli.options import with_settings
from prefstream.consumer.cli.strict_command import StrictCommand
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.connection import ENV_PREFIX, KafkaConnection
from prefstream.consumer.errors import UsageError

SECRETS = {"sasl_password", "ssl_password", "sasl_oauth_client_secret", "schema_registry_password"}
PLAIN = [name for name in StreamConfig.model_fields if name not in SECRETS]


@pytest.fixture
def given() -> list[StreamConfig]:
    """What the command was called with."""
    return []


@pytest.fixture
def app(given: list[StreamConfig]) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @with_settings(StreamConfig)
    def command(config: StreamConfig) -> None:
        """Do it."""
        given.append(config)

    return app


@pytest.fixture
def call(app: typer.Typer, given: list[StreamConfig]) -> Callable[..., StreamConfig]:
    def call(*arguments: str, **environment: str) -> StreamConfig:
        result = CliRunner().invoke(app, arguments, env=environment, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return given[-1]

    return call


def options(app: typer.Typer) -> dict[str, click.Option]:
    command = typer.main.get_command(app)
    return {option.name: option for option in command.params if option.name}  # type: ignore[misc]


def test_the_secrets_are_those_that_the_model_calls_secret() -> None:
    fields = StreamConfig.model_fields.items()
    assert {
        name for name, field in fields if SecretStr in {field.annotation, *getattr(field.annotation, "__args__", ())}
    } == SECRETS


@pytest.mark.parametrize("name", PLAIN)
def test_every_setting_is_an_option_and_a_variable(app: typer.Typer, name: str) -> None:
    option = options(app)[name]
    assert "--" + name.replace("_", "-") in option.opts
    assert option.envvar == ENV_PREFIX + name.upper()
    assert option.help
    assert option.help.startswith(str(StreamConfig.model_fields[name].description))


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_is_no_option(app: typer.Typer, name: str) -> None:
    assert name not in options(app)
    result = CliRunner().invoke(app, ["--" + name.replace("_", "-"), "x"])
    assert result.exit_code == 2


def test_help_shows_every_variable(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"})
    assert [name for name in PLAIN if f"{ENV_PREFIX}{name.upper()}" not in result.output] == []
    assert not [name for name in SECRETS if name in result.output.lower()]


def test_flags_reach_the_command(call: Callable[..., StreamConfig]) -> None:
    config = call("--linger-ms", "7", "--no-http", "--sasl-mechanism", "PLAIN", "--sasl-username", "me",
                  "--security-protocol", "SASL_SSL", PREFSTREAM_SASL_PASSWORD="secret")  # fmt: skip  # noqa: S106
    assert (config.linger_ms, config.http, config.sasl_mechanism) == (7, False, "PLAIN")


def test_a_flag_wins_over_its_variable(call: Callable[..., StreamConfig]) -> None:
    assert call("--group-id", "flag", PREFSTREAM_GROUP_ID="variable").group_id == "flag"


def test_a_variable_wins_over_the_file_that_an_option_names(call: Callable[..., StreamConfig], tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("group_id: file\nlinger_ms: 3\n")
    config = call("--config", str(path), PREFSTREAM_GROUP_ID="variable")
    assert (config.group_id, config.linger_ms) == ("variable", 3)


@pytest.mark.parametrize(("text", "expected"), [("false", False), ("0", False), ("true", True), ("1", True)])
def test_a_switch_is_a_variable_too(call: Callable[..., StreamConfig], text: str, expected: bool) -> None:
    assert call(PREFSTREAM_HTTP=text).http is expected


@pytest.mark.parametrize("arguments", [["--linger-ms", "soon"], ["--on-data-loss", "shrug"], ["--nonsense"]], ids=str)
def test_what_click_can_tell_is_wrong_exits_with_2(app: typer.Typer, arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--linger-ms", "soon"], r"^--linger-ms \(or PREFSTREAM_LINGER_MS\): should be a valid integer"),
        (["--on-data-loss", "shrug"], r"^--on-data-loss \(or PREFSTREAM_ON_DATA_LOSS\): 'shrug' is not one of"),
    ],
    ids=str,
)
def test_a_command_tells_what_click_can_tell_as_it_tells_the_rest(arguments: list[str], told: str) -> None:
    app = typer.Typer()

    @app.command(cls=StrictCommand)
    @with_settings(StreamConfig)
    def command(config: StreamConfig) -> None:
        """Do it."""

    with pytest.raises(UsageError, match=told):
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_what_the_model_alone_can_tell_is_wrong_is_a_usage_error(app: typer.Typer) -> None:
    with pytest.raises(UsageError, match="linger_ms"):
        CliRunner().invoke(app, ["--linger-ms", "-1"], catch_exceptions=False)


def test_own_parameters_stay_and_settings_can_be_left_out() -> None:
    seen: list[tuple[KafkaConnection, str]] = []
    app = typer.Typer()

    @app.command()
    @with_settings(StreamConfig, leave_out={"panel"})
    def command(config: StreamConfig, topic: str) -> None:
        """Do it."""
        seen.append((config, topic))

    result = CliRunner().invoke(app, ["t", "--group-id", "g"], catch_exceptions=False)
    assert result.exit_code == 0
    assert [(config.group_id, topic) for config, topic in seen if isinstance(config, StreamConfig)] == [("g", "t")]
    assert CliRunner().invoke(app, ["t", "--panel", "x"]).exit_code == 2
