"""The token as a client and a browser meet it, and what other sites' pages can't do."""

from __future__ import annotations

import http.cookies
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from itsdangerous import TimestampSigner
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from prefstream.consumer.board.api.access import COOKIE_S, MOST_WRONG, Access
from prefstream.consumer.board.api.responses import API
from prefstream.consumer.board_config import BoardConfig
from prefstream.consumer.errors import UsageError
from prefstream.consumer.observe.health import HealthState
from tests.support.boards import Answered, ask, open_store, send, served
from tests.support.events import events

TOKEN = "zqtoken-of-the-board-0123456789"  # noqa: S105
SESSION = f"{API}/session"
JSON = "application/json"


@pytest.fixture(scope="module", params=["", "/board"])
def under(request: pytest.FixtureRequest) -> str:
    """The path under which a proxy shows the board."""
    path: str = request.param
    return path


@pytest.fixture(scope="module")
def url(under: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (
        open_store(tmp_path_factory.mktemp("closed")) as store,
        served(
            store, token=SecretStr(TOKEN), root_path=under, health=HealthState(), registry=CollectorRegistry()
        ) as url,
    ):
        yield url


@pytest.fixture(scope="module")
def open_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with open_store(tmp_path_factory.mktemp("open")) as store, served(store) as url:
        yield url


def sign_in(url: str, token: Any = TOKEN, **headers: str) -> Answered:
    body = json.dumps({"token": token}).encode()
    return send(url, SESSION, "POST", body, **({"Content_Type": JSON} | headers))


def cookie_of(answer: Answered) -> http.cookies.Morsel[str]:
    [cookie] = http.cookies.SimpleCookie(answer.headers["set-cookie"]).values()
    return cookie


def signed_in(url: str, **headers: str) -> bool:
    told: bool = ask(url, SESSION, **headers).json["signed_in"]
    return told


def documented(url: str) -> list[tuple[str, str]]:
    """Every method and address that the API's document names."""
    paths = ask(url, f"{API}/openapi.json").json["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def test_nothing_is_told_without_the_token(url: str, under: str) -> None:
    closed = [(method, path) for method, path in documented(url) if path != SESSION]
    assert len(closed) > 10
    for method, path in closed:
        for asked in {path, under + path}:
            answer = ask(url, asked.replace("{table}", "models"), method)
            assert answer.status == 401, (method, asked)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert set(answer.json) == {"detail"}


@pytest.mark.parametrize("path", ["/nothing", "//", "/api", f"{API}/session/", f"{API}//session", "/page", "/Livez"])
def test_what_is_not_opened_is_closed(url: str, path: str) -> None:
    assert ask(url, path).status == 401


@pytest.mark.parametrize(
    "path", ["/", "/page/js/main.js", "/livez", "/readyz", "/metrics", SESSION, f"{API}/openapi.json"]
)
def test_the_form_and_what_machines_look_after_is_open(url: str, under: str, path: str) -> None:
    for asked in (path, under + path):
        assert ask(url, asked).status in {200, 503}
    assert ask(url, path, "HEAD").status in {200, 503}


def test_a_program_sends_the_token_each_time(url: str) -> None:
    assert ask(url, f"{API}/status", Authorization=f"Bearer {TOKEN}").status == 200
    assert ask(url, f"{API}/status", Authorization=f"bearer  {TOKEN}").status == 200
    for wrong in (f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, "Bearer ü"):
        assert ask(url, f"{API}/status", Authorization=wrong).status == 401, wrong


def test_a_browser_gets_a_cookie_for_it(url: str, under: str) -> None:
    answer = sign_in(url)
    assert (answer.status, answer.body) == (204, b"")
    cookie = cookie_of(answer)
    assert cookie["httponly"] is True
    assert cookie["secure"] == ""
    assert cookie["samesite"].lower() == "strict"
    assert cookie["path"] == under or "/"
    assert int(cookie["max-age"]) == COOKIE_S
    assert TOKEN not in answer.headers["set-cookie"]
    assert signed_in(url, Cookie=f"{cookie.key}={cookie.value}")
    assert ask(url, f"{API}/status", Cookie=f"other=1; {cookie.key}={cookie.value}").status == 200


def test_signing_out_takes_the_cookie_back(url: str, under: str) -> None:
    answer = ask(url, SESSION, "DELETE")
    assert answer.status == 204
    cookie = cookie_of(answer)
    assert (cookie.value, cookie["max-age"], cookie["path"]) == ("", "0", under or "/")


@pytest.mark.parametrize(("proto", "secure"), [("https", True), ("HTTPS, http", True), ("http", False), ("", False)])
def test_behind_https_the_cookie_goes_over_https_alone(url: str, proto: str, secure: bool) -> None:
    assert bool(cookie_of(sign_in(url, X_Forwarded_Proto=proto))["secure"]) is secure


def test_a_cookie_ends_with_its_month_and_with_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Access(SecretStr(TOKEN), "one")
    fresh = ours.new_cookie()
    now = TimestampSigner("x").get_timestamp()
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: now - COOKIE_S - 2)
    old = ours.new_cookie()
    monkeypatch.undo()
    assert admits(ours, fresh)
    assert not admits(ours, old)
    assert not admits(Access(SecretStr(TOKEN[::-1]), "one"), fresh)
    assert not admits(ours, "")
    assert not admits(ours, fresh[:-1])
    assert not admits(ours, TimestampSigner(TOKEN).sign("1").decode())


def test_a_clock_that_is_set_back_signs_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Access(SecretStr(TOKEN), "one")
    now = TimestampSigner("x").get_timestamp()
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: now + 3_600)
    cookie = ours.new_cookie()
    monkeypatch.undo()
    assert admits(ours, cookie)


