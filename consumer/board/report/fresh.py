"""Whether what the board shows is of now: decided here, and nowhere else."""

from __future__ import annotations

from typing import Final

from prefstream.consumer.board.report.payloads import Freshness
from prefstream.consumer.words import counted

BEHIND_S: Final = 30.0
"""A board that takes in what comes is behind for parts of a second; who restarts it waits some seconds."""

UNANSWERED_S: Final = 60.0
"""Judges take seconds for a batch, and a rebalance or a process that starts again up to some ten."""


def freshness(
    *, obstacle: str | None, behind: int | None, behind_s: float, lag: int | None, unanswered_s: float
) -> Freshness:
    """Whether the numbers are of now, and if not, why: the first thing that must be mended.

    A long quiet is no fault: where nothing waits, nothing is missing. Nor is a stream of which nothing is known.

    Args:
        obstacle: why the board does not read; None where it does.
        behind: records on the board's topics that it has not taken in; None where nobody knows.
        behind_s: for how long the oldest of them has been known to wait.
        lag: battles that wait for the stream; None where nobody knows.
        unanswered_s: for how long some have waited and the stream has answered none.
    """
    why = None
    if obstacle is not None:
        why = obstacle
    elif behind and behind_s > BEHIND_S:
        why = f"the board is behind: {counted(behind, 'record')} on its topics not counted yet"
    elif lag and unanswered_s > UNANSWERED_S:
        why = (
            f"the stream answers nothing: {counted(lag, 'battle')} waiting, and none answered for over "
            f"{UNANSWERED_S:.0f} s; is prefstream run at work?"
        )
    return Freshness(ok=why is None, why=why)
