"""Battles on the page: one that is tried out and comes back judged, and what one says, where that may be shown."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest
from kafka import KafkaProducer
from playwright.sync_api import Browser, Page, expect

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.client.topic_creation import make_topics
from prefstream.consumer.config import StreamConfig
from prefstream.scoring.config import PriorJudgeConfig
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.judges.prior import PriorJudge
from prefstream.scoring.panel.panel import Panel
from tests.conftest import Kafka
from tests.support.boards import ask, running_board
from tests.support.browser import WAIT_MS, Tabs
from tests.support.priors import prior_entry
from tests.support.streams import battle_event, fresh_config, read_topic, running, wait_until

expect.set_options(timeout=WAIT_MS)

LARGE_TOKENS: Final = 5_000
"""The judges of these tests read no more."""

HOSTILE: Final = "<script>alert(1)</script><img src=x onerror=alert(2)>"
BIDI: Final = "abc \u202egnissim\u2066 end"


class ShortJudge(PriorJudge):
    """Can't take a large battle, as a device may."""

    def score(self, batch: JudgeBatch) -> Scores:
        scores = super().score(batch)
        if batch.padded_tokens <= LARGE_TOKENS:
            return scores
        return Scores(scores.probabilities, {0: BattleTooLargeError("too large for this device")})


def panel() -> Panel:
    """Two judges; one likes A, the other what stands first."""
    entries = (prior_entry("steady", (0.61, 0.19, 0.2)), prior_entry("leaning", (0.7, 0.2, 0.1)))
    steady, leaning = (ShortJudge(PriorJudgeConfig.model_validate(entry)) for entry in entries)
    steady.symmetric = True
    return Panel([steady, leaning], swap=True)


@pytest.fixture(scope="module")
def names(embedded_kafka: Kafka) -> StreamConfig:
    topics = fresh_config(embedded_kafka.bootstrap_servers)
    names = topics.model_copy(
        update={
            "votes_topic": f"{topics.group_id}.votes",
            "votes_dead_letters_topic": f"{topics.group_id}.votes.dead-letters",
        }
    )
    make_topics(names, partitions=1)
    return names


