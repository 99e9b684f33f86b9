"""What a run begins with: the tie's offset, and a head of zeros or one that is fitted already."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from prefstream.scoring.finetune.data.pairs import Pairs
from prefstream.scoring.finetune.fitted.head import FittedHead, fit_head
from prefstream.scoring.finetune.recipe import HeadRecipe
from prefstream.scoring.finetune.steps import TrainingPlan
from prefstream.scoring.finetune.trainer import JudgeTrainer
from prefstream.scoring.runtime import is_first_process

_TIE_SHARE_BOUNDS: Final = (0.01, 0.9)
"""Of the share of ties that the first answer assumes: data without ties must not make them impossible for good."""


def begin(
    trainer: JudgeTrainer,
    pairs: Pairs,
    plan: TrainingPlan,
    recipe: HeadRecipe,
    work: Path,
    *,
    say: Callable[[str], None],
    interrupted: Callable[[], bool],
) -> bool:
    """Give the model the head that the recipe begins with.

    Args:
        trainer: before its first step.
        pairs: the training pairs.
        plan: of the run.
        recipe: what the head is to be.
        work: folder of the run, which keeps a fitted head.
        say: told what happens.
        interrupted: asked between passes.

    Returns:
        False where it was interrupted; nothing is kept then.
    """
    if recipe.begin == "zeros":
        return True
    head = FittedHead.read(work) or _fitted(trainer, pairs, plan, recipe, say, interrupted)
    if head is None:
        return False
    if is_first_process():
        head.write(work)
    trainer.begin_with(head)
    return True


def first_tau(pairs: Pairs, plan: TrainingPlan) -> float:
    """Tie's offset with which equal scores give the share of ties in the pairs that can have them.

    Args:
        pairs: the training pairs.
        plan: which of them count, and how much.
    """
    seen = np.concatenate(plan.steps) if plan.steps else np.flatnonzero(plan.weights > 0)
    weights = plan.weights[seen] * pairs.ties_possible[seen]
    if not weights.sum():
        return 0.0
    share = float((weights * pairs.targets[seen, 2]).sum() / weights.sum())
    share = min(max(share, _TIE_SHARE_BOUNDS[0]), _TIE_SHARE_BOUNDS[1])
    return math.log(2 * share / (1 - share))


def _fitted(
    trainer: JudgeTrainer,
    pairs: Pairs,
    plan: TrainingPlan,
    recipe: HeadRecipe,
    say: Callable[[str], None],
    interrupted: Callable[[], bool],
) -> FittedHead | None:
    counting = np.flatnonzero(plan.weights > 0)
    places = np.unique(np.concatenate([pairs.first[counting], pairs.second[counting]]))
    say(f"reading {len(places):,} sequences once, to fit a head to begin with")
    told = 0

    def advanced(done: int, total: int) -> bool:
        nonlocal told
        if (tenths := 10 * done // total) > told:
            told = tenths
            say(f"{10 * tenths} % of the sequences are read")
        return interrupted()

    states = trainer.read_states(pairs, places, advanced)
    if states is None:
        return None
    head = fit_head(states, pairs, plan.weights, recipe.penalties)
    for penalty, loss in head.log_losses.items():
        say(f"penalty {penalty:g}: log loss {loss:.4f} on prompts that were not fitted on")
    say(f"the head begins with penalty {head.penalty:g}")
    return head
