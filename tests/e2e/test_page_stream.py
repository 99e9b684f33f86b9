"""The page's view of what the stream does, in a real browser: its figures are the API's."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, expect

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.board.report.stream_payloads import (
    DeadLetterCounts,
    DeadLetterReason,
    GroupLag,
    PartitionLag,
    RecordPlace,
    ShadowBattle,
    ShadowReport,
    StreamReport,
)
from prefstream.consumer.board.report.surroundings import Surroundings, WatchedStream
from prefstream.consumer.board.store.store import Store
from prefstream.schemas import Probabilities
from prefstream.schemas.preference import Timings
from prefstream.scoring.comparison.change import measure_change
from prefstream.scoring.evaluation.bootstrap import Resamples
from tests.support.board import preference_record
from tests.support.boards import NOW, ask, open_store, served
from tests.support.browser import Tabs
from tests.support.judged import make_probabilities

LETTERS = DeadLetterCounts(
    since=NOW - timedelta(days=1),
    total=12,
    complete=False,
    reasons=(
        DeadLetterReason(
            reason="not_json",
            count=9,
            newest_at=NOW,
            newest=RecordPlace(topic="battles.dead-letters", partition=1, offset=40),
        ),
        DeadLetterReason(
            reason="of_later",
            count=3,
            newest_at=NOW,
            newest=RecordPlace(topic="battles.dead-letters", partition=0, offset=8),
        ),
    ),
)
LAG = GroupLag(
    total=1_234,
    partitions=tuple(
        PartitionLag(topic="battles", partition=number, lag=lag) for number, lag in enumerate((1_200, 34))
    ),
)
SHADOW = ShadowReport(
    topic="preferences.shadow",
    compared=200,
    waiting=7,
    change=measure_change(
        make_probabilities(200), make_probabilities(200, seed=1), Resamples(range(200), resamples=50)
    ),
    most_changed=(
        ShadowBattle(
            id="<b>7</b>",
            source=RecordPlace(topic="battles", partition=1, offset=3),
            served=Probabilities(model_a=0.7, model_b=0.2, tie=0.1),
            shadow=Probabilities(model_a=0.1, model_b=0.6, tie=0.3),
        ),
    ),
)
WATCHED = WatchedStream(
    shadow=SHADOW, group="judges", lag=LAG, why_no_lag=None, dead_letters=LETTERS, why_no_dead_letters=None
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    now_ms = int(NOW.timestamp() * 1000)
    rng = random.Random(3)
    records = [
        preference_record(
            number,
            rng,
            at=now_ms - rng.randrange(3_000_000),
            timings=Timings(queue_s=rng.random(), tokenise_s=0.01, inference_s=rng.random(), scored_at=NOW),
        )
        for number in range(300)
    ]
    with open_store(tmp_path_factory.mktemp("board")) as store:
        with pytest.MonkeyPatch.context() as patch:  # minutes are kept of the last two days
            patch.setattr(time, "time", NOW.timestamp)
            store.apply(records)
        with served(store, around=Surroundings(stream=lambda: WATCHED, behind=lambda: 0)) as url:
            yield url


def test_its_figures_are_those_of_the_api(tabs: Tabs, url: str) -> None:
    page = tabs.open(f"{url}/#stream")
    told = StreamReport.model_validate(ask(url, f"{API}/stream").json)
    bars = page.locator("svg.chart .chart-slice")
    expect(bars).to_have_count(len(told.minutes))
    page.locator("details.numbers > summary").click()
    rows = page.get_by_role("region", name="The last hour by minute").locator("tbody tr")
    battles = [int(row.locator("td").first.text_content() or "") for row in rows.all()]
    assert battles == [one.battles for one in reversed(told.minutes)]
    assert sum(battles) == 300
    expect(page.get_by_text("300 in the last hour")).to_be_visible()


def test_lag_is_told_by_partition_and_dead_letters_by_reason(tabs: Tabs, url: str) -> None:
    page = tabs.open(f"{url}/#stream")
    expect(page.get_by_text("1,234 battles wait; group judges.")).to_be_visible()
    row = page.get_by_role("row").filter(has=page.get_by_text("battles/0", exact=True))
    expect(row).to_contain_text("1,200")
    row = page.get_by_role("row").filter(has=page.get_by_text("not_json", exact=True))
    for words in ("not JSON", "75 %", "9", "1/40"):
        expect(row).to_contain_text(words)
    expect(page.get_by_role("row").filter(has_text="of_later")).to_contain_text("25 %")
    expect(page.get_by_text("at least so many")).to_be_visible()
    expect(page.get_by_text("prefstream dead-letters show battles.dead-letters/1/40")).to_be_visible()


def test_every_table_downloads(tabs: Tabs, url: str) -> None:
    page = tabs.open(f"{url}/#stream")
    expect(page.get_by_role("row").first).to_be_visible()
    names = set()
    for link in page.get_by_role("link", name="as CSV").all():
        with page.expect_download() as download:
            link.click()
        names.add(download.value.suggested_filename)
    assert names == {"minutes.csv", "lag.csv", "dead-letters.csv", "counters.csv"}


def test_what_is_not_known_is_said_with_what_to_do(browser: Browser) -> None:
    with Store(None) as store, served(store) as url, Tabs(browser) as tabs:
        page = tabs.open(f"{url}/#stream")
        expect(page.get_by_text("No battle has been judged yet")).to_be_visible()
        expect(page.get_by_text("The lag is not known")).to_be_visible()
        expect(page.get_by_text("This board watches no stream.", exact=True)).to_be_visible()
        expect(page.get_by_text("dead letters are not counted")).to_be_visible()
        expect(page.get_by_role("heading", name="Shadow")).to_be_hidden()  # none is to be looked at


def test_a_shadow_is_shown_beside_who_serves(tabs: Tabs, url: str) -> None:
    page = tabs.open(f"{url}/#stream")
    told = StreamReport.model_validate(ask(url, f"{API}/stream").json).shadow
    assert told is not None
    assert told.change is not None
    expect(page.get_by_text("200 battles; 7 more wait for an answer of who serves.")).to_be_visible()
    rows = page.get_by_role("region", name="Battles by the served verdict and the shadow's").locator("tbody tr")
    shown = [[int(cell) for cell in row.locator("td").all_text_contents()] for row in rows.all()]
    assert shown == [list(row) for row in told.change.verdicts]
    row = page.get_by_role("row").filter(has_text="<b>7</b>")
    for words in ("battles/1/3", "0.70 / 0.20 / 0.10", "0.10 / 0.60 / 0.30"):
        expect(row).to_contain_text(words)


def test_a_shadow_that_can_not_be_looked_at_says_why(browser: Browser) -> None:
    watched = WatchedStream(why_no_shadow="there is no topic preferences.shadow")
    around = Surroundings(stream=lambda: watched)
    with Store(None) as store, served(store, around=around) as url, Tabs(browser) as tabs:
        page = tabs.open(f"{url}/#stream")
        expect(page.get_by_text("there is no topic preferences.shadow")).to_be_visible()
