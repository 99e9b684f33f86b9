"""Answers that are kept: who asked before gets one at once, and nobody computes the same twice at a time."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from prefstream.consumer.board.api.answers import COST, MOST_KEPT, STALE_S, AnswerCache, ReadyAnswer
from prefstream.consumer.errors import StreamError
from tests.support.fake_clock import FakeClock
from tests.support.streams import wait_until

BOUND_S = 100.0


class Counting:
    """Computes answers that tell how often they were computed; waits where it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.free = threading.Event()
        self.free.set()

    def __call__(self, key: str) -> ReadyAnswer:
        self.calls.append(key)
        assert self.free.wait(BOUND_S)
        if key == "fails":
            raise StreamError("no file")
        return ReadyAnswer.of(f"{key} {self.calls.count(key)}", "text/plain")


@contextmanager
def cache(compute: Counting, clock: FakeClock) -> Iterator[AnswerCache[str]]:
    answers = AnswerCache(compute, fresh_s=5.0, clock=clock.monotonic)
    try:
        yield answers
    finally:
        compute.free.set()
        answers.close()


def test_what_was_asked_before_is_answered_at_once_and_renewed_behind() -> None:
    compute, clock = Counting(), FakeClock()
    with cache(compute, clock) as answers:

        async def ask() -> str:
            return (await answers.get("a")).body.decode()

        assert asyncio.run(ask()) == "a 1"
        clock.now += 4.9
        assert asyncio.run(ask()) == "a 1"
        assert compute.calls == ["a"]
        clock.now += 0.2
        compute.free.clear()
        assert asyncio.run(ask()) == "a 1"  # while it is computed anew
        compute.free.set()
        wait_until(lambda: asyncio.run(ask()) == "a 2", BOUND_S, "the new answer")


def test_what_nobody_asked_for_in_a_long_time_is_computed_before_it_is_given() -> None:
    compute, clock = Counting(), FakeClock()
    with cache(compute, clock) as answers:
        assert asyncio.run(answers.get("a")).body == b"a 1"
        clock.now += 5.0 + STALE_S
        assert asyncio.run(answers.get("a")).body == b"a 2"


def test_what_takes_long_is_renewed_less_often() -> None:
    clock = FakeClock()

    class Slow(Counting):
        def __call__(self, key: str) -> ReadyAnswer:
            clock.now += 2.0
            return super().__call__(key)

    compute = Slow()
    with cache(compute, clock) as answers:
        asyncio.run(answers.get("a"))
        clock.now += 2.0 * COST - 0.1
        asyncio.run(answers.get("a"))
        assert compute.calls == ["a"]
        clock.now += 0.2
        asyncio.run(answers.get("a"))
        wait_until(lambda: compute.calls == ["a", "a"], BOUND_S, "the new answer")


def test_many_who_ask_at_once_wait_for_one_computation() -> None:
    compute = Counting()
    with cache(compute, FakeClock()) as answers:

        async def ask_together() -> list[str]:
            compute.free.clear()
            asked = [asyncio.create_task(answers.get("a")) for _ in range(50)]
            await asyncio.sleep(0)
            asked[0].cancel()  # a client goes away; the others still get theirs
            compute.free.set()
            found = await asyncio.gather(*asked[1:])
            return [answer.body.decode() for answer in found]

        assert asyncio.run(ask_together()) == ["a 1"] * 49
        assert compute.calls == ["a"]


def test_a_failure_is_not_kept() -> None:
    compute = Counting()
    with cache(compute, FakeClock()) as answers:
        for _ in range(2):
            with pytest.raises(StreamError):
                asyncio.run(answers.get("fails"))
        assert compute.calls == ["fails", "fails"]


def test_the_least_asked_for_are_forgotten() -> None:
    compute = Counting()
    with cache(compute, FakeClock()) as answers:

        async def ask_many() -> None:
            for number in range(MOST_KEPT + 1):
                await answers.get(str(number))
            await answers.get("0")

        asyncio.run(ask_many())
        assert compute.calls.count("0") == 2


def test_an_answer_is_packed_where_that_is_worth_it() -> None:
    short, long = ReadyAnswer.of("x", "text/plain"), ReadyAnswer.of("x" * 10_000, "text/plain")
    assert short.packed is None
    assert long.packed is not None
    assert gzip.decompress(long.packed) == long.body
    assert short.etag != long.etag
    assert ReadyAnswer.of("x", "text/plain").etag == short.etag


def test_what_tells_of_now_is_never_told_late() -> None:
    compute, clock = Counting(), FakeClock()
    answers = AnswerCache(compute, fresh_s=1.0, stale_s=0, clock=clock.monotonic)
    try:

        async def ask() -> str:
            return (await answers.get("a")).body.decode()

        assert asyncio.run(ask()) == "a 1"
        clock.now += 0.9
        assert asyncio.run(ask()) == "a 1"
        clock.now += 0.2
        assert asyncio.run(ask()) == "a 2"
    finally:
        answers.close()
