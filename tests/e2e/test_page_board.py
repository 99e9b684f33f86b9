"""The page's view of who leads, in a real browser over a real server and file."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.board.store.records import PreferenceRecord, VoteRecord
from prefstream.consumer.board.store.store import Store
from prefstream.schemas.preference import Style, StyleCounts
from prefstream.schemas.vote import Vote
from tests.support.board import BEGIN_MS, preference
from tests.support.boards import REFRESH_S, ask, open_store, served
from tests.support.browser import MODULES, NO_ICON, PHONE, WAIT_MS, Tabs

STRENGTHS = {"terse": 0.9, "plain": 0.2, "wordy": 0.3}
"""Log-odds; the wordy one's answers are so long that by their length it wins more than the terse one."""

LOG_LENGTHS = {"terse": 5.0, "plain": 5.5, "wordy": 6.5}
LENGTH_WORTH = 1.0

RECONNECTING = (
    "ERR_CONNECTION_REFUSED",
    "ERR_INCOMPLETE_CHUNKED_ENCODING",
    "ERR_EMPTY_RESPONSE",
    "ERR_CONNECTION_RESET",
)
"""What Chromium says of a server that is gone."""

LOW = (1280, 150)
"""A window in which the end of the page is far from the table of models."""

expect.set_options(timeout=WAIT_MS)


def arena(store: Store, battles: int, *, first: int = 0, models: dict[str, float] = STRENGTHS) -> None:
    """Battles with a vote each, in which length wins, too."""
    rng = random.Random(first)
    preferences, votes = [], []
    for number in range(first, first + battles):
        a, b = rng.sample(list(models), 2)
        lengths = [int(math.exp(rng.gauss(LOG_LENGTHS.get(model, 5.5), 0.8))) + 1 for model in (a, b)]
        odds = models[a] - models[b] + LENGTH_WORTH * math.log(lengths[0] / lengths[1])
        winner = "model_a" if rng.random() < 1 / (1 + math.exp(-odds)) else "model_b"
        style = Style(a=_counts(lengths[0]), b=_counts(lengths[1]))
        one = preference(f"b{number}", rng, model_a=a, model_b=b, style=style, language="English", review=None)
        preferences.append(PreferenceRecord(one, BEGIN_MS + 1000 * number, 0, number))
        votes.append(VoteRecord(Vote(id=one.id, winner=winner), BEGIN_MS + 1000 * number + 500, 0, number))
    store.apply(preferences, votes)


def _counts(characters: int) -> StyleCounts:
    none = dict.fromkeys(("headings", "list_items", "bold", "code_blocks", "tables", "links", "digits"), 0)
    return StyleCounts(characters=characters, lines=1, **none)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a board that does not change."""
    with open_store(tmp_path_factory.mktemp("board")) as store:
        arena(store, 600)
        with served(store) as url:
            yield url


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Of a test that changes it."""
    with open_store(tmp_path) as store:
        arena(store, 600)
        yield store


def names(page: Page) -> list[str]:
    """Of the table's rows, from above."""
    return page.locator(".board-row .board-name").all_inner_texts()


def leads(page: Page, model: str) -> None:
    expect(page.locator(".board-row .board-name").first).to_have_text(model)


def test_the_table_says_what_the_api_says(url: str, tabs: Tabs) -> None:
    page = tabs.open(f"{url}/#board?method=votes")
    leads(page, "wordy")
    told = ask(url, f"{API}/models?method=votes").json
    assert names(page) == [line["model"] for line in told["models"]]
    for row, line in zip(page.locator(".board-row").all(), told["models"], strict=True):
        ends = f"[{line['lower']:,.0f}, {line['upper']:,.0f}]"
        expect(row.locator(".board-rating")).to_have_text(f"{line['rating']:,.0f}{ends}")
        expect(row.locator(".board-battles")).to_have_text(f"{line['battles']:,}")
        expect(row.locator(".board-place-number")).to_have_text(str(line["place"]))
    first, second = told["models"][:2]
    points = round(first["rating"] - second["rating"])
    expect(page.get_by_role("heading", level=1)).to_have_text(f"wordy leads by {points} points")
    expect(page.locator(".board-basis")).to_contain_text("600 votes")
    assert page.get_by_label("Download ratings of models as CSV").get_attribute("href") == (
        "api/v1/tables/models.csv?method=votes&style_control=false&window=all"
    )


