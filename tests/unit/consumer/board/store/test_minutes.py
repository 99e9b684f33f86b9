"""Sums by minute: how many battles there were, and how long they took."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.board.store.minutes import MINUTES_AHEAD, MINUTES_KEPT, latency_bin, latency_of
from prefstream.consumer.board.store.reading import MinuteFacts
from prefstream.consumer.board.store.records import PreferenceRecord
from prefstream.consumer.board.store.store import Store
from prefstream.schemas.preference import Timings
from tests.support.board import preference_record

MINUTE_MS = 60_000


def took(queue_s: float, tokenise_s: float, inference_s: float) -> Timings:
    return Timings(
        queue_s=queue_s, tokenise_s=tokenise_s, inference_s=inference_s, scored_at=datetime.fromtimestamp(0, UTC)
    )


def record(number: int, minute: int, timings: Timings | None) -> PreferenceRecord:
    at = minute * MINUTE_MS + number % MINUTE_MS
    return preference_record(number, random.Random(number), at=at, timings=timings)


def this_minute() -> int:
    return int(time.time() * 1000) // MINUTE_MS


def test_a_minute_has_the_sums_of_its_battles() -> None:
    now = this_minute()
    with Store() as store:
        store.apply([record(1, now - 3, took(0.5, 0.01, 2)), record(2, now - 3, None), record(3, now - 1, None)])
        store.apply([record(4, now - 3, took(1.5, 0.03, 4)), record(1, now - 3, took(9, 9, 9))])  # one is known
        found = store.reader().minutes(0)
        assert store.reader().minutes((now - 1) * MINUTE_MS) == found[1:]
    early, late = found
    assert early[:3] == (now - 3, 3, 2)
    assert (early.queue_s, early.tokenise_s, early.inference_s) == (2.0, 0.04, 6.0)
    assert early.bins == ((latency_bin(2.51), 1), (latency_bin(5.53), 1))
    assert late == (now - 1, 1, 0, 0, 0, 0, ())
    assert late.latency_s(0.5) is None


def test_what_is_older_than_two_days_or_of_the_future_has_no_minute() -> None:
    now = this_minute()
    far = (0, now - MINUTES_KEPT - 2, now + MINUTES_AHEAD + 2, 253_402_300_799_999 // MINUTE_MS)
    with Store() as store:
        store.apply([record(number, minute, took(0, 0, 1)) for number, minute in enumerate((now, *far))])
        assert [one.minute for one in store.reader().minutes(0)] == [now]


def test_minutes_leave_when_they_are_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    now = this_minute()
    with Store() as store:
        store.apply([record(1, now, took(0, 0, 1))])
        later = now + MINUTES_KEPT + 1
        monkeypatch.setattr(time, "time", lambda: later * 60.0)
        store.apply([record(2, later, took(0, 0, 1))])
        assert [one.minute for one in store.reader().minutes(0)] == [later]
        (bins,) = store._connection.execute("SELECT count(*) FROM minute_bins").fetchone()
        assert bins == 1


def test_a_time_without_end_does_not_break_the_sums() -> None:
    with Store() as store:
        store.apply([record(number, this_minute(), took(1e308, 1e308, 1e308)) for number in range(3)])
        (found,) = store.reader().minutes(0)
        assert found.battles == 3


@given(st.floats(0.001, 20_000))
def test_a_latency_is_told_to_nine_percent(seconds: float) -> None:
    assert latency_of(latency_bin(seconds)) == pytest.approx(seconds, rel=0.095)


@given(st.lists(st.floats(0, 10_000), min_size=1, max_size=200), st.sampled_from((0.5, 0.95, 1.0)))
def test_a_share_of_battles_took_at_most_what_is_told(latencies: list[float], share: float) -> None:
    places = sorted(map(latency_bin, latencies))
    bins = tuple((place, places.count(place)) for place in sorted(set(places)))
    told = MinuteFacts(0, len(latencies), len(latencies), 0, 0, 0, bins).latency_s(share)
    rank = next(n for n in range(1, len(places) + 1) if n >= share * len(places))
    assert told == latency_of(places[rank - 1])
