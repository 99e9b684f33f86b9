"""Judges that misbehave when the trap says so: what they do happens in the thread where the panel lets them work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, Literal, get_args

from tests.chaos.inside.trap import Trap

Mischief = Literal["raise", "raise always", "hang", "answer NaN"]
MISCHIEFS: Final[tuple[Mischief, ...]] = get_args(Mischief)

JUDGING: Final = "judging"
"""The point at which the trap is looked at."""

HANG_S: Final = 3_600.0
"""For ever, next to every time-out."""


def spoil_judges(trap: Trap) -> None:
    """Put the point around every judge's work, whatever kind of judge it is."""
    from prefstream.scoring.panel.threads import JudgeThreads

    original = JudgeThreads.submit

    def submit(threads: JudgeThreads, judge: Any, work: Callable[[], Any]) -> Any:
        return original(threads, judge, lambda: _work(trap.reached(JUDGING), judge, work))

    JudgeThreads.submit = submit  # type: ignore[assignment,method-assign]


def _work(mischief: str | None, judge: Any, work: Callable[[], Any]) -> Any:
    # By what it has: the class that has it is one of torch's, which a process without such judges never loads.
    forward = getattr(judge, "_source", None)
    match mischief:
        case "raise" | "raise always":
            raise RuntimeError("told to raise")
        case "hang":
            time.sleep(HANG_S)
        case "answer NaN" if hasattr(forward, "_pass"):
            with _nan_passes(forward):
                return work()
        case "answer NaN":
            scores = work()
            return replace(scores, probabilities=scores.probabilities * float("nan"))
    return work()


@contextmanager
def _nan_passes(forward: Any) -> Iterator[None]:
    """A model whose every logit is no number, for one piece of work."""
    original = forward._pass
    forward._pass = lambda *arguments: original(*arguments) * float("nan")
    try:
        yield
    finally:
        del forward._pass
