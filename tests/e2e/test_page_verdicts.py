"""Verdicts as they come, in a real browser over a real server and file."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from prefstream.consumer.board.live.broadcast import Broadcast
from prefstream.consumer.board.report.stream_payloads import NewDeadLetter, NewDeadLetters
from prefstream.consumer.board.store.records import PreferenceRecord
from prefstream.consumer.board.store.store import Store
from tests.support.board import preference_record
from tests.support.boards import open_store, served_live
from tests.support.browser import PHONE, Tabs, barriers

SHOWN = 60
BY_MARKUP = "<script>alert(1)</script>"


@dataclass
class Arena:
    """A board that is served, and battles for it."""

    url: str
    store: Store
    broadcast: Broadcast
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def judge(self, count: int = 1, **changes: Any) -> PreferenceRecord:
        """Battles are judged; the last one's preference."""
        records = [
            preference_record(number, random.Random(number), **changes)
            for number in itertools.islice(self._numbers, count)
        ]
        self.store.apply(records)
        return records[-1]


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    with open_store(tmp_path) as store, served_live(store) as (url, broadcast):
        yield Arena(url, store, broadcast)


@pytest.fixture
def opened(tabs: Tabs, arena: Arena) -> Callable[..., Page]:
    """Opens the list, which is connected then."""

    def open_list(query: str = "", **how: Any) -> Page:
        page = tabs.open(f"{arena.url}/#verdicts{query}", **how)
        expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
        expect(page.locator(".skeleton")).to_have_count(0)
        return page

    return open_list


def line(page: Page, battle_id: str) -> Locator:
    return page.locator("li.verdict-item").filter(has=page.get_by_text(battle_id, exact=True))


def ids(page: Page) -> list[str]:
    return page.locator(".verdict-line .verdict-id").all_text_contents()


def test_one_appears_by_itself_and_opens_with_the_keyboard(arena: Arena, opened: Callable[..., Page]) -> None:
    arena.judge(3)
    page = opened()
    said = arena.judge(model_a=BY_MARKUP, model_b="beta", language="English").preference
    told = line(page, said.id)
    expect(told).to_contain_text(BY_MARKUP)
    bar = told.get_by_role("img").first
    assert f"B (beta) {100 * said.probabilities.model_b:.0f}\N{NO-BREAK SPACE}%" in (
        bar.get_attribute("aria-label") or ""
    )
    page.get_by_role("combobox", name="Model").focus()
    for _ in range(2):
        page.keyboard.press("Tab")
    expect(told.locator("summary")).to_be_focused()
    page.keyboard.press("Enter")
    opinions = told.get_by_role("table", name="What each judge said")
    for judge in said.judges:
        row = opinions.get_by_role("row").filter(has_text=judge.name)
        expect(row).to_contain_text("weighs 50 %")
        if judge.position_gap is not None:
            expect(row).to_contain_text(f"{judge.position_gap:.2f}")
            expect(row.get_by_role("img")).to_have_count(3)  # both orders, and both together
    expect(told).to_contain_text(f"battles/{said.source.model_dump()['partition']}/")


def test_a_recused_judge_is_told_and_whether_it_counted(arena: Arena, opened: Callable[..., Page]) -> None:
    plain, other = arena.judge(1).preference.judges
    alone = arena.judge(recused=(plain.name,)).preference.id
    own = arena.judge(
        recused=(plain.name,),
        judges=(plain.model_copy(update={"weight": 0.0}), other.model_copy(update={"weight": 1.0})),
    ).preference.id
    page = opened()
    words = {own: "did not count: may be its own family's", alone: "counted, though it may be its own family's"}
    for battle, told in words.items():
        line(page, battle).locator("summary").click()
        opinions = line(page, battle).get_by_role("table", name="What each judge said")
        expect(opinions.get_by_role("row").filter(has_text=plain.name)).to_contain_text(told)
        expect(opinions.get_by_role("row").filter(has_text=other.name)).not_to_contain_text("own family")


