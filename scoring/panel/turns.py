"""When each judge had its turn with a batch, for who wants to know."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TypeAlias

from prefstream.scoring.judges.judge import Judge, JudgeBatch, Scores

OnJudged: TypeAlias = Callable[[str, float, float, str | None], None]
"""Called with a judge's name, when it began and when it ended, in monotonic seconds, and the name of what it raised."""


def turn_of(judge: Judge, part: JudgeBatch, on_judged: OnJudged | None) -> Callable[[], Scores]:
    """What a judge has to do with its part of a batch.

    Args:
        judge: who scores.
        part: what it reads.
        on_judged: told of each attempt, in the judge's thread; None where nobody asks, which costs nothing.
    """
    scoring = functools.partial(judge.score, part)
    return scoring if on_judged is None else functools.partial(_told, judge.name, scoring, on_judged)


def _told(name: str, scoring: Callable[[], Scores], on_judged: OnJudged) -> Scores:
    began, failure = time.monotonic(), None
    try:
        return scoring()
    except Exception as error:
        failure = type(error).__name__
        raise
    finally:
        on_judged(name, began, time.monotonic(), failure)
