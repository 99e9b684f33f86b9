"""Server-sent events as a client meets them: over HTTP, from a store that is filled meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.board.store.store import Store
from tests.support.board import preference_record
from tests.support.boards import ask, fill_store, open_store, served
from tests.support.events import events


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


def test_a_page_is_told_at_once_how_things_are(url: str) -> None:
    with events(url) as stream:
        assert stream.next("status").data == ask(url, f"{API}/status").json


def test_a_page_is_told_that_numbers_changed(url: str, store: Store) -> None:
    with events(url) as stream:
        stream.next("status")
        store.apply([preference_record(1_000, random.Random(1))])
        assert stream.next("changed").data == {}
        assert stream.next("status").data["counters"]["preferences"] == 31
