"""What the stream does, put together of what is stored and what is watched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from prefstream.consumer.board.report.stream_payloads import StreamMinute, StreamReport
from prefstream.consumer.board.report.surroundings import WatchedStream
from prefstream.consumer.board.store.reading import MinuteFacts
from prefstream.scoring.moments import EPOCH

SHOWN: Final = 60
"""Minutes: what an operator compares now with; the days before are Prometheus' to keep."""

_MINUTE: Final = timedelta(minutes=1)


def first_shown(now: datetime) -> datetime:
    """Where the first of the minutes that are told begins."""
    return _begin_of(_minute_of(now) - SHOWN + 1)


def stream_report(minutes: Sequence[MinuteFacts], watched: WatchedStream, now: datetime, *, ever: bool) -> StreamReport:
    """Tell of the stream.

    Args:
        minutes: those since `first_shown` that had battles, by the preferences' timestamps.
        watched: what is known of it at this moment.
        now: the time.
        ever: whether there was a preference at any time.
    """
    current = _minute_of(now)
    known = {one.minute: one for one in minutes}
    # Of one minute alone, the figure would be a minute late, or jump each time that another one begins.
    recent = sum(known[one].battles for one in (current - 1, current) if one in known)
    span_s = (now - _begin_of(current - 1)).total_seconds()
    return StreamReport(
        now=now,
        minutes=tuple(_told(minute, known.get(minute)) for minute in range(current - SHOWN + 1, current + 1)),
        per_s=recent / span_s if ever else None,
        group=watched.group,
        lag=watched.lag,
        why_no_lag=watched.why_no_lag,
        dead_letters=watched.dead_letters,
        why_no_dead_letters=watched.why_no_dead_letters,
        shadow=watched.shadow,
        why_no_shadow=watched.why_no_shadow,
    )


def _told(minute: int, facts: MinuteFacts | None) -> StreamMinute:
    timed = facts.timed if facts else 0

    def mean(total_s: float) -> float | None:
        return total_s / timed if timed else None

    return StreamMinute(
        at=_begin_of(minute),
        battles=facts.battles if facts else 0,
        latency_p50_s=facts.latency_s(0.5) if facts else None,
        latency_p95_s=facts.latency_s(0.95) if facts else None,
        queue_s=mean(facts.queue_s) if facts else None,
        tokenise_s=mean(facts.tokenise_s) if facts else None,
        inference_s=mean(facts.inference_s) if facts else None,
    )


def _minute_of(moment: datetime) -> int:
    return (moment - EPOCH) // _MINUTE


def _begin_of(minute: int) -> datetime:
    return EPOCH + minute * _MINUTE
