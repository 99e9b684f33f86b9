"""What an answer says of its age, and what a client may say of the age that will do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from fastapi import Request, Response

from prefstream.consumer.board.api.answers import MOST_STALE_S, STALE_S, AnswerCache, ReadyAnswer
from prefstream.consumer.board.api.responses import cached_response
from tests.support.fake_clock import FakeClock
from tests.support.streams import wait_until

FRESH_S = 5.0


class Numbers:
    """Answers that tell the number of their computing, and the clock by which they grow old."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.computed = 0
        self.cache: AnswerCache[str] = AnswerCache(self._compute, fresh_s=FRESH_S, clock=self.clock.monotonic)

    def _compute(self, key: str) -> ReadyAnswer:
        self.computed += 1
        return ReadyAnswer.of(f"{key} {self.computed}", "text/plain")

    def ask(self, **headers: str) -> Response:
        return answered(self.cache, **headers)


def answered(cache: AnswerCache[str], **headers: str) -> Response:
    told = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return asyncio.run(cached_response(Request({"type": "http", "headers": told}), cache, "a"))


@pytest.fixture
def numbers() -> Iterator[Numbers]:
    numbers = Numbers()
    yield numbers
    numbers.cache.close()


def test_a_fresh_answer_says_its_age(numbers: Numbers) -> None:
    assert numbers.ask().headers["age"] == "0"
    numbers.clock.now += 4.5
    told = numbers.ask()
    assert told.body == b"a 1"
    assert told.headers["age"] == "4"
    assert told.headers["cache-status"] == "prefstream; hit; ttl=0"


def test_an_old_answer_says_that_a_newer_one_comes(numbers: Numbers) -> None:
    tag = numbers.ask().headers["etag"]
    numbers.clock.now += FRESH_S + 7.5
    told = numbers.ask(if_none_match=tag)
    assert told.status_code == 304
    assert (told.headers["age"], told.headers["cache-status"]) == ("12", "prefstream; hit; ttl=-8")
    wait_until(lambda: numbers.computed == 2, what="the newer one")


def test_who_kept_an_old_answer_is_told_that_it_is_fresh_again_where_nothing_changed() -> None:
    """What a 304 does not say a browser goes on to say of what it keeps: such a page would ask again for ever."""
    clock = FakeClock()
    cache: AnswerCache[str] = AnswerCache(
        lambda key: ReadyAnswer.of(key, "text/plain"), fresh_s=FRESH_S, clock=clock.monotonic
    )
    try:
        tag = answered(cache).headers["etag"]
        clock.now += FRESH_S + STALE_S
        told = answered(cache, if_none_match=tag)
    finally:
        cache.close()
    assert (told.status_code, told.headers["age"], told.headers["cache-status"]) == (304, "0", "prefstream; hit; ttl=5")


@pytest.mark.parametrize(
    ("said", "age_s", "newer"),
    [
        (None, FRESH_S + STALE_S + 1, True),
        ("max-stale=600", FRESH_S + 599, False),
        ("no-transform, Max-Stale = 600", FRESH_S + 599, True),  # not as HTTP has it
        ("no-transform, max-stale=600", FRESH_S + 599, False),
        ("max-stale=600", FRESH_S + 601, True),
        ("max-stale", FRESH_S + MOST_STALE_S - 1, False),
        ("max-stale=99999999999999999999", FRESH_S + MOST_STALE_S + 1, True),
        ("max-stale=\u0663", FRESH_S + STALE_S + 1, True),
        ("max-stale=-1", FRESH_S + STALE_S + 1, True),
        ("max-stale=", FRESH_S + STALE_S + 1, True),
        ("max-age=0", FRESH_S + STALE_S - 1, False),
    ],
)
def test_a_client_says_how_old_an_answer_will_do(
    numbers: Numbers, said: str | None, age_s: float, *, newer: bool
) -> None:
    numbers.ask()
    numbers.clock.now += age_s
    told = numbers.ask(**({} if said is None else {"cache_control": said}))
    assert told.body == (b"a 2" if newer else b"a 1")