def test_a_board_under_another_path_of_the_host_signs_nobody_out() -> None:
    ours, others = Access(SecretStr(TOKEN), "one"), Access(SecretStr(TOKEN[::-1]), "one")
    assert admits(ours, f"{ours.new_cookie()}; {ours.cookie}={others.new_cookie()}")
    assert admits(ours, f"{others.new_cookie()}; {ours.cookie}={ours.new_cookie()}")
    assert not admits(ours, f"{others.new_cookie()}; {ours.cookie}={others.new_cookie()}")


def test_boards_on_two_ports_of_a_host_sign_nobody_out(tmp_path: Path) -> None:
    """A browser sends a host's cookies to all its ports, one of each name."""
    browser: dict[str, str] = {}
    with ExitStack() as stack:
        urls = []
        for number in range(2):
            folder = tmp_path / str(number)
            folder.mkdir()
            urls.append(stack.enter_context(served(stack.enter_context(open_store(folder)), token=SecretStr(TOKEN))))
        for url in urls:
            cookie = cookie_of(sign_in(url))
            browser[cookie.key] = cookie.value
        assert all(signed_in(url, Cookie=_sent(browser)) for url in urls)
        browser |= {one.key: one.value for one in [cookie_of(ask(urls[0], SESSION, "DELETE", Cookie=_sent(browser)))]}
        assert [signed_in(url, Cookie=_sent(browser)) for url in urls] == [False, True]


def _sent(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def test_a_cookie_keeps_its_name_over_restarts(tmp_path: Path) -> None:
    names = set()
    for _ in range(2):
        with open_store(tmp_path) as store, served(store, token=SecretStr(TOKEN)) as url:
            names.add(cookie_of(sign_in(url)).key)
    assert len(names) == 1


def test_who_signs_out_gets_no_more_events(url: str) -> None:
    cookie = cookie_of(sign_in(url))
    sent = f"{cookie.key}={cookie.value}"
    with events(url, Cookie=sent) as window, events(url, Authorization=f"Bearer {TOKEN}") as program:
        window.next("status")
        program.next("status")
        ask(url, SESSION, "DELETE", Cookie=sent)
        assert {event.type for event in window} <= {"status"}  # it ends
        program.next("status")


def admits(ours: Access, cookie: str) -> bool:
    headers = [(b"cookie", f"{ours.cookie}={cookie}".encode())]
    return ours.admits(HTTPConnection({"type": "http", "headers": headers}))


@pytest.mark.parametrize("token", ["", TOKEN + "x", TOKEN.upper(), "ü" * 16, "\udcff"])
def test_a_wrong_token_is_refused(url: str, token: str) -> None:
    answer = sign_in(url, token)
    assert answer.status == 403
    assert "set-cookie" not in answer.headers
    assert set(answer.json) == {"detail"}


def test_who_guesses_waits_and_holds_nobody_up(url: str) -> None:
    with ThreadPoolExecutor(MOST_WRONG * 2) as pool:
        answers = list(pool.map(lambda _: sign_in(url, "wrong").status, range(MOST_WRONG * 2)))
        assert sign_in(url).status == 204
    assert answers.count(429) + answers.count(403) == MOST_WRONG * 2
    assert answers.count(403) >= MOST_WRONG


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'"x"',
        b"token=x",
        json.dumps({"token": "zqsaid", "more": 1}).encode(),
        b'{"token": ["zqsaid"]}',
    ],
)
def test_what_is_no_token_is_not_repeated(url: str, body: bytes) -> None:
    answer = send(url, SESSION, "POST", body, Content_Type=JSON)
    assert answer.status == 422
    assert "zqsaid" not in answer.body.decode()