def test_a_live_update_arrives_without_reload_and_again_after_a_restart(tabs: Tabs, store: Store) -> None:
    with served(store, refresh_s=REFRESH_S) as url:
        page = tabs.open(f"{url}/#board?method=votes", expected=RECONNECTING)
        page.evaluate("window.notReloaded = true")
        expect(page.locator(".board-basis")).to_contain_text("600 votes")
        expect(page.locator("#live")).to_have_text("Live")
        arena(store, 10, first=600)
        expect(page.locator(".board-basis")).to_contain_text("610 votes")
    expect(page.locator("#live")).to_have_text("Reconnecting")
    expect(page.locator("#banner")).to_contain_text("Numbers below may be old")
    with served(store, port=urlsplit(url).port or 0, refresh_s=REFRESH_S):
        expect(page.locator("#live")).to_have_text("Live")
        expect(page.locator("#banner")).to_be_empty()
        arena(store, 10, first=610)
        expect(page.locator(".board-basis")).to_contain_text("620 votes")
    assert page.evaluate("window.notReloaded")


def test_style_control_changes_the_order_and_says_what_style_is_worth(url: str, tabs: Tabs) -> None:
    page = tabs.open(f"{url}/#board?method=votes")
    leads(page, "wordy")
    page.get_by_text("Style control", exact=True).click()
    leads(page, "terse")
    worth = page.locator(".style-table")
    expect(worth.get_by_role("row", name="a longer answer")).to_contain_text("%")
    page.get_by_text("Style control", exact=True).click()
    leads(page, "wordy")
    expect(worth).to_be_hidden()


def test_what_is_chosen_is_in_the_address_and_survives_a_reload(url: str, tabs: Tabs) -> None:
    page = tabs.open(f"{url}/")
    page.get_by_text("Judges", exact=True).click()
    page.get_by_text("Week", exact=True).click()
    page.get_by_role("switch", name="Style control").check(force=True)
    page.get_by_label("Filter").fill("TER")
    expect(page.locator(".board-row")).to_have_count(1)
    assert urlsplit(page.url).fragment == "board?method=judges&window=week&style=1&find=TER"
    page.reload()
    expect(page.locator(".board-row")).to_have_count(1)
    expect(page.get_by_role("radio", name="Judges")).to_be_checked()
    expect(page.get_by_role("radio", name="Week")).to_be_checked()
    expect(page.get_by_role("switch", name="Style control")).to_be_checked()
    expect(page.get_by_label("Filter")).to_have_value("TER")
    page.go_back()
    expect(page.get_by_role("switch", name="Style control")).not_to_be_checked()


def test_the_keyboard_is_enough_and_live_numbers_take_no_focus(browser: Browser, store: Store) -> None:
    with served(store, refresh_s=REFRESH_S) as url, Tabs(browser) as tabs:
        page = tabs.open(f"{url}/")
        expect(page.locator(".board-row")).to_have_count(3)
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # skips the navigation
        page.keyboard.press("Tab")
        while not page.evaluate("document.activeElement.type === 'radio'"):
            page.keyboard.press("Tab")
        page.keyboard.press("ArrowLeft")
        expect(page.get_by_role("radio", name="Judges")).to_be_checked()
        page.keyboard.press("ArrowLeft")
        expect(page.get_by_role("radio", name="Votes")).to_be_checked()
        leads(page, "wordy")
        while not page.evaluate("document.activeElement.matches('.board-name')"):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Against each opponent")).to_be_visible()
        expect(page.locator(".opponent-list")).to_contain_text("terse")
        arena(store, 10, first=600)
        expect(page.locator(".board-basis")).to_contain_text("610 votes")
        row = page.get_by_role("button", name="wordy")
        expect(row).to_be_focused()
        expect(row).to_have_attribute("aria-expanded", "true")
        page.keyboard.press("Enter")
        expect(row).to_have_attribute("aria-expanded", "false")


