"""The page's list of what a person should look at, in a real browser: it is the API's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.board.report.payloads import ReviewLine, ReviewPage
from prefstream.consumer.board.report.reports import ReportSettings
from prefstream.consumer.board.store.store import Store
from tests.support.board import preference_record
from tests.support.boards import ask, fill_store, open_store, served
from tests.support.browser import Tabs

SHOWN = 50


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with open_store(tmp_path_factory.mktemp("board")) as store:
        fill_store(store)
        store.apply([preference_record(9_000, random.Random(1), id="b/<b>9</b>", disagreement=1.0)])
        with served(store, ReportSettings(battle_url="https://chat.example/{id}")) as url:
            yield url


def lines(url: str, why: str) -> list[ReviewLine]:
    page = ReviewPage.model_validate(ask(url, f"{API}/review").json)
    return [one for one in page.battles if one.why == why]


@pytest.mark.parametrize(("why", "words"), [("vote", "Surprising votes"), ("disagreement", "Judges differ")])
def test_the_most_telling_ones_of_a_reason_are_listed(tabs: Tabs, url: str, why: str, words: str) -> None:
    page = tabs.open(f"{url}/#review?why={why}")
    expect(page.get_by_role("radio", name=words)).to_be_checked()
    rows = page.locator("tbody tr")
    expected = lines(url, why)[:SHOWN]
    expect(rows).to_have_count(len(expected))
    assert rows.locator("td:first-child").all_text_contents() == [f"{one.score:.2f}" for one in expected]
    assert rows.locator("th a").all_text_contents() == [one.id for one in expected]
    bars = [bar.get_attribute("aria-label") or "" for bar in rows.locator(".outcome-bar").all()]
    assert all((one.model_a or "A") in bar for one, bar in zip(expected, bars, strict=True))


def test_a_reason_is_chosen_and_stays_in_the_address(tabs: Tabs, url: str) -> None:
    page = tabs.open(f"{url}/#review")
    expect(page.get_by_role("radio", name="Surprising votes")).to_be_checked()
    page.get_by_text("Panel unsure").click()
    expect(page.get_by_text("nearly even")).to_be_visible()
    assert urlsplit(page.url).fragment == "review?why=entropy"


@pytest.mark.parametrize("width", [320, 280])
def test_its_three_reasons_fit_into_the_narrowest_window(tabs: Tabs, url: str, width: int) -> None:
    """A page of 1,280 pixels at 400 % is 320 wide, and is not to scroll sideways."""
    page = tabs.open(f"{url}/#review", size=(width, 640))
    expect(page.get_by_role("radio", name="Panel unsure")).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_an_id_is_shown_as_text_and_linked_within_its_place(tabs: Tabs, url: str) -> None:
    page = tabs.open(f"{url}/#review?why=disagreement")
    link = page.locator("tbody").get_by_role("link", name="b/<b>9</b>", exact=True)
    expect(link.first).to_have_attribute("href", "https://chat.example/b%2F%3Cb%3E9%3C%2Fb%3E")


def test_all_of_them_download(tabs: Tabs, url: str) -> None:
    page = tabs.open(f"{url}/#review")
    for name, kind in (("as JSON lines", "jsonl"), ("as CSV", "csv")):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        assert download.value.suggested_filename == f"review.{kind}"


def test_without_battles_it_says_what_to_do(browser: Browser) -> None:
    with Store(None) as store, served(store) as url, Tabs(browser) as tabs:
        page = tabs.open(f"{url}/#review?why=entropy")
        expect(page.locator(".commands")).to_contain_text("prefstream run")