def test_a_form_of_another_site_can_not_be_taken_for_json(url: str) -> None:
    assert sign_in(url, Content_Type="text/plain").status == 422
    assert sign_in(url, Content_Type="application/x-www-form-urlencoded").status == 422


def test_a_body_that_is_too_long_is_not_read(url: str) -> None:
    assert sign_in(url, "x" * 70_000).status == 413


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({}, True),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "https://board.example"}, True),
        ({"Sec_Fetch_Site": "same-site"}, False),
        ({"Sec_Fetch_Site": "cross-site"}, False),
        ({"Sec_Fetch_Site": "none"}, False),
        ({"Sec_Fetch_Site": ""}, False),
        ({"Origin": "http://board.example:8080", "Host": "Board.example:8080"}, True),
        ({"Origin": "http://board.example:8080", "Host": "board.example"}, False),
        ({"Origin": "http://attacker.example", "Host": "board.example"}, False),
        ({"Origin": "null", "Host": "board.example"}, False),
        ({"Origin": "", "Host": "board.example"}, False),
        ({"Origin": "http://[zqhost]x", "Host": "board.example"}, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_another_sites_page_changes_nothing(url: str, method: str, headers: dict[str, str], ours: bool) -> None:
    answer = sign_in(url, **headers) if method == "POST" else ask(url, SESSION, method, **headers)
    assert answer.status == (204 if ours else 403)
    assert ("set-cookie" in answer.headers) is ours


def test_a_board_without_token_asks_for_none(open_url: str) -> None:
    session = ask(open_url, SESSION)
    assert session.headers["cache-control"] == "no-store"
    assert session.json["token_required"] is False
    assert session.json["signed_in"] is True
    assert ask(open_url, f"{API}/status").status == 200
    assert sign_in(open_url).status == 409


def test_the_session_says_who_looks(url: str) -> None:
    told = ask(url, SESSION).json
    assert (told["token_required"], told["signed_in"]) == (True, False)
    assert (told["texts"], told["battles"]) == (False, False)
    assert signed_in(url, Authorization=f"Bearer {TOKEN}")


@pytest.mark.parametrize("token", ["short", "fifteen-letters", "sixteen letters!", "sechzehn-zeichen-ü"])
def test_a_token_that_could_be_guessed_or_not_be_sent_is_refused(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFSTREAM_BOARD_HTTP_TOKEN", token)
    with pytest.raises(UsageError, match="board_http_token") as refused:
        BoardConfig.load()
    assert token not in str(refused.value)


def test_the_token_may_stand_in_a_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "board_http_token").write_text(f"{TOKEN}\n")
    monkeypatch.setenv("PREFSTREAM_SECRETS_DIR", str(tmp_path))
    config = BoardConfig.load()
    assert config.board_http_token == SecretStr(TOKEN)
    assert TOKEN not in repr(config)


@pytest.mark.parametrize("path", ["/api", "/api/v1", "/page", "/page/js"])
def test_a_path_where_our_own_addresses_begin_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="board_root_path"):
        BoardConfig.load(board_root_path=path)