def test_what_comes_while_it_is_paused_is_counted_and_waits(arena: Arena, opened: Callable[..., Page]) -> None:
    arena.judge(3)
    page = opened()
    before = ids(page)
    page.get_by_role("button", name="Pause").click()
    new = arena.judge(2).preference.id
    expect(page.get_by_role("button", name="Show 2 new verdicts")).to_be_visible()
    assert ids(page) == before
    page.get_by_role("button", name="Go on").click()
    expect(line(page, new)).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    later = arena.judge().preference.id
    expect(line(page, later)).to_be_visible()


def test_nothing_moves_while_somebody_reads(arena: Arena, opened: Callable[..., Page]) -> None:
    first = arena.judge(5).preference.id
    page = opened()
    line(page, first).locator("summary").click()
    before = ids(page)
    new = arena.judge().preference.id
    fresh = page.get_by_role("button", name="Show 1 new verdict", exact=True)
    expect(fresh).to_be_visible()
    assert ids(page) == before
    expect(page.get_by_text("Held while you read")).to_be_visible()
    fresh.click()
    assert ids(page)[0] == new
    expect(line(page, first).get_by_role("table", name="What each judge said")).to_be_visible()  # it stays open


def test_a_reader_further_down_stays_where_they_are(arena: Arena, opened: Callable[..., Page]) -> None:
    arena.judge(40)
    page = opened()
    page.evaluate("scrollTo(0, 900)")
    expect(page.get_by_text("Held while you are further down")).to_be_attached()
    before = ids(page)
    new = arena.judge().preference.id
    expect(page.locator("button.fresh")).to_have_text("1 new")
    assert ids(page) == before
    page.evaluate("scrollTo(0, 0)")
    expect(line(page, new)).to_be_visible()


def test_only_those_of_a_model_are_shown_and_a_link_keeps_that(arena: Arena, opened: Callable[..., Page]) -> None:
    arena.judge(4, model_a="alpha", model_b="beta")
    wanted = arena.judge(model_a="gamma", model_b="beta").preference.id
    page = opened()
    expect(page.locator(".verdict-line")).to_have_count(5)
    page.get_by_role("combobox", name="Model").fill("GAM")
    expect(page.locator(".verdict-line")).to_have_count(1)
    assert ids(page) == [wanted]
    assert urlsplit(page.url).fragment == "verdicts?model=GAM"
    page.reload()
    expect(page.locator(".verdict-line")).to_have_count(1)
    page.get_by_role("combobox", name="Model").fill("delta")
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".verdict-line")).to_have_count(5)


def test_the_list_is_bounded(arena: Arena, opened: Callable[..., Page]) -> None:
    arena.judge(80)
    page = opened()
    expect(page.locator("li.verdict-item")).to_have_count(SHOWN)
    for _ in range(3):
        newest = arena.judge(50).preference.id
        expect(line(page, newest)).to_be_visible()
        assert page.locator("ol.verdicts > li").count() == SHOWN
    assert len(set(ids(page))) == len(ids(page))


def test_an_input_that_becomes_a_dead_letter_is_told_with_its_reason(arena: Arena, opened: Callable[..., Page]) -> None:
    arena.judge()
    page = opened()
    letter = NewDeadLetter(topic="battles", partition=2, offset=77, reason="not_json", at=datetime.now(UTC))
    arena.broadcast.publish("dead_letters", NewDeadLetters(dead_letters=(letter,), skipped=3))
    told = page.get_by_role("listitem").filter(has_text="Not scored: not_json")
    expect(told).to_contain_text("battles/2/77")
    expect(page.get_by_role("listitem").filter(has_text="3 more dead letters")).to_be_visible()


def test_without_any_it_says_what_to_do(arena: Arena, opened: Callable[..., Page]) -> None:
    page = opened()
    expect(page.locator(".commands")).to_contain_text("prefstream run")
    new = arena.judge().preference.id
    expect(line(page, new)).to_be_visible()
    expect(page.locator(".commands")).to_be_hidden()


@pytest.mark.parametrize("size", [PHONE, (1440, 900)])
def test_one_that_is_open_fits_the_window_and_is_accessible(
    arena: Arena, opened: Callable[..., Page], size: tuple[int, int]
) -> None:
    arena.judge(model_a="a-name-that-is-so-long-that-no-window-has-room-for-it" * 3)
    page = opened(size=size)
    page.locator("summary.verdict-line").click()
    expect(page.get_by_role("table", name="What each judge said")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert barriers(page) == []
