"""Access tokens: when they are fetched, what may go wrong, and that nobody reads the secret on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kafka.errors import KafkaConnectionError
from kafka.net.sasl.oauth import SaslMechanismOAuth
from pydantic import SecretStr
from structlog.testing import capture_logs

from prefstream.consumer.client.login import oauth
from prefstream.consumer.client.login.oauth import ClientCredentials
from prefstream.consumer.connection import OAuthClient
from prefstream.consumer.errors import NoTokenError, UsageError
from tests.support.kafka.security import Authority
from tests.support.kafka.token_server import TokenServer, token_server

SECRET = "correct:horse +&%/ö"  # noqa: S105 - looked for where it must not be; all of it must survive the way
LIFE_S = 100.0


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def shared_server() -> Iterator[TokenServer]:
    with token_server("me", SECRET, life_s=LIFE_S) as server:
        yield server


@pytest.fixture
def server(shared_server: TokenServer) -> TokenServer:
    shared_server.asked.clear()
    shared_server.given.clear()
    shared_server.answer = None
    shared_server.wait_s = 0.0
    return shared_server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider(server: TokenServer, clock: Clock) -> ClientCredentials:
    return ClientCredentials(client_of(server), clock=clock)


def client_of(server: TokenServer, **changes: Any) -> OAuthClient:
    fields: dict[str, Any] = {
        "token_url": server.url,
        "client_id": "me",
        "client_secret": SecretStr(SECRET),
        "scope": None,
        "cafile": None,
    }
    return OAuthClient(**(fields | changes))


def refusal(provider: ClientCredentials) -> str:
    """What it says when it gives no token."""
    with pytest.raises(NoTokenError) as refused:
        provider.valid_token()
    error: BaseException | None = refused.value
    while error is not None:  # what a traceback would show
        assert SECRET not in str(error)
        error = error.__cause__
    return str(refused.value)


def test_a_token_is_what_kafka_python_sends(provider: ClientCredentials, server: TokenServer) -> None:
    sent = SaslMechanismOAuth(sasl_oauth_token_provider=provider).auth_bytes().decode()
    assert sent == f"n,,\x01auth=Bearer {server.given[0]}\x01\x01"


def test_kafka_python_takes_a_missing_token_for_a_broker_that_is_away(
    provider: ClientCredentials, server: TokenServer
) -> None:
    """Whatever else would be raised there would end the process; an endpoint may come back."""
    server.answer = (503, b"busy", {})
    with pytest.raises(KafkaConnectionError, match="HTTP 503"):
        provider.token()


def test_a_scope_is_asked_for_if_there_is_one(server: TokenServer) -> None:
    for scope in ("kafka other", None):
        ClientCredentials(client_of(server, scope=scope)).token()
    grant = {"grant_type": ["client_credentials"]}
    assert server.asked == [{**grant, "scope": ["kafka other"]}, grant]


def test_a_token_is_kept_until_the_next_is_due(provider: ClientCredentials, server: TokenServer, clock: Clock) -> None:
    tokens = []
    for age in (0.0, 0.79, 0.81):
        clock.now = 1_000.0 + age * LIFE_S
        tokens.append(provider.token())
    assert tokens[0] == tokens[1] != tokens[2]


def test_many_who_ask_at_once_get_one_token(provider: ClientCredentials, server: TokenServer) -> None:
    server.wait_s = 0.1
    with ThreadPoolExecutor(8) as pool:
        assert len({future.result() for future in [pool.submit(provider.token) for _ in range(8)]}) == 1
    assert len(server.given) == 1


def test_a_token_whose_life_is_not_told_is_kept_for_a_minute(
    provider: ClientCredentials, server: TokenServer, clock: Clock
) -> None:
    server.answer = (200, b'{"access_token": "short"}', {})
    provider.token()
    clock.now += 0.9 * oauth.UNSTATED_LIFE_S
    provider.token()
    assert len(server.asked) == 2


def test_while_the_endpoint_is_away_a_valid_token_is_kept(
    provider: ClientCredentials, server: TokenServer, clock: Clock
) -> None:
    token = provider.token()
    server.answer = (503, b"busy", {})
    clock.now += 0.9 * LIFE_S
    with capture_logs() as logs:
        assert provider.token() == token
    assert [(line["log_level"], line["event"]) for line in logs] == [("warning", "no new access token")]
    clock.now += 0.1 * LIFE_S
    assert "HTTP 503" in refusal(provider)
    server.answer = None
    clock.now += oauth.PAUSE_S
    assert provider.token() != token


def test_between_failures_the_endpoint_is_left_alone(
    provider: ClientCredentials, server: TokenServer, clock: Clock
) -> None:
    """kafka-python asks again at once, hundreds of times a second."""
    server.answer = (503, b"busy", {})
    assert refusal(provider) == refusal(provider)
    assert len(server.asked) == 1
    clock.now += oauth.PAUSE_S
    refusal(provider)
    assert len(server.asked) == 2


def test_a_refused_secret_is_told_with_the_settings_to_check(server: TokenServer) -> None:
    wrong = "not " + SECRET
    told = refusal(ClientCredentials(client_of(server, client_secret=SecretStr(wrong))))
    assert told.startswith(f"the token endpoint {server.url} refuses the client me (HTTP 401, invalid_client); ")
    assert told.endswith("check sasl_oauth_client_id and sasl_oauth_client_secret")


@pytest.mark.parametrize(
    ("status", "body", "named"),
    [
        (400, b'{"error": "invalid_scope"}', "(HTTP 400, invalid_scope); check sasl_oauth_scope"),
        (400, b'{"error": "unauthorized_client"}', "may use the grant client_credentials"),
        (401, b"<html>", "(HTTP 401); check sasl_oauth_client_id"),
        (404, b"", "(HTTP 404); look at its log"),
        (500, SECRET.encode(), "(HTTP 500); look at its log"),
        (400, json.dumps({"error": SECRET}).encode(), "(HTTP 400); look at its log"),
        (400, b'["error"]', "(HTTP 400); look at its log"),
    ],
)
def test_a_refusal_is_told_and_what_the_endpoint_may_repeat_is_not(
    provider: ClientCredentials, server: TokenServer, status: int, body: bytes, named: str
) -> None:
    server.answer = (status, body, {})
    assert named in refusal(provider)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"token"',
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"access_token": 7}',
        b'{"access_token": ""}',
        b'{"access_token": "two words"}',
        b'{"access_token": "ends\\u0001auth"}',
        b'{"access_token": "a", "token_type": "mac"}',
        b'{"access_token": "a", "expires_in": 0}',
        b'{"access_token": "a", "expires_in": NaN}',
        b'{"access_token": "a", "expires_in": "soon"}',
        b'{"access_token": "a", "expires_in": [1]}',
    ],
    ids=lambda body: repr(body[:40]),
)
def test_an_answer_without_a_valid_token_is_told_as_such(
    provider: ClientCredentials, server: TokenServer, body: bytes
) -> None:
    server.answer = (200, body, {})
    assert server.url in refusal(provider)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary() | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_any_answer_is_a_token_or_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch, server: TokenServer, body: bytes
) -> None:
    provider = ClientCredentials(client_of(server))
    monkeypatch.setattr(provider, "_ask", lambda: body)
    with pytest.raises(NoTokenError):
        provider.valid_token()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirection_is_followed(provider: ClientCredentials, server: TokenServer, status: int) -> None:
    server.answer = (status, b"", {"Location": server.url + "/elsewhere"})
    assert f"HTTP {status}" in refusal(provider)
    assert len(server.asked) == 1


def test_no_proxy_gets_the_secret_of_a_request_to_this_machine(
    server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert ClientCredentials(client_of(server)).token() == server.given[0]


def test_an_endpoint_that_is_not_there_is_told() -> None:
    client = OAuthClient("http://127.0.0.1:1/token", "me", SecretStr(SECRET), None, None)
    assert "Connection refused" in refusal(ClientCredentials(client))


def test_an_endpoint_that_does_not_answer_is_given_up(
    provider: ClientCredentials, server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "TIMEOUT_S", 0.2)
    server.wait_s = 1.0
    assert server.url in refusal(provider)


@pytest.fixture
def over_tls(tmp_path: Path) -> Iterator[Callable[..., ClientCredentials]]:
    """Makes providers for an endpoint that speaks TLS."""
    authority = Authority(tmp_path)
    with token_server("me", SECRET, keystore=authority.keystore("127.0.0.1")) as server:
        yield lambda cafile=authority.cafile: ClientCredentials(client_of(server, cafile=cafile))


def test_a_token_comes_over_tls(over_tls: Callable[..., ClientCredentials]) -> None:
    assert over_tls().token()


def test_an_endpoint_that_another_ca_signed_gets_no_secret(
    over_tls: Callable[..., ClientCredentials], tmp_path: Path
) -> None:
    (other := tmp_path / "other").mkdir()
    for cafile in (Authority(other).cafile, None):
        assert refusal(over_tls(cafile)).endswith("check sasl_oauth_cafile")


def test_a_file_without_certificates_is_a_usage_error(
    over_tls: Callable[..., ClientCredentials], tmp_path: Path
) -> None:
    (empty := tmp_path / "empty.pem").touch()
    with pytest.raises(UsageError, match=r"sasl_oauth_cafile: .*empty\.pem"):
        over_tls(empty)
