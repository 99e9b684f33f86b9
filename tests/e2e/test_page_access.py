"""The page in a real browser, as strangers meet it: nothing from elsewhere, and nothing runs that is not its own."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from kafka import KafkaProducer
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.config import TopicNames
from prefstream.schemas import KafkaSource, Vote, encode_preference, encode_vote
from prefstream.schemas.dead_letter import HEADER_OFFSET, HEADER_PARTITION, HEADER_REASON, HEADER_TOPIC
from prefstream.scoring.trust.votes import FEWEST_VOTES
from tests.conftest import Kafka
from tests.support.board import MODELS, preference
from tests.support.board_topics import board_names
from tests.support.boards import ask, open_store, running_board, served
from tests.support.browser import DESKTOP, PHONE, Barrier, Tabs, barriers
from tests.support.streams import battle_event, wait_until

BOUND_S = 100.0

VIEWS = ("board", "verdicts", "quality", "stream", "review", "try")
NAMES_SHOWN = ("board", "verdicts", "review")

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-globalThis.ran=1-'",
    "javascript:alert(1)",
    "</title></textarea><svg onload=alert(1)>",
    "{{constructor.constructor('alert(1)')()}}",
    "\u202egpj.exe\u2066\u2067",
    "a" * 300,
    "=1+1",
    "\u0000\u0007\x1b[31m",
)
"""Names that models and battles may have: whoever writes to the topics chooses them."""

LEADS: Final = "links => links.map(link => link.href).filter(href => !/^https?:/.test(href))"

BATTLES = FEWEST_VOTES + 2
"""Each with a vote: just enough for figures on the judges."""

MOST_OPENED = 5
"""Lines that are opened in a view: each has one of the names, and all are made alike."""


@pytest.fixture(scope="module")
def url(embedded_kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A board of the daily kind, and no larger than its views need: axe looks at every line, and all are made alike."""
    names = board_names(embedded_kafka.bootstrap_servers, partitions=2)
    rng = random.Random(1)
    now = int(time.time() * 1000)
    with closing(KafkaProducer(bootstrap_servers=names.bootstrap_servers)) as producer:
        for number in range(BATTLES):
            one, other = rng.sample(MODELS[:4], 2)
            said = preference(f"b{number}", rng, model_a=one, model_b=other)
            producer.send(names.preferences_topic, encode_preference(said), timestamp_ms=now - 1_000)
            vote = Vote(id=said.id, winner=rng.choice(("model_a", "model_b", "tie")))
            producer.send(names.votes_topic, encode_vote(vote), timestamp_ms=now)
        producer.flush()
    with running_board(names, tmp_path_factory.mktemp("board"), **all_of_it(names)) as url:
        wait_until(lambda: counted(url, "votes") == counted(url) == BATTLES, BOUND_S, "all preferences and votes")
        yield url


