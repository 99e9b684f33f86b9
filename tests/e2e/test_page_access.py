"""The page in a real browser, as strangers meet it: nothing from elsewhere, and nothing runs that is not its own."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from prefstream.consumer.board.api.responses import API
from tests.conftest import Kafka
from tests.support.board_topics import Load, board_names, fill
from tests.support.boards import ask, running_board
from tests.support.browser import Tabs
from tests.support.streams import wait_until

BOUND_S = 100.0


@pytest.fixture(scope="module")
def url(embedded_kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    names = board_names(embedded_kafka.bootstrap_servers, partitions=2)
    fill(names, Load(preferences=300, votes=150), random.Random(1))
    with running_board(names, tmp_path_factory.mktemp("board")) as url:
        wait_until(lambda: counted(url) == 300, BOUND_S, "all preferences")
        yield url


def counted(url: str) -> int:
    counters: dict[str, int] = ask(url, f"{API}/status").json["counters"]
    return counters.get("preferences", 0)


def test_the_page_opens(tabs: Tabs, url: str) -> None:
    page = tabs.open(f"{url}/")
    assert "prefstream" in page.title()


@pytest.mark.parametrize(
    ("does", "complaint"),
    [
        ("fetch('http://elsewhere.example/x').catch(() => 0)", "Connecting to 'http://elsewhere.example/x' violates"),
        ("new Image().src = 'https://elsewhere.example/pixel'", "img-src|default-src"),
        (
            "document.body.append(Object.assign(document.createElement('img'), {src: 'data:image/gif,x'}))",
            "default-src",
        ),
        ("document.body.setAttribute('style', 'color: red')", "inline style"),
        ("try { document.body.innerHTML = '<p>markup' } catch { }", "TrustedHTML"),
        ("try { document.createElement('script').textContent = '1' } catch { }", "TrustedScript"),
        ("alert(1)", "dialog: 1"),
        ("console.error('a fault')", "a fault"),
        ("setTimeout(() => { throw new Error('nobody caught') })", "exception: .*nobody caught"),
    ],
)
def test_what_a_page_must_not_do_is_seen(browser: Browser, url: str, does: str, complaint: str) -> None:
    """Or the other tests would hold nothing."""
    tabs = Tabs(browser)
    page = tabs.open(f"{url}/")
    page.evaluate(f"() => {{ {does} }}")
    page.evaluate("() => new Promise(done => setTimeout(done))")
    with pytest.raises(AssertionError):
        tabs.__exit__(None, None, None)
    assert re.search(complaint, "\n".join(tabs.complaints)), tabs.complaints


def test_where_a_page_leads_to_is_seen(browser: Browser, url: str) -> None:
    """The policy says nothing of that."""
    tabs = Tabs(browser)
    page = tabs.open(f"{url}/")
    with page.expect_request("http://elsewhere.example/"):
        page.evaluate("() => location.assign('http://elsewhere.example/')")
    with pytest.raises(AssertionError, match=r"request to http://elsewhere\.example/"):
        tabs.__exit__(None, None, None)
