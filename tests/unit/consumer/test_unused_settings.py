"""What was given and changes nothing is told, and what is nearly known is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from prefstream.consumer.cli import COMMANDS
from prefstream.consumer.cli.notes import variable_of
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.connection import ENV_SECRETS_DIR
from prefstream.consumer.errors import UsageError
from prefstream.consumer.unused_settings import (
    OTHER_VARIABLES,
    check_secrets,
    check_variables,
    without_effect,
)
from prefstream.scoring.demo.model_cache import CACHE_VARIABLE
from prefstream.scoring.runtime import OFF_SWITCH
from tests.support.commands import every_command, own_options

OTHERS = [f"{variable_of(name)}_" for name in COMMANDS]
OAUTH: dict[str, Any] = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "OAUTHBEARER",
    "sasl_oauth_token_url": "http://localhost/token",
    "sasl_oauth_client_id": "me",
    "sasl_oauth_client_secret": SecretStr("s"),
}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"schema_registry_url": "http://registry", "schema_registry_register": False},
            "schema_registry_url, schema_registry_register: no effect with preferences_framing none",
        ),
        (
            {
                "preferences_framing": "confluent",
                "schema_registry_url": "http://registry",
                "schema_registry_cafile": Path(__file__),
            },
            "schema_registry_cafile: no effect with a schema_registry_url without TLS",
        ),
        ({"http": False, "http_port": 9464}, "http_port: no effect with http off"),
        ({"http": False, "http_host": "::", "http_port": 1}, "http_host, http_port: no effect with http off"),
        ({"dead_letter_limit": 1, "dead_letter_window": 9}, "dead_letter_window: no effect with dead_letter_limit 1"),
        ({"dead_letter_limit": 0, "dead_letter_window": 9}, "dead_letter_window: no effect with dead_letter_limit 0"),
        ({"max_batch_battles": 1, "linger_ms": 9}, "linger_ms: no effect with max_batch_battles 1"),
        ({"review_share": 0.1, "review_above": 1.0}, "review_share, review_above: no effect with no review_topic"),
        (
            {"review_topic": "r", "review_share": 0.1, "review_share_above": 0.1, "review_above": 1.0},
            "review_above: no effect with review_share and review_share_above the same",
        ),
        ({"shadow_topic": "s"}, "shadow_topic: no effect with shadow off"),
        (
            {"shadow": True, "review_topic": "r", "review_share": 0.1},
            "review_topic, review_share: no effect with shadow, which asks nobody to look",
        ),
        ({"security_protocol": "SSL", "ssl_password": SecretStr("s")}, "ssl_password: no effect with no ssl_certfile"),
        ({**OAUTH, "sasl_oauth_cafile": Path(__file__)}, "sasl_oauth_cafile: no effect with a sasl_oauth_token_url"),
    ],
)
def test_a_setting_that_another_switches_off_is_told(settings: dict[str, Any], told: str) -> None:
    [line] = without_effect(StreamConfig.load(**settings))
    assert line.startswith(told)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"http": False},
        {"http_port": 1},
        {"dead_letter_limit": 0.1, "dead_letter_window": 9},
        {"linger_ms": 9},
        {"shadow": True, "shadow_topic": "s", "share": 0.1},
        {"review_topic": "r", "review_share": 0.1, "review_above": 1.0, "review_share_above": 0.3},
        OAUTH,
    ],
)
def test_nothing_is_told_of_settings_that_count_or_were_not_given(settings: dict[str, Any]) -> None:
    assert without_effect(StreamConfig.load(**settings)) == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ssl_cafile": Path(__file__)}, "ssl_cafile: no effect with security_protocol PLAINTEXT"),
        ({"sasl_username": "me"}, "sasl_username: no effect with security_protocol PLAINTEXT"),
    ],
)
def test_a_connection_that_is_less_safe_than_was_meant_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        StreamConfig.load(**settings)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PREFSTREAM_PANNEL", "PREFSTREAM_PANEL"),
        ("PREFSTREAM_BOOTSTRAP_SERVER", "PREFSTREAM_BOOTSTRAP_SERVERS"),
        ("PREFSTREAM_KAFKA_BOOTSTRAP_SERVERS", "PREFSTREAM_BOOTSTRAP_SERVERS"),
        ("PREFSTREAM_SASL_PASSWORT", "PREFSTREAM_SASL_PASSWORD"),
        ("PREFSTREAM_SCORE_TIMEOUT", "PREFSTREAM_SCORE_TIMEOUT_S"),
        ("PREFSTREAM_SECRET_DIR", "PREFSTREAM_SECRETS_DIR"),
        ("PREFSTREAM_SCORE_CHUNCK", "PREFSTREAM_SCORE_CHUNK"),
        ("prefstream_group_id", "PREFSTREAM_GROUP_ID"),
        ("Prefstream_Panel", "PREFSTREAM_PANEL"),
    ],
)
def test_a_variable_that_is_nearly_a_known_one_is_refused_with_that(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"the variable {name} is unknown; did you mean {meant}[?]"):
        check_variables({name: "x"}, ["PREFSTREAM_SCORE_CHUNK"], [])


def test_all_wrong_variables_are_told_together() -> None:
    with pytest.raises(UsageError, match=r"GRUP_ID.*PANNEL"):
        check_variables({"PREFSTREAM_PANNEL": "x", "PREFSTREAM_GRUP_ID": "y"}, [], [])


def test_a_variable_that_nobody_knows_is_told() -> None:
    assert check_variables({"PREFSTREAM_TEAM": "x", "TEAM": "y"}, [], []) == [
        "the variable PREFSTREAM_TEAM is unknown: no effect"
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PREFSTREAM_SERVICE_HOST", "10.0.0.1"),
        ("PREFSTREAM_SERVICE_PORT", "9464"),
        ("PREFSTREAM_SERVICE_PORT_METRICS", "9464"),
        ("PREFSTREAM_PORT", "tcp://10.0.0.1:9464"),
        ("PREFSTREAM_PORT_9464_TCP", "tcp://10.0.0.1:9464"),
        ("PREFSTREAM_PORT_9464_TCP_ADDR", "10.0.0.1"),
        ("PREFSTREAM_SHADOW_SERVICE_HOST", "10.0.0.1"),
        ("PREFSTREAM_SHADOW_PORT", "tcp://10.0.0.1:9464"),
    ],
)
def test_what_kubernetes_makes_for_a_service_of_our_name_is_no_setting(name: str, text: str) -> None:
    """It puts them into every container of the namespace."""
    assert check_variables({name: text}, [], []) == []


def test_a_port_that_a_person_set_is_told() -> None:
    assert check_variables({"PREFSTREAM_PORT": "9464"}, [], []) == [
        "the variable PREFSTREAM_PORT is unknown: no effect"
    ]


@pytest.mark.parametrize("called", COMMANDS)
def test_variables_of_every_command_may_stand_beside_each_other(called: str) -> None:
    """One environment serves several commands: none refuses or tells the variables of another."""
    given = {}
    options = []
    for name, command in every_command():
        for option in own_options(command):
            variable = str(option.envvar or variable_of(name, option.name))
            given[variable] = "x"
            if name.partition(" ")[0] == called:
                options.append(variable)
    others = [prefix for prefix in OTHERS if prefix != f"{variable_of(called)}_"]
    assert check_variables(given | dict.fromkeys(OTHER_VARIABLES, "x"), options, others) == []


def test_the_variables_that_are_written_down_are_those_that_are_read() -> None:
    assert {CACHE_VARIABLE, OFF_SWITCH, ENV_SECRETS_DIR} <= OTHER_VARIABLES


def test_secret_files_are_looked_at_likewise(tmp_path: Path) -> None:
    """As Kubernetes mounts them: versions in hidden folders; one that a setting names is used."""
    (tmp_path / "..data").mkdir()
    for name in ("sasl_password", "ca.crt", "token"):
        (tmp_path / name).write_text("x")
    config = StreamConfig.load(security_protocol="SSL", ssl_cafile=tmp_path / "ca.crt")
    assert check_secrets(tmp_path, config) == [f"the secret file {tmp_path / 'token'} is of no setting: no effect"]
    (tmp_path / "sasl_passwort").write_text("x")
    with pytest.raises(UsageError, match="sasl_passwort is of no setting; did you mean sasl_password"):
        check_secrets(tmp_path, config)
