"""What the process knows beside the board's file, for its reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prefstream.consumer.board.report.stream_payloads import DeadLetterCounts, GroupLag, ShadowReport

_UNWATCHED = "this board watches no stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedStream:
    """What is known of the stream now.

    Attributes:
        group: its consumer group; None where no stream is watched.
        lag: battles that wait for it; None where nobody knows.
        why_no_lag: in words; None where there is one.
        unanswered_s: for how long some have waited and none was answered, in seconds.
        dead_letters: of the last day; None where nobody knows.
        why_no_dead_letters: in words; None where they are counted.
        shadow: how a shadow's answers differ; None where none is looked at, or nobody knows.
        why_no_shadow: in words; None where there is one, and where none is to be looked at.
    """

    group: str | None = None
    lag: GroupLag | None = None
    why_no_lag: str | None = _UNWATCHED
    unanswered_s: float = 0.0
    dead_letters: DeadLetterCounts | None = None
    why_no_dead_letters: str | None = _UNWATCHED
    shadow: ShadowReport | None = None
    why_no_shadow: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Asked anew for each report, from several threads. By default nobody knows anything, and nothing is amiss.

    Attributes:
        notice: what whoever runs the board tells who looks at it; None: nothing.
        obstacle: why the board does not read; None where it does.
        behind: records of the topics that are not stored yet; None where nobody knows.
        behind_s: for how long the oldest of them has been known to wait, in seconds.
        stream: what is known of the stream.
    """

    notice: Callable[[], str | None] = lambda: None
    obstacle: Callable[[], str | None] = lambda: None
    behind: Callable[[], int | None] = lambda: None
    behind_s: Callable[[], float] = lambda: 0.0
    stream: Callable[[], WatchedStream] = WatchedStream