def test_pairs_are_shown_as_the_api_has_them(url: str, tabs: Tabs) -> None:
    page = tabs.open(f"{url}/#board?method=votes")
    told = ask(url, f"{API}/pairs?method=votes").json
    cells = page.locator(".matrix tbody tr").first.locator("td")
    page.locator(".matrix").scroll_into_view_if_needed()
    expect(cells.nth(1)).to_have_text(f"{100 * told['observed'][0][1]:.0f}")
    page.get_by_text("Expected", exact=True).click()
    expect(cells.nth(1)).to_have_text(f"{100 * told['expected'][0][1]:.0f}")


def test_two_hundred_models_are_all_there(browser: Browser, tmp_path: Path) -> None:
    models = {f"model-{number:03}": number / 200 for number in range(200)}
    with open_store(tmp_path) as store:
        arena(store, 1200, models=models)
        with served(store) as url, Tabs(browser) as tabs:
            page = tabs.open(f"{url}/#board?method=judges", size=LOW)
            expect(page.locator(".board-row")).to_have_count(200)
            expect(page.locator(".ties-scroll")).to_be_visible()  # below all that is asked for when it comes near
            page.keyboard.press("End")
            expect(page.locator(".matrix tbody tr")).to_have_count(16)
            page.get_by_label("Filter").fill("model-01")
            expect(page.locator(".board-row")).to_have_count(10)
            expect(page.locator(".matrix tbody tr")).to_have_count(10)


def test_without_battles_it_says_what_to_do(browser: Browser, tmp_path: Path) -> None:
    with open_store(tmp_path) as store, served(store, refresh_s=REFRESH_S) as url, Tabs(browser) as tabs:
        page = tabs.open(f"{url}/")
        expect(page.get_by_text("prefstream replay battles.jsonl --votes")).to_be_visible()
        arena(store, 30)
        expect(page.locator(".board-row")).to_have_count(3)


def test_it_fits_a_phone(url: str, tabs: Tabs) -> None:
    page = tabs.open(f"{url}/", size=PHONE)
    expect(page.locator(".board-row")).to_have_count(3)
    page.get_by_role("button", name="wordy").click()
    expect(page.locator(".opponent-list")).to_contain_text("terse")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]


def test_colours_are_the_readers_choice_and_stay(url: str, tabs: Tabs) -> None:
    page = tabs.open(f"{url}/")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Switch to dark colours").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
    expect(page.get_by_role("button", name="Switch to light colours")).to_be_visible()


REORDERED = """async () => {
    const { KeyedRows } = await import("../js/dom.js");
    const orders = names => names.length < 2 ? [names] : names.flatMap((name, place) =>
        orders(names.toSpliced(place, 1)).map(rest => [name, ...rest]));
    const make = name => Object.assign(document.createElement("button"), { textContent: name });
    const parent = document.body.appendChild(document.createElement("div"));
    const rows = new KeyedRows(parent, { key: name => name, create: make });
    let lost = false;
    parent.addEventListener("focusout", () => { lost = true; });
    const wrong = [];
    for (const held of ["a", "b", "c", "d"]) {
        rows.show(["a", "b", "c", "d"]);
        rows.rows.get(held).focus();
        for (const order of [...orders(["a", "b", "c", "d"]), [held], ["e", held], [held, "f"], ["d", "c", "b", "a"]]) {
            lost = false;
            rows.show(order);
            const told = [...parent.children].map(row => row.textContent).join("");
            if (lost || told !== order.join("")) wrong.push([held, order, told, lost]);
        }
    }
    return wrong;
}"""


def test_whatever_order_rows_come_in_the_one_with_the_focus_keeps_it(url: str, tabs: Tabs) -> None:
    page = tabs.open(f"{url}/{MODULES}", expected=[NO_ICON])
    assert page.evaluate(REORDERED) == []


