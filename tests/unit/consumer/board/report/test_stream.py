"""The stream's last hour."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from prefstream.consumer.board.report.stream import SHOWN, first_shown, stream_report
from prefstream.consumer.board.report.stream_payloads import StreamReport
from prefstream.consumer.board.report.surroundings import WatchedStream

NOW = datetime(2026, 11, 29, 12, 30, 45, tzinfo=UTC)
CURRENT = int(NOW.timestamp()) // 60


@dataclass
class Minute:
    """As the store has it."""

    minute: int
    battles: int
    timed: int = 0
    queue_s: float = 0.0
    tokenise_s: float = 0.0
    inference_s: float = 0.0

    def latency_s(self, share: float) -> float | None:
        return 2 * share if self.timed else None


def told(*minutes: Minute, ever: bool = True) -> StreamReport:
    return stream_report(minutes, WatchedStream(), NOW, ever=ever)


def test_every_minute_of_the_hour_is_there_the_last_one_not_over() -> None:
    report = told(Minute(CURRENT - 3, 8), Minute(CURRENT, 1))
    ats = [one.at for one in report.minutes]
    assert len(ats) == SHOWN
    assert (ats[0], ats[-1]) == (first_shown(NOW), NOW.replace(second=0))
    assert {later - earlier for earlier, later in itertools.pairwise(ats)} == {timedelta(minutes=1)}
    assert [one.battles for one in report.minutes if one.battles] == [8, 1]


def test_times_are_means_over_battles_that_tell_them() -> None:
    report = told(Minute(CURRENT, 10, timed=4, queue_s=2.0, tokenise_s=0.4, inference_s=8.0), Minute(CURRENT - 1, 3))
    now, before = report.minutes[-1], report.minutes[-2]
    assert (now.queue_s, now.tokenise_s, now.inference_s) == (0.5, 0.1, 2.0)
    assert (now.latency_p50_s, now.latency_p95_s) == (1.0, 1.9)
    assert (before.queue_s, before.latency_p50_s) == (None, None)


def test_battles_a_second_are_of_the_last_minute_and_what_this_one_has_of_it() -> None:
    assert told(Minute(CURRENT - 2, 999), Minute(CURRENT - 1, 60), Minute(CURRENT, 150)).per_s == pytest.approx(2.0)
    assert told().per_s == 0
    assert told(ever=False).per_s is None
