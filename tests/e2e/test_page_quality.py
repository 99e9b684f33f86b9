"""The page's view of whether the judges can be trusted, in a real browser: its figures are the API's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from scipy.stats import binom

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.board.store.store import Store
from prefstream.scoring.trust.results import TrustReport, TrustTime, TrustWindow
from tests.support.boards import ask, fill_store, open_store, served
from tests.support.browser import MODULES, NO_ICON, PHONE, Tabs

NUMBER = re.compile(r"[+\N{MINUS SIGN}]?\d[\d,]*(?:\.\d+)?")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Judges that draw lots, and votes on 300 of their battles."""
    with open_store(tmp_path_factory.mktemp("board")) as store:
        fill_store(store, battles=500, votes=300)
        with served(store) as url:
            yield url


def numbers(text: str) -> list[float]:
    return [float(found.replace(",", "").replace("\N{MINUS SIGN}", "-")) for found in NUMBER.findall(text)]


def cells(table: Locator) -> list[list[str]]:
    """Its rows, with what is folded in."""
    return [row.locator("th, td").all_text_contents() for row in table.locator("tbody tr").all()]


def trust(url: str) -> TrustReport:
    return TrustReport.model_validate(ask(url, f"{API}/trust").json)


def opened(tabs: Tabs, url: str, view: str = "#quality?window=week", **how: Any) -> Page:
    page = tabs.open(f"{url}/{view}", **how)
    expect(page.get_by_role("heading", name="Log loss", exact=True)).to_be_visible()
    return page


def window_of(report: TrustReport, name: str = "week") -> TrustWindow:
    return next(one for one in report.windows if one.window == name)


def test_its_figures_are_those_of_the_api(tabs: Tabs, url: str) -> None:
    page = opened(tabs, url)
    week = window_of(trust(url))
    assert week.quality is not None
    assert week.ties is not None
    rows = {row[0]: row[1] for row in cells(page.get_by_role("region", name="Log loss, in nats"))}
    prior = week.quality.against_prior
    for name, found in (("Judgesnow", week.quality.log_loss), ("Class prior", prior.prior_log_loss)):
        [told] = [text for head, text in rows.items() if head.startswith(name)]
        assert numbers(told) == pytest.approx([found.value, found.low, found.high], abs=0.00051)
    rows = {row[0]: row[1] for row in cells(page.get_by_role("region", name="How often it is a tie"))}
    for name, found in (("People", week.ties.people), ("Judges", week.ties.judges)):
        expected = [100 * one for one in (found.value, found.low, found.high) if one is not None]
        assert numbers(rows[name]) == pytest.approx(expected, abs=0.051)


def test_each_chart_has_a_table_with_the_numbers_of_the_api(tabs: Tabs, url: str) -> None:
    page = opened(tabs, url)
    week = window_of(trust(url))
    for fold in page.locator("details.numbers:visible").all():
        fold.locator("summary").click()
    bins = cells(page.get_by_role("region", name="Reliability by bin"))
    assert len(bins) == len(week.reliability) > 3
    for row, one in zip(bins, week.reliability, strict=True):
        assert numbers(row[0])[0] == pytest.approx(100 * one.low, abs=0.5)
        assert numbers(row[1]) == pytest.approx([100 * one.confidence], abs=0.051)
        assert one.accuracy.value is not None
        assert numbers(row[2])[0] == pytest.approx(100 * one.accuracy.value, abs=0.051)
        assert numbers(row[3]) == [one.battles]
    assert week.length is not None
    lengths = cells(page.get_by_role("region", name="How often the longer answer wins, by"))
    assert [numbers(row[3]) for row in lengths] == [[one.votes] for one in week.length.bins]
    time = TrustTime.model_validate(ask(url, f"{API}/trust/time?step=day").json)
    days = cells(page.get_by_role("region", name="Log loss over time"))
    assert [numbers(row[4]) for row in days] == [[one.votes] for one in time.slices]


def test_the_answer_in_words_is_that_of_the_numbers(tabs: Tabs, url: str) -> None:
    """Judges that draw lots are worse than the prior, surely."""
    page = opened(tabs, url)
    assert window_of(trust(url)).quality
    expect(page.get_by_role("heading", name="No: they are worse than knowing nothing")).to_be_visible()
    warnings = page.get_by_role("listitem").filter(has_text="Over the last week the judges are worse than the class")
    expect(warnings).to_have_count(1)


def test_the_window_is_chosen_with_the_keyboard_and_stays_after_a_reload(tabs: Tabs, url: str) -> None:
    page = opened(tabs, url)
    page.get_by_role("radio", name="Last week").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("votes of the last day.")).to_be_visible()
    assert urlsplit(page.url).fragment == "quality?window=day"
    page.reload()
    expect(page.get_by_role("radio", name="Last day")).to_be_checked()


def test_without_votes_it_says_what_to_do(browser: Browser) -> None:
    with Store(None) as store:
        fill_store(store, battles=20, votes=0)
        with served(store) as url, Tabs(browser) as tabs:
            page = tabs.open(f"{url}/#quality")
            expect(page.get_by_role("heading", name="Nobody can say yet")).to_be_visible()
            expect(page.locator(".commands")).to_contain_text("--topic votes")
            expect(page.get_by_role("heading", name="Accuracy")).to_be_hidden()


@pytest.mark.parametrize("size", [PHONE, (1440, 900)])
def test_it_fits_the_window(tabs: Tabs, url: str, size: tuple[int, int]) -> None:
    page = opened(tabs, url, size=size)
    expect(page.locator("svg.chart circle").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_the_band_of_chance_is_that_of_a_binomial(tabs: Tabs, url: str) -> None:
    page = tabs.open(f"{url}/{MODULES}", expected=[NO_ICON])
    for count, probability in ((1, 0.4), (7, 0.35), (30, 0.5), (400, 0.93), (100_000, 0.61)):
        band = page.evaluate(
            "async ([n, p]) => (await import('../js/charts/chance.js')).chanceBand(n, p)", [count, probability]
        )
        assert band == pytest.approx(binom.ppf([0.025, 0.975], count, probability) / count)
