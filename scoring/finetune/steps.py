"""Which pairs go into which optimiser step, with what weight, in which backward passes: planned before the run starts.

The plan is a function of data, recipe and seed, so a run that goes on after an interruption meets the same steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.errors import ConfigError
from prefstream.scoring.finetune.data.pairs import Pairs
from prefstream.scoring.finetune.recipe import DataRecipe, StageRecipe, StepRecipe

_MAX_BALANCE: Final = 5.0
"""Bound of the factor that balances lengths: where nearly every longer answer wins, the few others would otherwise
decide alone."""


_TIE_SHARE_BOUNDS: Final = (0.01, 0.9)
"""Of the share of ties that the first answer assumes: data without ties must not make them impossible for good."""


@dataclass(frozen=True, slots=True)
class BackwardPass:
    """Pairs that share one backward pass.

    Attributes:
        sequences: positions in `Pairs.sequences`, each once.
        pairs: positions in `Pairs`.
        weights: of those pairs, as shares of the whole step.
    """

    sequences: NDArray[np.int64]
    pairs: NDArray[np.int64]
    weights: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """All optimiser steps of a run.

    Attributes:
        steps: each a list of pairs.
        weights: of every pair of the data; 0 for those that no stage takes.
    """

    steps: Sequence[NDArray[np.int64]]
    weights: NDArray[np.float64]

    @property
    def pairs_seen(self) -> int:
        """Pairs of all steps, repetitions included."""
        return sum(map(len, self.steps))


def plan_steps(
    pairs: Pairs, data: DataRecipe, step: StepRecipe, *, seed: int, max_steps: int | None = None
) -> TrainingPlan:
    """Plan a run.

    Args:
        pairs: the training data.
        data: stages, weights, balance.
        step: how much goes into a step.
        seed: of the order.
        max_steps: only the first so many.

    Raises:
        ConfigError: a tier or source that the recipe names is not in the data, or a stage takes no pair that counts.
    """
    if unknown := unknown_names(data, set(pairs.tiers.tolist()) - {""}, set(pairs.sources.tolist()) - {""}):
        raise ConfigError("recipe", unknown)
    weights = pair_weights(pairs, data)
    generator = np.random.default_rng(seed)
    steps: list[NDArray[np.int64]] = []
    for number, stage in enumerate(data.stages):
        chosen = np.flatnonzero(_selected(pairs, stage) & (weights > 0))
        if not chosen.size:
            error = f"data.stages[{number}]: takes none of the {len(pairs):,} pairs that count"
            raise ConfigError("recipe", (error,))
        left = stage.epochs
        while left > 0:
            groups = _groups(pairs, chosen, step.prompt_pairs, generator)
            steps += _fill(groups, weights, step.weight, share=min(left, 1.0))
            left -= 1.0
    return TrainingPlan(steps[:max_steps], weights)


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


def step_tokens(pairs: Pairs, plan: TrainingPlan) -> NDArray[np.int64]:
    """Tokens of each step's distinct sequences: about what it costs.

    A sequence that several backward passes of a step share is read in each, and counts once here.
    """
    lengths = np.array([len(sequence) for sequence in pairs.sequences], dtype=np.int64)
    ends = [np.unique(np.concatenate([pairs.first[step], pairs.second[step]])) for step in plan.steps]
    return np.array([lengths[places].sum() for places in ends], dtype=np.int64)


def pair_weights(pairs: Pairs, data: DataRecipe) -> NDArray[np.float64]:
    """How much each pair counts.

    The row's own weight, times those of its tier and source, times its prompt's (a pair on a prompt with n pairs
    counts n to the power of minus `prompt_exponent`), times `shorter_won` where the shorter answer won, or the balance
    of lengths over its source. Pairs that no stage takes weigh nothing, and nothing in that balance.
    """
    taken = np.any([_selected(pairs, stage) for stage in data.stages], axis=0)
    weights = np.where(taken, pairs.weights, 0.0)
    for name, factor in data.weights.items():
        weights[(pairs.tiers == name) | (pairs.sources == name)] *= factor
    if len(pairs):
        weights *= np.bincount(pairs.prompts)[pairs.prompts] ** -data.prompt_exponent
    weights[_longer_wins(pairs) < 0] *= data.shorter_won
    if data.balance_length == "data":
        for source in np.unique(pairs.sources):
            of_source = np.flatnonzero(pairs.sources == source)
            weights[of_source] *= length_balance(pairs, of_source, weights[of_source])
    return weights


def length_balance(pairs: Pairs, chosen: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factors after which the longer answer wins half of the decided weight among these pairs.

    Ties, pairs of equal length, and a group in which only one side ever wins keep a factor of 1.
    """
    factors = np.ones(len(chosen))
    longer_wins = _longer_wins(pairs)[chosen]
    long, short = longer_wins > 0, longer_wins < 0
    heavy, light = weights[long].sum(), weights[short].sum()
    if heavy > 0 and light > 0:
        factors[long] = min(_MAX_BALANCE, (heavy + light) / 2 / heavy)
        factors[short] = min(_MAX_BALANCE, (heavy + light) / 2 / light)
    return factors


def longer_win_rate(pairs: Pairs, weights: NDArray[np.float64]) -> float | None:
    """Weighted share of decided pairs of unequal length that the longer answer wins, 0 to 1; None without any."""
    longer_wins = _longer_wins(pairs)
    decided = weights[longer_wins != 0].sum()
    return float(weights[longer_wins > 0].sum() / decided) if decided > 0 else None