@pytest.fixture(scope="module")
def hostile_url(embedded_kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A board of which every text was written by somebody who means harm."""
    names = board_names(embedded_kafka.bootstrap_servers, partitions=1)
    rng = random.Random(4)
    count = 12 * len(HOSTILE)
    with closing(KafkaProducer(bootstrap_servers=names.bootstrap_servers)) as producer:
        for number in range(count):
            battle, one, other = (HOSTILE[(number + step) % len(HOSTILE)] for step in (0, 1, 2 + number % 3))
            battle = f"{battle} {number}"
            producer.send(names.battles_topic, battle_event(0, id=battle, prompt=one, response_a=other, response_b=one))
            producer.send(names.preferences_topic, hostile_preference(names, battle, (one, other), number, rng))
            vote = Vote(id=battle, winner=rng.choice(("model_a", "model_b", "tie")), voter=one)
            producer.send(names.votes_topic, encode_vote(vote))
        letter = {HEADER_REASON: HOSTILE[0], HEADER_TOPIC: HOSTILE[1], HEADER_PARTITION: "0", HEADER_OFFSET: "1"}
        headers = [(name, text.encode()) for name, text in letter.items()]
        producer.send(names.dead_letters_topic, HOSTILE[2].encode(), headers=headers)
        producer.flush()
    with running_board(names, tmp_path_factory.mktemp("hostile"), **all_of_it(names)) as url:
        wait_until(lambda: counted(url) == count, BOUND_S, "all preferences")
        yield url


def hostile_preference(names: TopicNames, battle: str, models: tuple[str, str], at: int, rng: random.Random) -> bytes:
    said = preference(
        battle,
        rng,
        model_a=models[0],
        model_b=models[1],
        language=models[0][:100],
        source=KafkaSource(topic=names.battles_topic, partition=0, offset=at),
    )
    judges = [judge.model_copy(update={"name": name}) for judge, name in zip(said.judges, HOSTILE, strict=False)]
    return encode_preference(said.model_copy(update={"judges": tuple(judges)}))


def all_of_it(names: TopicNames) -> dict[str, Any]:
    """Settings by which the page shows all that it can."""
    return {
        "battles_topic": names.battles_topic,
        "dead_letters_topic": names.dead_letters_topic,
        "board_allow_battles": True,
        "board_show_texts": True,
    }


def counted(url: str, what: str = "preferences") -> int:
    counters: dict[str, int] = ask(url, f"{API}/status").json["counters"]
    return counters.get(what, 0)


@pytest.fixture(scope="module")
def misused(browser: Browser, url: str) -> Iterator[tuple[Tabs, Page]]:
    """One page that does all that it must not: each of it is complained of by itself."""
    tabs = Tabs(browser)
    yield tabs, tabs.open(f"{url}/")
    tabs.complaints.clear()
    tabs.__exit__(None, None, None)


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
def test_what_a_page_must_not_do_is_seen(misused: tuple[Tabs, Page], does: str, complaint: str) -> None:
    """Or the other tests would hold nothing."""
    tabs, page = misused
    tabs.complaints.clear()
    page.evaluate(f"() => {{ {does} }}")
    page.evaluate("() => new Promise(done => setTimeout(done))")
    assert re.search(complaint, "\n".join(tabs.complaints)), tabs.complaints


def test_where_a_page_leads_to_is_seen(browser: Browser, url: str) -> None:
    """The policy says nothing of that."""
    tabs = Tabs(browser)
    page = tabs.open(f"{url}/")
    with page.expect_request("http://elsewhere.example/"):
        page.evaluate("() => location.assign('http://elsewhere.example/')")
    with pytest.raises(AssertionError, match=r"request to http://elsewhere\.example/"):
        tabs.__exit__(None, None, None)


# --- what strangers wrote -------------------------------------------------------------------------------------------


def test_nothing_runs_that_a_stranger_wrote(tabs: Tabs, hostile_url: str) -> None:
    """A name that is markup is shown as it is, and none gets into what the page is made of."""
    page = tabs.open(f"{hostile_url}/")
    for view in VIEWS:
        show(page, hostile_url, view)
        if view in NAMES_SHOWN:
            expect(page.locator("main").get_by_text(HOSTILE[0]).first).to_be_attached()
        for opens in ("main summary", "main .board-name", "main .texts button"):
            lines = page.locator(opens).locator("visible=true")
            for number in range(min(lines.count(), MOST_OPENED)):
                lines.nth(number).click()
                settle(page)
        assert page.locator("main").locator("script, img, iframe, object, [onerror], [onload]").count() == 0, view
        assert page.locator("main a").evaluate_all(LEADS) == [], view
        assert page.evaluate("globalThis.ran") is None, view


# --- for everybody --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "dark"),
    [
        pytest.param(DESKTOP, False, id="desktop, light"),
        pytest.param(PHONE, True, id="phone, dark"),
        # Each takes axe several seconds; what is dark and what is narrow has been looked at above.
        pytest.param(DESKTOP, True, id="desktop, dark", marks=pytest.mark.long),
        pytest.param(PHONE, False, id="phone, light", marks=pytest.mark.long),
    ],
)
def test_axe_finds_nothing_serious(tabs: Tabs, url: str, size: tuple[int, int], dark: bool) -> None:
    page = tabs.open(f"{url}/", size=size, dark=dark)
    found = []
    for view in VIEWS:
        show(page, url, view)
        found += [(view, barrier) for barrier in serious(page)]
    assert found == []


def test_axe_finds_nothing_serious_in_the_form_for_the_token(browser: Browser, tmp_path: Path) -> None:
    token = SecretStr("zqtoken-of-the-board")
    with open_store(tmp_path) as store, served(store, token=token) as url, Tabs(browser) as tabs:
        page = tabs.open(f"{url}/")
        page.get_by_role("dialog").wait_for()
        assert serious(page) == []


def show(page: Page, url: str, view: str) -> None:
    """Go to a view, as its link does, and wait for its numbers."""
    page.goto(f"{url}/#{view}")
    page.locator(f"[data-view={view}].view h1").wait_for()
    settle(page)


def settle(page: Page) -> None:
    """Wait until nothing is being loaded."""
    expect(page.locator(".skeleton")).to_have_count(0)


def serious(page: Page) -> list[Barrier]:
    return [barrier for barrier in barriers(page) if barrier.is_serious]
