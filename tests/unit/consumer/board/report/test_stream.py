"""The stream's last hour."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from prefstream.consumer.board.report.stream import SHOWN, first_shown, stream_report
from prefstream.consumer.board.report.stream_payloads import StreamReport
from prefstream.consumer.board.report.surroundings import WatchedStream
from prefstream.consumer.board.store.minutes import latency_of
from prefstream.consumer.board.store.reading import MinuteFacts

NOW = datetime(2026, 11, 29, 12, 30, 45, tzinfo=UTC)
CURRENT = int(NOW.timestamp()) // 60


def minute(number: int, battles: int, **facts: Any) -> MinuteFacts:
    nothing: dict[str, Any] = {"timed": 0, "queue_s": 0.0, "tokenise_s": 0.0, "inference_s": 0.0, "bins": ()}
    return MinuteFacts(number, battles, **nothing | facts)


def told(*minutes: MinuteFacts, ever: bool = True) -> StreamReport:
    return stream_report(minutes, WatchedStream(), NOW, ever=ever)


def test_every_minute_of_the_hour_is_there_the_last_one_not_over() -> None:
    report = told(minute(CURRENT - 3, 8), minute(CURRENT, 1))
    ats = [one.at for one in report.minutes]
    assert len(ats) == SHOWN
    assert (ats[0], ats[-1]) == (first_shown(NOW), NOW.replace(second=0))
    assert {later - earlier for earlier, later in itertools.pairwise(ats)} == {timedelta(minutes=1)}
    assert [one.battles for one in report.minutes if one.battles] == [8, 1]


def test_times_are_means_over_battles_that_tell_them() -> None:
    times = {"queue_s": 2.0, "tokenise_s": 0.4, "inference_s": 8.0}
    report = told(minute(CURRENT, 10, timed=4, bins=((40, 3), (50, 1)), **times), minute(CURRENT - 1, 3))
    now, before = report.minutes[-1], report.minutes[-2]
    assert (now.queue_s, now.tokenise_s, now.inference_s) == (0.5, 0.1, 2.0)
    assert (now.latency_p50_s, now.latency_p95_s) == (latency_of(40), latency_of(50))
    assert (before.queue_s, before.latency_p50_s) == (None, None)


def test_battles_a_second_are_of_the_last_minute_and_what_this_one_has_of_it() -> None:
    assert told(minute(CURRENT - 2, 999), minute(CURRENT - 1, 60), minute(CURRENT, 150)).per_s == pytest.approx(2.0)
    assert told().per_s == 0
    assert told(ever=False).per_s is None
