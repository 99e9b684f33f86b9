"""What the page does whatever it shows: the foot, the rate of battles, its stream of events, questions for verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from pydantic import SecretStr

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.board.store.records import Note, ReadProgress
from prefstream.consumer.board.store.store import Store
from tests.support.board import BEGIN_MS
from tests.support.boards import ask, fill_store, open_store, served
from tests.support.browser import WAIT_MS, Tabs
from tests.support.streams import wait_until

BOUND_S = 100.0

SOURCES = """
globalThis.sources = [];
globalThis.EventSource = class extends EventTarget {
    static CLOSED = 2;
    constructor() {
        super();
        sources.push(this);
    }
    close() {}
    tell(type, data) {
        this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data) }));
    }
};
"""
"""Streams of events that say what a test lets them say."""

expect.set_options(timeout=WAIT_MS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as store:
        yield store


@pytest.fixture
def url(store: Store) -> Iterator[str]:
    with served(store) as url:
        yield url


def test_the_foot_says_since_when_once_something_is_counted(store: Store, url: str, tabs: Tabs) -> None:
    page = tabs.open(f"{url}/#stream")
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator("#foot")).to_contain_text("Nothing counted yet")
    fill_store(store, battles=1, votes=0)
    expect(page.locator("#foot")).to_contain_text("Counting since")


def test_of_what_went_otherwise_the_newest_stands_first(store: Store, url: str, tabs: Tabs) -> None:
    told = [f"the {number}th time" for number in range(30)]
    notes = [Note(BEGIN_MS + number, "word", text) for number, text in enumerate(told)]
    store.apply([], progress=ReadProgress(notes=notes))
    page = tabs.open(f"{url}/#board")
    expect(page.locator(".note", has_text="time")).to_contain_text([f": {text}" for text in told[:-6:-1]])
    page.goto(f"{url}/#stream")
    expect(page.locator(".note", has_text="time")).to_contain_text([f" {text}" for text in told[:-21:-1]])


def test_the_form_for_the_token_stays_until_it_is_right(browser: Browser, store: Store) -> None:
    """A browser closes a dialog at the second Escape, whatever its page says: behind it there is nothing."""
    right = SecretStr("zqtoken-of-the-board")
    with served(store, token=right) as url, Tabs(browser) as tabs:
        page = tabs.open(f"{url}/#stream")
        field = page.get_by_label("Token", exact=True)
        expect(field).to_be_focused()
        for _ in range(3):
            page.keyboard.press("Escape")
        expect(field).to_be_focused()
        field.fill(right.get_secret_value())
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.locator("#live")).to_have_text("Live")


def with_sources(page: Page, *, clock: bool = False) -> None:
    """Load the page again, with streams of the test's."""
    if clock:
        page.clock.install()
    page.add_init_script(SOURCES)
    page.reload()
    wait_until(lambda: opened(page) > 0, BOUND_S, "the page's stream")


def opened(page: Page) -> int:
    """How many streams the page has opened."""
    found: int = page.evaluate("sources.length")
    return found


def test_what_was_missed_is_no_speed(url: str, tabs: Tabs) -> None:
    """Who opens a laptop again is told of all battles since then at once."""
    page = tabs.open(f"{url}/#stream")
    with_sources(page)
    status: dict[str, Any] = ask(url, f"{API}/status").json
    told = page.evaluate(
        """status => {
            const [source] = sources;
            const rate = document.getElementById("rate");
            source.onopen();
            source.tell("verdicts", { verdicts: [], skipped: 36_000 });
            source.tell("status", status);
            const atFirst = rate.textContent;
            source.tell("verdicts", { verdicts: [], skipped: 40 });
            return [atFirst, rate.textContent];
        }""",
        status,
    )
    assert told == ["0.0 battles/s", "40 battles/s"]


def test_a_stream_that_is_never_answered_is_opened_anew(url: str, tabs: Tabs) -> None:
    """A proxy takes the connection, and the board behind it hangs: nothing would ever tell the page."""
    page = tabs.open(f"{url}/#stream")
    with_sources(page, clock=True)
    before = opened(page)
    page.clock.fast_forward(30_000)
    wait_until(lambda: opened(page) > before, BOUND_S, "another stream")
    expect(page.locator("#live")).to_have_text("Reconnecting")


def test_a_board_that_answers_late_is_not_asked_again_meanwhile(url: str, tabs: Tabs) -> None:
    """For the verdict of a battle that was tried: questions would pile up as long as it hangs."""
    page = tabs.open(f"{url}/#stream")
    session = ask(url, f"{API}/session").json
    asked: list[Route] = []

    def keep(route: Route) -> None:
        asked.append(route)

    page.route("**/api/v1/session", lambda route: route.fulfill(json=session | {"battles": True}))
    page.route("**/api/v1/battles", lambda route: route.fulfill(status=202, json={"id": "try-1", "source": None}))
    page.route("**/api/v1/verdicts?id=*", keep)
    with_sources(page, clock=True)
    page.get_by_role("link", name="Try a battle").click()
    page.get_by_role("button", name="Fill in an example").click()
    page.get_by_role("button", name="Send battle").click()
    wait_until(lambda: bool(page.evaluate("true")) and len(asked) == 1, BOUND_S, "the question")
    page.clock.run_for(20_000)
    assert opened(page) > 0  # what was asked meanwhile is told by now
    assert len(asked) == 1
    asked[0].fulfill(json={"verdicts": [], "id": ""})
    wait_until(lambda: bool(page.evaluate("true")) and len(asked) == 2, BOUND_S, "the next question")
