"""Neither topic is read far ahead of the other, and nothing is given up before reading has passed it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from prefstream.consumer.board.ingest import pace as module
from prefstream.consumer.board.ingest.pace import AHEAD_MS, LATENESS_MS, Pace
from prefstream.consumer.client.protocols import TopicPartition

P0, P1, V0 = TopicPartition("p", 0), TopicPartition("p", 1), TopicPartition("v", 0)
EVERY = [P0, P1, V0]


class Partitions:
    """A consumer's view of three partitions, each with records left to read until its end is set."""

    def __init__(self) -> None:
        self.at_end: set[TopicPartition] = set()
        self.paused: set[TopicPartition] = set()
        self.heard = 1.0

    def heard_at(self) -> float:
        return self.heard

    def highwater(self, partition: TopicPartition) -> int | None:
        return 5 if partition in self.at_end else 10

    def known_position(self, _: TopicPartition) -> int | None:
        return 5

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused -= set(partitions)


def polled(**at: int) -> Any:
    """Records by partition, such as p0 and v0, one each with its timestamp."""
    places = {"p0": P0, "p1": P1, "v0": V0}
    return {places[name]: [SimpleNamespace(timestamp=moment)] for name, moment in at.items()}


def test_a_topic_is_as_far_as_its_last_partition_and_unknown_until_each_was_read() -> None:
    pace = Pace(Partitions(), "p", "v")  # type: ignore[arg-type]
    assert pace.keep(EVERY, polled(p0=1_000)) == {"p": None, "v": None}
    assert pace.keep(EVERY, polled(p1=700, v0=900)) == {"p": 700, "v": 900}
    assert pace.keep(EVERY, polled(p1=600)) == {"p": 700, "v": 900}  # a timestamp that goes back takes nothing back


def test_a_partition_that_is_read_to_its_end_is_as_far_as_now() -> None:
    consumer = Partitions()
    pace = Pace(consumer, "p", "v")  # type: ignore[arg-type]
    consumer.at_end = {P0, P1}
    before = int(time.time() * 1000)
    assert pace.keep(EVERY, {})["p"] is None
    consumer.heard += 1
    until = pace.keep(EVERY, {})["p"]
    assert until is not None
    assert before - LATENESS_MS <= until <= int(time.time() * 1000) - LATENESS_MS
    assert pace.keep(EVERY, polled(v0=5))["v"] == 5


def test_an_end_is_as_far_as_when_a_broker_told_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ms = 10**12
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now_ms / 1000))
    consumer = Partitions()
    consumer.at_end = {P0, P1}
    pace = Pace(consumer, "p", "v")  # type: ignore[arg-type]

    def look(*, heard: bool, after_s: int) -> int | None:
        nonlocal now_ms
        now_ms += 1000 * after_s
        consumer.heard += heard
        until = pace.keep(EVERY, {})["p"]
        return None if until is None else until + LATENESS_MS - 10**12

    assert look(heard=True, after_s=0) is None
    assert look(heard=True, after_s=1) == 0
    assert look(heard=True, after_s=1) == 1_000
    assert look(heard=False, after_s=3_600) == 1_000  # nobody answers
    # It was suspended for a day, and an answer from before lay there: what was written meanwhile is not read yet.
    assert look(heard=True, after_s=86_400) == 3_602_000
    assert look(heard=False, after_s=1) == 3_602_000
    assert look(heard=True, after_s=1) == 90_003_000


def test_a_clock_that_is_a_little_fast_is_taken_for_now() -> None:
    pace = Pace(Partitions(), "p", "v")  # type: ignore[arg-type]
    until = pace.keep(EVERY, polled(v0=int(time.time() * 1000) + LATENESS_MS // 2))["v"]
    assert until is not None
    assert until <= int(time.time() * 1000)


def test_a_timestamp_of_the_future_says_nothing_of_how_far_reading_is() -> None:
    consumer = Partitions()
    pace = Pace(consumer, "p", "v")  # type: ignore[arg-type]
    future = int(time.time() * 1000) + 10 * LATENESS_MS
    assert pace.keep(EVERY, polled(v0=future))["v"] is None
    assert pace.keep(EVERY, polled(v0=1_000, p0=500, p1=500)) == {"p": 500, "v": 1_000}
    assert pace.keep(EVERY, polled(v0=future, p0=2**50)) == {"p": 500, "v": 1_000}
    assert consumer.paused == set()


def test_the_topic_that_is_ahead_waits_for_the_other() -> None:
    consumer = Partitions()
    pace = Pace(consumer, "p", "v")  # type: ignore[arg-type]
    pace.keep(EVERY, polled(p0=1_000, p1=1_000, v0=1_000 + AHEAD_MS))
    assert consumer.paused == set()
    pace.keep(EVERY, polled(v0=1_001 + AHEAD_MS))
    assert consumer.paused == {V0}
    consumer.at_end = {V0}  # its end of long ago says nothing while it is paused
    assert pace.keep(EVERY, {})["v"] == 1_001 + AHEAD_MS
    consumer.at_end = set()
    pace.keep(EVERY, polled(p0=3 * AHEAD_MS, p1=2_000))
    assert consumer.paused == set()
    pace.keep(EVERY, polled(p1=3 * AHEAD_MS))
    assert consumer.paused == {P0, P1}


def test_nothing_is_known_of_a_topic_without_partitions() -> None:
    assert Pace(Partitions(), "p", "v").keep([], {}) == {"p": None, "v": None}  # type: ignore[arg-type]