def test_a_number_and_its_unit_stand_on_one_line(url: str, tabs: Tabs) -> None:
    page = tabs.open(f"{url}/{MODULES}", expected=[NO_ICON])
    told = page.evaluate("""async () => {
        const { duration, percent } = await import("../js/format.js");
        return [0, 1e-9, 0.5, 1 - 1e-9, 1].map(one => percent(one)).concat([0, 0.1, 3, 600, 9e3, 9e6].map(duration));
    }""")
    assert len(told) == 11
    assert [text for text in told if " " in text or "\N{NO-BREAK SPACE}" not in text] == []


def test_old_numbers_are_shown_at_once_and_asked_for_again_while_newer_ones_are_computed(url: str, tabs: Tabs) -> None:
    page = tabs.open(f"{url}/#board?method=votes")
    leads(page, "wordy")
    told = ask(url, f"{API}/models?method=votes").json
    old = told | {"models": [line for line in told["models"] if line["model"] != "terse"]}
    computed = threading.Event()
    asked = set()

    def give(route: Route) -> None:
        asked.add(route.request.headers["cache-control"])
        if computed.is_set():
            route.fulfill(json=told)
        else:
            route.fulfill(json=old, headers={"Cache-Status": "prefstream; hit; ttl=-600"})

    page.route("**/api/v1/models?*", give)
    page.get_by_text("Week", exact=True).click()
    expect(page.locator(".board-row")).to_have_count(2)
    computed.set()
    expect(page.locator(".board-row")).to_have_count(3)
    assert asked == {"max-stale=3600"}


def test_a_tick_says_where_it_stands(url: str, tabs: Tabs) -> None:
    """Labels are rounded: steps of 2.5 would be told as 3, 5, 8."""
    page = tabs.open(f"{url}/{MODULES}", expected=[NO_ICON])
    steps = page.evaluate("""async () => {
        const { ticks } = await import("../js/charts/scale.js");
        const highs = Array.from({ length: 300 }, (_, place) => 0.01 * 1.06 ** place);
        const found = [3, 4, 5, 8].flatMap(about => highs.map(high => ticks(0, high, about)));
        return found.map(([first, second]) => second - first);
    }""")
    assert len(steps) == 1_200
    assert [step for step in steps if step != pytest.approx(float(f"{step:.0e}"))] == []


def test_a_day_of_the_board_has_its_own_name_wherever_the_reader_is(url: str, tabs: Tabs) -> None:
    page = tabs.open(f"{url}/{MODULES}", expected=[NO_ICON])
    page.context.new_cdp_session(page).send("Emulation.setTimezoneOverride", {"timezoneId": "America/New_York"})
    told = page.evaluate("""async () => {
        const { shortDay, utcDay } = await import("../js/format.js");
        return [shortDay, utcDay].map(day => day("2026-11-03T00:00:00Z"));
    }""")
    assert told == ["2 Nov", "3 Nov"]


def test_win_rates_below_are_those_of_the_switches_above(store: Store, browser: Browser) -> None:
    """Also where others were asked for before, for a row that was opened and closed again."""
    arena(store, 1_500, first=600, models=STRENGTHS | {f"model {number}": 0.05 * number for number in range(40)})
    with served(store) as url, Tabs(browser) as tabs:
        by_votes, by_judges = (
            ask(url, f"{API}/pairs?method={method}").json["models"] for method in ("votes", "judges")
        )
        assert by_votes[:3] != by_judges[:3]
        page = tabs.open(f"{url}/#board?method=votes")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(urlsplit(request.url).path.rpartition("/")[2]))
        with page.expect_request("**/ties?*"):
            page.reload()
        assert "models" in asked
        assert "pairs" not in asked  # of 200 models the largest answer, and far below
        leads(page, by_votes[0])
        first = page.locator(".board-row .board-name").first
        first.click()
        expect(page.locator(".opponent-list")).to_be_visible()
        first.click()
        expect(page.locator(".opponent-list")).to_be_hidden()
        page.get_by_text("Judges", exact=True).click()
        leads(page, by_judges[0])
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(page.locator(".matrix-name").first).to_have_text(by_judges[0])
        assert page.locator(".matrix-name").all_inner_texts()[:3] == by_judges[:3]
