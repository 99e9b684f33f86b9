"""Server-sent events as a client meets them: over HTTP, from a store that is filled meanwhile."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.board.live import broadcast
from prefstream.consumer.board.live.payloads import NewVerdicts, VerdictPage
from prefstream.consumer.board.store.file_reader import FileReader
from prefstream.consumer.board.store.store import Store
from prefstream.consumer.board.store.verdicts import MOST_OF_A_BATCH
from tests.support.board import preference_record
from tests.support.boards import ask, fill_store, open_store, served, served_live
from tests.support.events import TIMEOUT_S, Events, events
from tests.support.streams import wait_until


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as store:
        fill_store(store, battles=30, votes=0)
        yield store


@pytest.fixture
def url(store: Store) -> Iterator[str]:
    with served(store) as url:
        yield url


def test_nothing_on_the_way_may_keep_or_change_events(url: str) -> None:
    with events(url) as stream:
        stream.next("status")
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store, no-transform"
        assert stream.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in stream.headers
        assert stream.retry_ms == 2_000


def test_who_asks_for_the_head_alone_holds_no_stream(url: str) -> None:
    head = ask(url, f"{API}/events", method="HEAD")
    assert head.status == 200
    assert head.headers["content-type"].startswith("text/event-stream")
    assert head.body == b""


def test_the_verdict_of_one_battle_can_be_asked_for(url: str) -> None:
    [verdict] = VerdictPage.model_validate(ask(url, f"{API}/verdicts?id=b7").json).verdicts
    assert verdict.id == "b7"
    assert ask(url, f"{API}/verdicts?id=b777").json["verdicts"] == []


def test_what_was_missed_is_built_once_for_all_who_come_back_at_a_time(store: Store) -> None:
    with served(store) as url:
        before = ask(url, f"{API}/verdicts?limit=1").json["id"].rpartition("-")[0] + "-10"
        reading = patch.object(FileReader, "verdicts", autospec=True, side_effect=FileReader.verdicts)
        with reading as read, ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda _: missed_by(url, before), range(8)))
    assert [len(one.verdicts) for one in told] == [20] * 8
    assert len([call for call in read.call_args_list if call.kwargs.get("until")]) == 1


def missed_by(url: str, after: str) -> NewVerdicts:
    with events(url, after) as stream:
        return NewVerdicts.model_validate(stream.next("verdicts").data)


def test_a_page_is_told_at_once_how_things_are(url: str) -> None:
    with events(url) as stream:
        assert stream.next("status").data == ask(url, f"{API}/status").json


def test_a_page_is_told_that_numbers_changed(url: str, store: Store) -> None:
    with events(url) as stream:
        stream.next("status")
        store.apply([preference_record(1_000, random.Random(1))])
        assert stream.next("changed").data == {}
        assert stream.next("status").data["counters"]["preferences"] == 31


def test_the_newest_verdicts_can_be_asked_for(url: str, store: Store) -> None:
    page = VerdictPage.model_validate(ask(url, f"{API}/verdicts?limit=5").json)
    assert [one.id for one in page.verdicts] == [f"b{number}" for number in range(25, 30)]
    assert page.id == page.verdicts[-1].event
    assert len(ask(url, f"{API}/verdicts").json["verdicts"]) == 30
    assert ask(url, f"{API}/verdicts?limit=201").status == 422


def test_a_stream_goes_on_where_the_page_of_verdicts_ends(url: str, store: Store) -> None:
    known = ask(url, f"{API}/verdicts").json["id"]
    take(store, 100, 3)
    with events(url, after=known) as stream:
        took(stream, 100, 3)
        take(store, 103, 2)
        assert took(stream, 103, 2) == stream.last_id


def test_who_comes_back_gets_what_was_missed_once(url: str, store: Store) -> None:
    with events(url) as stream:
        stream.next("status")
        take(store, 100, 1)
        known = took(stream, 100, 1)
    with events(url) as other:
        other.next("status")
        take(store, 101, 40)
        took(other, 101, 40)
        with events(url, last_event_id=known) as stream:
            assert took(stream, 101, 40) == other.last_id


def test_the_header_of_who_comes_back_counts_before_the_address(url: str, store: Store) -> None:
    known = ask(url, f"{API}/verdicts").json["id"]
    take(store, 100, 2)
    with events(url, after=known) as stream:
        last = took(stream, 100, 2)
    with events(url, after=known, last_event_id=last) as stream:
        take(store, 102, 1)
        took(stream, 102, 1)


@pytest.mark.parametrize("known", ["000000000000-7", "nonsense", None])
def test_who_knows_nothing_of_this_file_begins_now(url: str, store: Store, known: str | None) -> None:
    with events(url, last_event_id=known) as stream:
        stream.next("status")
        assert stream.last_id == ask(url, f"{API}/verdicts").json["id"]
        take(store, 100, 1)
        took(stream, 100, 1)


def test_what_came_faster_than_it_can_be_shown_is_told_as_skipped(url: str, store: Store) -> None:
    with events(url) as stream:
        stream.next("status")
        take(store, 100, 1_000, at_once=True)
        told = NewVerdicts.model_validate(stream.next("verdicts").data)
        assert [one.id for one in told.verdicts] == [f"b{number}" for number in range(1_080, 1_100)]
        assert told.skipped == 980


def test_what_is_kept_no_more_is_told_as_skipped(url: str, store: Store) -> None:
    known = ask(url, f"{API}/verdicts").json["id"]
    with events(url) as other:
        other.next("status")
        take(store, 100, 1_000, at_once=True)
        other.next("verdicts")
        with events(url, after=known) as stream:
            told = stream.next("verdicts").data
    assert (len(told["verdicts"]), told["skipped"]) == (MOST_OF_A_BATCH, 1_000 - MOST_OF_A_BATCH)


def test_where_too_many_pages_are_open_another_one_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "MOST_STREAMS", 1)
    with events(url) as stream:
        stream.next("status")
        answer = ask(url, f"{API}/events")
        assert answer.status == 503
        assert "pages get live events already" in answer.json["detail"]
        assert ask(url, f"{API}/status").status == 200


def test_a_page_that_is_gone_makes_room(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "MOST_STREAMS", 1)
    with events(url) as stream:
        stream.next("status")
    wait_until(lambda: _opens(url), what="room for another page")


def test_where_nothing_happens_a_comment_keeps_the_connection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "HEARTBEAT_S", 0.01)
    with events(url) as stream:
        stream.next("status")
        stream.next("status")
        assert "ping" in stream.comments


def test_who_takes_nothing_is_cut_off_and_takes_no_memory(store: Store) -> None:
    """Beyond what waits for all, and the system's own buffers; who reads gets all the while what comes."""
    with served_live(store) as (url, told), _asleep(url) as sleeper, events(url) as stream:
        wait_until(lambda: len(told) == 2, what="both streams")
        for number in range(1_000):
            told.publish_text("told", f'{{"number":{number},"text":"{"x" * 100_000}"}}')
            assert stream.next("told").data["number"] == number
            if len(told) == 1:
                break
        else:
            pytest.fail("nobody was cut off")
        while sleeper.recv(1_000_000):
            pass  # what the system kept of it; then its end


@contextmanager
def _asleep(url: str) -> Iterator[socket.socket]:
    """A client that asks for events and takes none."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), TIMEOUT_S) as client:
        client.sendall(f"GET {API}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield client


def _opens(url: str) -> bool:
    with events(url) as stream:
        return stream.status == 200


def take(store: Store, first: int, count: int, *, at_once: bool = False) -> None:
    """Battles come, in batches of ten."""
    rng = random.Random(first)
    records = [preference_record(number, rng) for number in range(first, first + count)]
    step = count if at_once else 10
    for begin in range(0, count, step):
        store.apply(records[begin : begin + step])


def took(stream: Events, first: int, count: int) -> str | None:
    """Wait until a stream has told battles, each once and in order; those that it says it skipped are none of them."""
    expected = [f"b{number}" for number in range(first, first + count)]
    while expected:
        told = stream.next("verdicts").data
        expected = expected[told["skipped"] :]
        ids = [one["id"] for one in told["verdicts"]]
        assert ids == expected[: len(ids)]
        expected = expected[len(ids) :]
    return stream.last_id