@pytest.fixture(scope="module")
def url(names: StreamConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("board")
    with running_board(names, folder, board_allow_battles=True, board_show_texts=True, group_id=names.group_id) as url:
        yield url


@pytest.fixture
def stream(names: StreamConfig) -> Iterator[None]:
    with running(names, panel) as stream:
        stream.wait_ready()
        yield


def fill_in(page: Page, prompt: str, a: str = "one", b: str = "two") -> None:
    page.get_by_label("Prompt").fill(prompt)
    page.get_by_label("Answer A").fill(a)
    page.get_by_label("Answer B").fill(b)


# --- trying one out ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stream")
def test_the_forms_verdict_comes_back_over_the_topics(tabs: Tabs, url: str, names: StreamConfig) -> None:
    page = tabs.open(f"{url}/#try")
    page.get_by_role("button", name="Fill in an example").click()
    prompt = page.get_by_label("Prompt").input_value()
    assert prompt
    page.get_by_label("Answer A").press("Control+Enter")
    card = page.get_by_role("article", name="Try 1")
    expect(card).to_have_attribute("data-state", "judged")
    expect(card).to_contain_text("A is preferred, 53 %")
    expect(card.get_by_text("Send to verdict")).to_be_visible()
    expect(card).to_contain_text("The judges read for")
    judges = card.get_by_role("listitem")
    expect(judges).to_have_count(2)
    expect(judges.nth(0)).to_contain_text("steady")
    expect(judges.nth(0)).to_contain_text("Position gap 0.00")
    expect(judges.nth(1)).to_contain_text("Position gap 0.50")
    expect(page.get_by_role("status").filter(has_text="Verdict of try 1")).to_have_count(1)
    # It went the way of every battle.
    ids = [json.loads(record.value)["id"] for record in read_topic(names.bootstrap_servers, names.battles_topic)]
    tried = card.locator("code").last.inner_text()
    assert tried in ids
    # Tries stay while other views are looked at.
    page.get_by_role("link", name="Board").first.click()
    page.get_by_role("link", name="Try a battle").click()
    expect(page.get_by_role("article", name="Try 1")).to_contain_text("A is preferred")
    expect(page.get_by_label("Prompt")).to_have_value(prompt)


@pytest.mark.usefixtures("stream")
def test_a_verdict_that_no_event_told_is_asked_for(tabs: Tabs, url: str) -> None:
    """Of hundreds that come at a time, events leave most out."""
    page = tabs.open(f"{url}/#try")
    page.add_init_script("EventSource.prototype.addEventListener = () => {};")
    page.reload()
    fill_in(page, "told by no event")
    page.get_by_role("button", name="Send battle").click()
    expect(page.get_by_role("article", name="Try 1")).to_have_attribute("data-state", "judged")


@pytest.mark.usefixtures("stream")
def test_what_can_not_be_scored_shows_its_reason(tabs: Tabs, url: str) -> None:
    page = tabs.open(f"{url}/#try")
    fill_in(page, "long", a="word " * LARGE_TOKENS)
    page.get_by_role("button", name="Send battle").click()
    card = page.get_by_role("article", name="Try 1")
    expect(card).to_have_attribute("data-state", "dead")
    expect(card).to_contain_text("too_large_for_judge")
    expect(page.get_by_role("status").filter(has_text="became a dead letter")).to_have_count(1)


def test_without_a_stream_it_waits_and_says_what_may_be_wrong(tabs: Tabs, url: str, names: StreamConfig) -> None:
    page = tabs.open(f"{url}/#board")
    page.clock.install()
    page.get_by_role("link", name="Try a battle").click()
    fill_in(page, "nobody answers")
    page.get_by_role("button", name="Send battle").click()
    card = page.get_by_role("article", name="Try 1")
    expect(card).to_have_attribute("data-state", "waiting")
    page.clock.fast_forward(61_000)
    expect(card).to_contain_text("No verdict for 60 s. It is still waited for.")
    expect(card.get_by_role("link", name="Stream")).to_be_visible()
    with running(names, panel) as stream:
        stream.wait_ready()
        expect(card).to_have_attribute("data-state", "judged")


def test_what_can_not_be_sent_says_why_and_stays_in_the_form(tabs: Tabs, url: str) -> None:
    page = tabs.open(f"{url}/#try", expected=("status of 429",))
    page.get_by_role("button", name="Send battle").click()
    expect(page.get_by_role("alert")).to_contain_text("Write a prompt")
    expect(page.get_by_label("Prompt")).to_be_focused()
    expect(page.get_by_label("Prompt")).to_have_attribute("aria-invalid", "true")
    fill_in(page, "large", a="x" * 70_000)
    page.get_by_role("button", name="Send battle").click()
    expect(page.get_by_role("alert")).to_contain_text("64 KiB at most")
    expect(page.get_by_role("article")).to_have_count(0)
    fill_in(page, "refused")
    page.route("**/api/v1/battles", lambda route: route.fulfill(status=429, json={"detail": "30 a minute are enough"}))
    page.get_by_role("button", name="Send battle").click()
    card = page.get_by_role("article", name="Try 1")
    expect(card).to_contain_text("30 a minute are enough")
    expect(card).to_have_attribute("data-state", "refused")
    expect(page.get_by_label("Prompt")).to_have_value("refused")
    expect(page.get_by_role("alert")).to_have_count(0)


# --- other sites ---------------------------------------------------------------------------------------------------


@contextmanager
def another_site(html: str) -> Iterator[str]:
    """A page of another origin, which is the same machine's: cookies of this one would be sent to the board's, too."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("mode", "media_type"), [("cors", "application/json"), ("no-cors", "text/plain")])
def test_no_script_of_another_site_writes_a_battle(
    browser: Browser, url: str, names: StreamConfig, mode: str, media_type: str
) -> None:
    """Of JSON the browser asks first; plain text it sends at once, and hides the answer."""
    before = len(read_topic(names.bootstrap_servers, names.battles_topic))
    with another_site("<p>elsewhere</p>") as elsewhere, closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(elsewhere)
        sent = """async ([url, mode, type]) => {
            const body = JSON.stringify({prompt: "p", response_a: "a", response_b: "b"});
            const options = {method: "POST", body, mode, credentials: "include", headers: {"Content-Type": type}};
            try { return (await fetch(url, options)).type } catch { return "refused" }
        }"""
        assert page.evaluate(sent, [f"{url}{API}/battles", mode, media_type]) == "refused"
    assert len(read_topic(names.bootstrap_servers, names.battles_topic)) == before


def test_no_form_of_another_site_writes_a_battle(browser: Browser, url: str, names: StreamConfig) -> None:
    before = len(read_topic(names.bootstrap_servers, names.battles_topic))
    # The old trick: a text/plain form whose one field makes a JSON object.
    name, value = '{"prompt": "p", "response_a": "a", "response_b": "', '"}'
    form = f"""<form method="post" enctype="text/plain" action="{url}{API}/battles">
        <input name='{name}' value='{value}'><button>Win a prize</button></form>"""
    with another_site(form) as elsewhere, closing(browser.new_context()) as context:
        page = context.new_page()
        page.goto(elsewhere)
        with page.expect_navigation() as arrived:
            page.get_by_role("button").click()
        assert arrived.value is not None
        assert arrived.value.status == 403
    assert len(read_topic(names.bootstrap_servers, names.battles_topic)) == before


# --- texts ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stream")
def test_texts_are_fetched_when_asked_for_and_shown_as_text(tabs: Tabs, url: str, names: StreamConfig) -> None:
    turns = {"prompt": [HOSTILE, "and more"], "response_a": [BIDI, "x" * 5_000], "response_b": ["", "**b**"]}
    send(names, battle_event(1, id="<b>b1</b>", **turns))
    wait_until(lambda: "b1" in ask(url, f"{API}/verdicts").body.decode(), what="the verdict")
    page = tabs.open(f"{url}/#verdicts")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("summary").filter(has_text="<b>b1</b>").click()
    assert not [address for address in asked if "/texts" in address]
    page.get_by_role("button", name="Show texts").click()
    turns_shown = page.get_by_role("region", name=re.compile("Turn "))
    expect(turns_shown).to_have_count(2)
    first, second = turns_shown.all()
    expect(first.get_by_role("group", name="Prompt")).to_have_text(HOSTILE)
    assert first.get_by_role("group", name="Answer A").text_content() == BIDI
    expect(first.get_by_text("empty")).to_be_visible()
    # What turns the direction ends where the text ends.
    assert (
        first.get_by_role("group", name="Answer A").evaluate("node => getComputedStyle(node).unicodeBidi") == "isolate"
    )
    long = second.get_by_role("group", name="Answer A")
    assert len(long.text_content() or "") < 2_000
    second.get_by_role("button", name="Show all 5,000 characters").click()
    expect(long).to_have_text("x" * 5_000)
    assert page.locator("main script, main img").count() == 0
    page.get_by_role("button", name="Hide texts").click()
    expect(page.get_by_role("group", name="Prompt")).to_have_count(0)


def send(names: StreamConfig, event: bytes) -> None:
    with closing(KafkaProducer(bootstrap_servers=names.bootstrap_servers)) as producer:
        producer.send(names.battles_topic, event).get(100)


def test_a_board_that_allows_neither_has_neither(tabs: Tabs, names: StreamConfig, tmp_path: Path) -> None:
    with running_board(names, tmp_path, group_id=names.group_id) as url:
        page = tabs.open(f"{url}/#try")
        expect(page.get_by_role("heading", level=1)).not_to_have_text("Try a battle")
        expect(page.get_by_role("link", name="Try a battle")).to_have_count(0)
        page.get_by_role("link", name="Verdicts", exact=True).click()
        page.locator("summary").first.click()
        expect(page.get_by_text("What each judge said").first).to_be_visible()
        expect(page.get_by_role("button", name="Show texts")).to_have_count(0)
