"""A run begins with a head that is fitted, unless it was interrupted and has one already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.finetune.data.pairs import Pairs
from prefstream.scoring.finetune.fitted.convex import Vector
from prefstream.scoring.finetune.fitted.head import FittedHead, fit_head
from prefstream.scoring.finetune.fitted.kept_states import drop_states
from prefstream.scoring.runtime import is_first_process


class Beginner(Protocol):
    """Who is about to be trained, as far as a head to begin with is concerned."""

    def read_states(
        self, pairs: Pairs, places: NDArray[np.int64], work: Path, on_progress: Callable[[int, int], bool]
    ) -> NDArray[np.float32] | None:
        """What the head reads of sequences, by the base as it is, kept in `work`; None where `on_progress` ended it."""

    def begin_with(self, head: FittedHead) -> None:
        """Take a head."""


def begin_with_fitted_head(
    beginner: Beginner,
    pairs: Pairs,
    weights: Vector,
    penalties: Sequence[float],
    work: Path,
    *,
    say: Callable[[str], None],
    interrupted: Callable[[], bool],
) -> bool:
    """Give who is about to be trained a head that is fitted.

    Args:
        beginner: before its first step.
        pairs: the training pairs.
        weights: how much each counts.
        penalties: to choose from.
        work: folder of the run, which keeps the head.
        say: told what happens.
        interrupted: asked between passes.

    Returns:
        False where it was interrupted; what was read is kept then.
    """
    head = FittedHead.read(work)
    if head is None:
        head = _fitted(beginner, pairs, weights, penalties, work, say, interrupted)
        if head is None:
            return False
        if is_first_process():
            head.write(work)
            drop_states(work)
    beginner.begin_with(head)
    return True


def _fitted(
    beginner: Beginner,
    pairs: Pairs,
    weights: Vector,
    penalties: Sequence[float],
    work: Path,
    say: Callable[[str], None],
    interrupted: Callable[[], bool],
) -> FittedHead | None:
    counting = np.flatnonzero(weights > 0)
    places = np.unique(np.concatenate([pairs.first[counting], pairs.second[counting]]))
    say(f"reading {len(places):,} sequences once, to fit a head to begin with")
    told: int | None = None

    def advanced(done: int, total: int) -> bool:
        nonlocal told
        if told is None:
            told = 10 * done // total
            if done:
                say(f"going on: {done:,} of {total:,} passes are done")
        if (tenths := 10 * done // total) > told:
            told = tenths
            say(f"{10 * tenths} % of the sequences are read")
        return interrupted()

    states = beginner.read_states(pairs, places, work, advanced)
    if states is None:
        return None
    head = fit_head(states, pairs, weights, penalties)
    for penalty, loss in head.log_losses.items():
        say(f"penalty {penalty:g}: log loss {loss:.4f} on prompts that were not fitted on")
    say(f"the head begins with penalty {head.penalty:g}")
    return head
