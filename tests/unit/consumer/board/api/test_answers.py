"""Answers that are kept: who asked before gets one at once, and nobody computes the same twice at a time."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from prefstream.consumer.board.api import answers as answers_module
from prefstream.consumer.board.api.answers import (
    COST,
    MOST_COMING,
    MOST_KEPT,
    MOST_STALE_S,
    STALE_S,
    AnswerCache,
    ReadyAnswer,
)
from prefstream.consumer.errors import BoardBusyError, StreamError
from tests.support.fake_clock import FakeClock
from tests.support.streams import wait_until

BOUND_S = 100.0


class Counting:
    """Computes answers that tell how often they were computed; waits where it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failing = {"fails"}
        self.free = threading.Event()
        self.free.set()

    def __call__(self, key: str) -> ReadyAnswer:
        self.calls.append(key)
        assert self.free.wait(BOUND_S)
        if key in self.failing:
            raise StreamError("no file")
        return ReadyAnswer.of(f"{key} {self.calls.count(key)}", "text/plain")


class Slow(Counting):
    """Takes two seconds for each."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def __call__(self, key: str) -> ReadyAnswer:
        self._clock.now += 2.0
        return super().__call__(key)


@contextmanager
def cache(compute: Counting, clock: FakeClock, **settings: float) -> Iterator[AnswerCache[str]]:
    answers = AnswerCache(compute, **{"fresh_s": 5.0} | settings, clock=clock.monotonic)
    try:
        yield answers
    finally:
        compute.free.set()
        answers.close()


def told(answers: AnswerCache[str], key: str = "a", **how: float) -> str:
    return asyncio.run(answers.get(key, **how)).answer.body.decode()


def test_what_was_asked_before_is_answered_at_once_and_renewed_behind() -> None:
    compute, clock = Counting(), FakeClock()
    with cache(compute, clock) as answers:
        assert told(answers) == "a 1"
        clock.now += 4.9
        assert told(answers) == "a 1"
        assert compute.calls == ["a"]
        clock.now += 0.2
        compute.free.clear()
        assert told(answers) == "a 1"  # while it is computed anew
        compute.free.set()
        wait_until(lambda: told(answers) == "a 2", BOUND_S, "the new answer")


def test_what_nobody_asked_for_in_a_long_time_is_computed_before_it_is_given() -> None:
    compute, clock = Counting(), FakeClock()
    with cache(compute, clock) as answers:
        assert told(answers) == "a 1"
        clock.now += 5.0 + STALE_S
        assert told(answers) == "a 2"


def test_what_takes_long_is_renewed_less_often() -> None:
    clock = FakeClock()

    compute = Slow(clock)
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
            return [given.answer.body.decode() for given in found]

        assert asyncio.run(ask_together()) == ["a 1"] * 49
        assert compute.calls == ["a"]


def test_a_failure_is_not_kept() -> None:
    compute = Counting()
    with cache(compute, FakeClock()) as answers:
        for _ in range(2):
            with pytest.raises(StreamError):
                asyncio.run(answers.get("fails"))
        assert compute.calls == ["fails", "fails"]


def test_an_old_answer_does_not_outlive_the_failure_of_a_newer_one() -> None:
    """Or a page would show numbers of an hour ago, and nobody would learn why."""
    compute, clock = Counting(), FakeClock()
    with cache(compute, clock) as answers:
        told(answers)
        compute.failing.add("a")
        clock.now += 5.0 + STALE_S - 0.1
        assert told(answers) == "a 1"
        wait_until(lambda: compute.calls == ["a", "a"], BOUND_S, "the failure")
        clock.now += 0.2

        def nothing_is_told() -> bool:
            try:
                told(answers, most_stale_s=MOST_STALE_S)
            except StreamError:
                return True
            return False

        wait_until(nothing_is_told, BOUND_S, "the old answer's end")


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
    with cache(compute, clock, fresh_s=1.0, stale_s=0) as answers:
        assert told(answers) == "a 1"
        clock.now += 0.9
        assert told(answers) == "a 1"
        clock.now += 0.2
        assert told(answers, most_stale_s=100.0) == "a 2"


def test_what_tells_of_now_does_so_however_long_it_takes() -> None:
    clock = FakeClock()
    compute = Slow(clock)
    with cache(compute, clock, fresh_s=1.0, cost=0, stale_s=0) as answers:
        told(answers)
        clock.now += 1.1
        assert told(answers) == "a 2"


def test_who_takes_an_old_answer_gets_it_at_once_and_is_told_how_old_it_is() -> None:
    compute, clock = Counting(), FakeClock()
    with cache(compute, clock) as answers:
        told(answers)
        clock.now += 5.0 + STALE_S
        compute.free.clear()
        given = asyncio.run(answers.get("a", most_stale_s=STALE_S + 1))
        assert given.answer.body == b"a 1"
        assert (given.age_s, given.ttl_s) == (5.0 + STALE_S, -STALE_S)
        compute.free.set()
        wait_until(lambda: told(answers) == "a 2", BOUND_S, "the new answer")
        assert asyncio.run(answers.get("a")).ttl_s > 0
        clock.now += 5.0 + MOST_STALE_S
        assert told(answers, most_stale_s=10 * MOST_STALE_S) == "a 3"  # not of the day before


def test_no_more_than_so_many_answers_are_waited_for() -> None:
    compute, clock = Counting(), FakeClock()
    with cache(compute, clock) as answers:

        async def ask_for_many() -> None:
            await answers.get("kept")
            clock.now += 6.0
            compute.free.clear()
            asked = [asyncio.create_task(answers.get(f"{number}")) for number in range(MOST_COMING)]
            await asyncio.sleep(0)
            with pytest.raises(BoardBusyError, match="ask again"):
                await answers.get("one more")
            assert (await answers.get("kept")).answer.body == b"kept 1"  # what is there is given all the same
            compute.free.set()
            await asyncio.gather(*asked, answers.get("0"))
            assert (await answers.get("one more")).answer.body == b"one more 1"

        asyncio.run(ask_for_many())
        assert compute.calls.count("kept") == 1


def test_the_end_does_not_wait_for_ever_for_what_is_being_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "CLOSE_S", 0.2)
    compute = Counting()
    with cache(compute, FakeClock()) as answers:

        async def ask_and_close() -> float:
            compute.free.clear()
            asked = [asyncio.create_task(answers.get(f"{number}")) for number in range(4)]  # of which two wait
            await asyncio.sleep(0)
            wait_until(lambda: len(compute.calls) == 2, BOUND_S, "both threads at work")
            began = time.monotonic()
            answers.close()
            took = time.monotonic() - began
            for one in asked:
                one.cancel()
            return took

        assert asyncio.run(ask_and_close()) < BOUND_S
        assert len(compute.calls) == 2
