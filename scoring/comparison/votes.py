"""Both sides held against what people said, vote by vote: which is better, or how many votes are missing to tell."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.comparison.results import Mood, VotedComparison
from prefstream.scoring.evaluation import metrics
from prefstream.scoring.evaluation.bootstrap import DEFAULT_RESAMPLES, DEFAULT_SEED, Estimate, Resamples
from prefstream.scoring.evaluation.paired import compare_paired
from prefstream.scoring.probabilities import Triples, log_losses

MIN_PROMPTS: Final = 20
"""With fewer, intervals by resampling are much too narrow to build a sentence on."""

MOST_VOTES: Final = 1_000_000_000
"""More than these are told as none: who needs so many compares things that are the same."""

_Z_ENDS: Final = 1.959963984540054
"""Of the normal distribution, so that 5 % lie outside both ends."""

_Z_POWER: Final = 0.8416212335729143
"""80 % lie below it."""


def hold_against_votes(
    left: Triples,
    right: Triples,
    outcomes: NDArray[np.intp],
    prompts: Sequence[Hashable],
    *,
    battles: int,
    left_name: str,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = DEFAULT_SEED,
) -> VotedComparison:
    """Which of two answers people bear out.

    Args:
        left: shape (n, 3), n > 0: of each vote, what the left side said of its battle.
        right: likewise.
        outcomes: the column of each vote.
        prompts: what tells each vote's prompt from others: votes of one are drawn together.
        battles: how many they are about.
        left_name: of the left side.
        resamples: draws for the intervals.
        seed: of the draws.
    """
    draws = Resamples(prompts, resamples=resamples, seed=seed)
    single = draws.estimate(
        {
            f"{side}_{name}": metric(said, outcomes)
            for side, said in (("left", left), ("right", right))
            for name, metric in (("log_loss", metrics.log_loss), ("accuracy", metrics.accuracy))
        }
    )
    compared = compare_paired(right, left, outcomes, draws, baseline=left_name)
    mood = _mood(compared.log_loss, draws.prompts)
    votes = np.arange(len(outcomes))
    costs = log_losses(right)[votes, outcomes] - log_losses(left)[votes, outcomes]
    return VotedComparison(
        votes=len(outcomes),
        battles=battles,
        prompts=draws.prompts,
        comparison=compared,
        mood=mood,
        more_votes=_more_votes(costs, prompts) if mood == "open" else None,
        **single,
    )


def votes_needed(differences: NDArray[np.float64], prompts: Sequence[Hashable]) -> float:
    """How many votes tell a mean difference of this size from none.

    So many that a two-sided test at 5 % finds it in 8 of 10 cases: ((z(.975) + z(.8)) s / d)^2, where d is the mean of
    the paired differences and s^2 the variance that a vote brings into it. That is the size of a sample for paired
    means (Lachin 1981, "Introduction to sample size determination and power analysis for clinical trials", Controlled
    Clinical Trials 2, 93-113; for evaluations of language models, with errors clustered by prompt as here, Miller
    2024, "Adding error bars to evals", arXiv 2411.00640). That d is what it seems to be is assumed: it is known no
    better than its interval says, and so is the number.

    Args:
        differences: one per vote, at least one.
        prompts: what tells each vote's prompt from others.

    Returns:
        Votes in all, those at hand among them; infinite where the mean is 0, or nothing can be said of its variance.
    """
    numbers: dict[Hashable, int] = {}
    prompt_of = np.array([numbers.setdefault(prompt, len(numbers)) for prompt in prompts], dtype=np.intp)
    centre = float(differences.mean())
    if centre == 0.0 or len(numbers) < 2:
        return math.inf
    sums = np.bincount(prompt_of, differences - centre)
    variance = float((sums**2).sum()) / len(differences) * len(numbers) / (len(numbers) - 1)
    return ((_Z_ENDS + _Z_POWER) / centre) ** 2 * variance


def _mood(gap: Estimate, prompts: int) -> Mood:
    if prompts < MIN_PROMPTS or gap.value is None or not gap.excludes_zero:
        return "open"
    return "better" if gap.value < 0 else "worse"


def _more_votes(differences: NDArray[np.float64], prompts: Sequence[Hashable]) -> int | None:
    needed = votes_needed(differences, prompts)
    if not needed < MOST_VOTES:
        return None
    return max(1, math.ceil(needed) - len(differences))
