"""The page behind a proxy, under a path, with a token: what a visitor of a board on the network goes through."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaProducer
from playwright.sync_api import Page, expect

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.config import TopicNames
from prefstream.schemas import encode_preference
from tests.conftest import Kafka
from tests.support.board import preference
from tests.support.board_topics import Load, board_names, fill
from tests.support.boards import ask, running_board
from tests.support.browser import WAIT_MS, Tabs
from tests.support.nginx import nginx

TOKEN = "zqtoken-of-the-board-0123456789"  # noqa: S105

REFUSED = "status of 40[13]"
"""On the console, where a token is wrong."""


@pytest.fixture(scope="module")
def names(embedded_kafka: Kafka) -> TopicNames:
    names = board_names(embedded_kafka.bootstrap_servers, partitions=1)
    fill(names, Load(preferences=100, votes=50), random.Random(2))
    return names


@pytest.fixture(scope="module")
def board(names: TopicNames, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("board")
    with running_board(names, folder, board_root_path="/board", board_http_token=TOKEN) as url:
        yield url


@pytest.fixture(params=["passed on", "taken off"])
def proxy(request: pytest.FixtureRequest, board: str, tmp_path: Path) -> Iterator[str]:
    """The address of nginx, which does this with the path."""
    with nginx(board, tmp_path, takes_off=request.param == "taken off") as url:
        yield url


def sign_in(page: Page, token: str) -> None:
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Sign in").click()


def test_a_visitor_signs_in_sees_what_happens_and_signs_out(proxy: str, tabs: Tabs, names: TopicNames) -> None:
    # The proxy is named first, so that the page, which looks for it every now and then, is closed before it ends.
    page = tabs.open(f"{proxy}/board", expected=[REFUSED])
    assert page.url == f"{proxy}/board/"
    sign_in(page, TOKEN[::-1])
    expect(page.get_by_role("alert")).to_have_text("This is not the board's token.")
    sign_in(page, TOKEN)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    expect(page.get_by_role("dialog")).to_have_count(0)
    [cookie] = page.context.cookies()
    assert (cookie["path"], cookie["httpOnly"]) == ("/board", True)
    assert page.evaluate("document.cookie") == ""
    assert TOKEN not in page.url

    page.goto(f"{proxy}/board/#verdicts")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    page.evaluate("document.body.dataset.loaded = 'once'")
    publish(names, "zq-just-now")
    expect(page.get_by_text("zq-just-now")).to_be_visible(timeout=WAIT_MS)
    assert page.evaluate("document.body.dataset.loaded") == "once"

    other_window = page.context.new_page()
    other_window.goto(f"{proxy}/board/")
    expect(other_window.locator("#live")).to_have_attribute("data-state", "live")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token", exact=True)).to_be_visible()
    expect(other_window.get_by_label("Token", exact=True)).to_be_visible()  # its events ended
    assert page.context.cookies() == []


def publish(names: TopicNames, battle: str) -> None:
    with closing(KafkaProducer(bootstrap_servers=names.bootstrap_servers)) as producer:
        producer.send(names.preferences_topic, encode_preference(preference(battle, random.Random(3))))
        producer.flush()


def test_the_proxy_shows_what_is_for_people(proxy: str) -> None:
    assert ask(proxy, "/board/").status == 200
    assert ask(proxy, f"/board{API}/status").status == 401
    assert ask(proxy, f"/board{API}/status", Authorization=f"Bearer {TOKEN}").status == 200
    for path in ("livez", "readyz", "metrics"):
        assert ask(proxy, f"/board/{path}").status == 404