def micro_batches(
    pairs: Pairs, chosen: NDArray[np.int64], weights: NDArray[np.float64], *, tokens: int
) -> list[BackwardPass]:
    """Split a step into backward passes, those with the most tokens in a pair first.

    Pairs that share a sequence follow each other, so it is read once for all of them where the bound allows.

    Args:
        pairs: the data.
        chosen: the step's pairs.
        weights: of these pairs; the shares returned sum to 1 over the step.
        tokens: of the distinct sequences of one backward pass; a pair that has more goes alone.
    """
    shares = weights / weights.sum()
    batches: list[BackwardPass] = []
    taken: list[int] = []
    sequences: dict[int, None] = {}
    for place in _longest_prompts_first(pairs, chosen):
        ends = dict.fromkeys((int(pairs.first[chosen[place]]), int(pairs.second[chosen[place]])))
        together = {**sequences, **ends}
        if taken and sum(len(pairs.sequences[end]) for end in together) > tokens:
            batches.append(_micro_batch(sequences, chosen, shares, taken))
            taken, together = [], ends
        taken.append(place)
        sequences = together
    if taken:
        batches.append(_micro_batch(sequences, chosen, shares, taken))
    return batches


def _micro_batch(
    sequences: dict[int, None], chosen: NDArray[np.int64], shares: NDArray[np.float64], taken: list[int]
) -> BackwardPass:
    return BackwardPass(np.array(list(sequences), dtype=np.int64), chosen[taken], shares[taken])


def _longest_prompts_first(pairs: Pairs, chosen: NDArray[np.int64]) -> list[int]:
    """Places in `chosen`: a prompt's pairs stay together, in their order."""
    prompts = pairs.prompts[chosen].tolist()
    longest: dict[int, int] = {}
    for prompt, pair in zip(prompts, chosen.tolist(), strict=True):
        length = max(len(pairs.sequences[pairs.first[pair]]), len(pairs.sequences[pairs.second[pair]]))
        longest[prompt] = max(longest.get(prompt, 0), length)
    return sorted(range(len(chosen)), key=lambda place: (-longest[prompts[place]], prompts[place], place))


def _longer_wins(pairs: Pairs) -> NDArray[np.int64]:
    """1 where the longer answer won, -1 where the shorter did, 0 for ties and equal lengths."""
    winner = np.array([1, -1, 0])[pairs.outcomes]
    return winner * pairs.longer


def unknown_names(data: DataRecipe, tiers: set[str], sources: set[str]) -> tuple[str, ...]:
    """What a recipe names that the data doesn't have, one line each: it would leave pairs out, or weigh none, unsaid.

    Args:
        data: of the recipe.
        tiers: of the data.
        sources: of the data.
    """
    asked: list[tuple[str, Iterable[str], set[str]]] = [("data.weights", data.weights, tiers | sources)]
    for number, stage in enumerate(data.stages):
        asked.append((f"data.stages[{number}].tiers", stage.tiers, tiers))
        asked.append((f"data.stages[{number}].sources", stage.sources, sources))
    return tuple(
        f"{place}: no pair has {name}; there are {', '.join(sorted(known)) or 'none'}"
        for place, names, known in asked
        for name in names
        if name not in known
    )


def _selected(pairs: Pairs, stage: StageRecipe) -> NDArray[np.bool_]:
    selected = np.ones(len(pairs), dtype=np.bool_)
    if stage.tiers:
        selected &= np.isin(pairs.tiers, stage.tiers)
    if stage.sources:
        selected &= np.isin(pairs.sources, stage.sources)
    if stage.max_length_ratio is not None:
        selected &= pairs.length_ratio <= stage.max_length_ratio
    return selected


def _groups(
    pairs: Pairs, chosen: NDArray[np.int64], most: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Pairs on one prompt, at most `most` of them, those that share answers together; in random order."""
    by_prompt: dict[int, list[int]] = {}
    for pair in chosen.tolist():
        by_prompt.setdefault(int(pairs.prompts[pair]), []).append(pair)
    groups: list[NDArray[np.int64]] = []
    for members in by_prompt.values():
        ordered = np.array(_answers_together(pairs, members, generator), dtype=np.int64)
        groups += np.array_split(ordered, math.ceil(len(ordered) / most))
    return [groups[place] for place in generator.permutation(len(groups))]


def _answers_together(pairs: Pairs, members: list[int], generator: np.random.Generator) -> list[int]:
    """Number the prompt's answers at random; pairs follow by the higher number of their two answers."""
    answers = sorted({int(end) for pair in members for end in (pairs.first[pair], pairs.second[pair])})
    number = dict(zip(answers, generator.permutation(len(answers)).tolist(), strict=True))

    def key(pair: int) -> tuple[int, int]:
        one, other = number[int(pairs.first[pair])], number[int(pairs.second[pair])]
        return max(one, other), min(one, other)

    return sorted(members, key=key)


def _fill(
    groups: Sequence[NDArray[np.int64]], weights: NDArray[np.float64], step_weight: float, *, share: float
) -> list[NDArray[np.int64]]:
    """Put groups into steps until each weighs enough; a rest that weighs less than half goes to the step before it."""
    steps: list[list[NDArray[np.int64]]] = [[]]
    weight = 0.0
    for group in groups[: math.ceil(len(groups) * share)]:
        steps[-1].append(group)
        weight += float(weights[group].sum())
        if weight >= step_weight:
            steps.append([])
            weight = 0.0
    rest = steps.pop()
    if rest and steps and weight < step_weight / 2:
        steps[-1] += rest
    elif rest:
        steps.append(rest)
    return [np.concatenate(step) for step in steps]
