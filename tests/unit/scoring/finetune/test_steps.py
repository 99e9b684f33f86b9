"""The plan of a run: every pair where and as often as the recipe says, the same again for the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prefstream.scoring.errors import ConfigError
from prefstream.scoring.finetune.data.pairs import Pairs
from prefstream.scoring.finetune.recipe import DataRecipe, StageRecipe, StepRecipe
from prefstream.scoring.finetune.steps import (
    TrainingPlan,
    length_balance,
    longer_win_rate,
    micro_batches,
    pair_weights,
    plan_steps,
    step_tokens,
)
from tests.support.labelled_pairs import make_pairs, with_names

STEP = StepRecipe(weight=4.0, prompt_pairs=3)

few = settings(max_examples=40)
"""Each example plans a whole run."""


@st.composite
def some_pairs(draw: st.DrawFn) -> Pairs:
    """Pairs on few or many prompts, of all outcomes and lengths, some with answers in common."""
    count = draw(st.integers(1, 60))
    some = np.random.default_rng(draw(st.integers(0, 1000)))  # columns drawn one by one would take seconds
    pairs = make_pairs(
        count,
        prompts=some.integers(0, draw(st.integers(1, 13)), count).tolist(),
        outcomes=some.integers(0, 3, count).tolist(),
        longer=some.integers(-1, 2, count).tolist(),
        lengths=some.integers(1, 51, 2 * count).tolist(),
        shared=draw(st.booleans()),
    )
    return replace(pairs, weights=some.uniform(0.1, 3.0, count))


def as_lists(steps: Sequence[NDArray[np.int64]]) -> list[list[int]]:
    return [step.tolist() for step in steps]


# The plan.


@few
@given(pairs=some_pairs(), seed=st.integers(0, 5), epochs=st.sampled_from([0.3, 1.0, 2.0, 2.5]))
def test_the_same_seed_gives_the_same_plan(pairs: Pairs, seed: int, epochs: float) -> None:
    data = DataRecipe(stages=(StageRecipe(epochs=epochs),))
    first, again = (plan_steps(pairs, data, STEP, seed=seed) for _ in range(2))
    assert as_lists(first.steps) == as_lists(again.steps)
    assert first.weights.tolist() == again.weights.tolist()


def test_another_seed_gives_another_order() -> None:
    pairs = make_pairs(50)
    assert as_lists(plan_steps(pairs, DataRecipe(), STEP, seed=0).steps) != as_lists(
        plan_steps(pairs, DataRecipe(), STEP, seed=1).steps
    )


@few
@given(pairs=some_pairs(), seed=st.integers(0, 5), exponent=st.sampled_from([0.0, 0.5, 1.0]))
def test_an_epoch_holds_every_pair_once(pairs: Pairs, seed: int, exponent: float) -> None:
    plan = plan_steps(pairs, DataRecipe(prompt_exponent=exponent), STEP, seed=seed)
    assert Counter(np.concatenate(plan.steps).tolist()) == Counter(range(len(pairs)))
    assert plan.pairs_seen == len(pairs)


def test_a_rest_that_weighs_less_than_half_a_step_goes_to_the_step_before_it() -> None:
    counts = {
        count: [len(step) for step in plan_steps(make_pairs(count), DataRecipe(), STEP, seed=0).steps]
        for count in (1, 4, 5, 6, 8, 9)
    }
    assert counts == {1: [1], 4: [4], 5: [5], 6: [4, 2], 8: [4, 4], 9: [4, 5]}


def test_a_try_is_the_beginning_of_the_run() -> None:
    whole, tried = (plan_steps(make_pairs(20), DataRecipe(), STEP, seed=0, max_steps=most) for most in (None, 2))
    assert as_lists(tried.steps) == as_lists(whole.steps)[:2]


def test_pairs_that_no_stage_takes_weigh_nothing() -> None:
    pairs = with_names(make_pairs(4), tiers=["core", "arena", "core", "arena"])
    plan = plan_steps(pairs, DataRecipe(stages=(StageRecipe(tiers=("core",)),)), STEP, seed=0)
    assert plan.weights.tolist() == [1.0, 0.0, 1.0, 0.0]


@few
@given(pairs=some_pairs(), seed=st.integers(0, 5))
def test_a_second_epoch_follows_the_first_and_holds_every_pair_at_most_once(pairs: Pairs, seed: int) -> None:
    one, two = (
        as_lists(plan_steps(pairs, DataRecipe(stages=(StageRecipe(epochs=epochs),)), STEP, seed=seed).steps)
        for epochs in (1.0, 2.0)
    )
    assert two[: len(one)] == one
    second = [pair for step in two[len(one) :] for pair in step]
    assert len(set(second)) == len(second)
    assert second


@few
@given(pairs=some_pairs(), seed=st.integers(0, 5), epochs=st.floats(0.01, 0.99))
def test_data_always_make_a_step(pairs: Pairs, seed: int, epochs: float) -> None:
    plan = plan_steps(pairs, DataRecipe(stages=(StageRecipe(epochs=epochs),)), STEP, seed=seed)
    assert plan.steps
    assert all(len(step) for step in plan.steps)
    assert len(set(np.concatenate(plan.steps).tolist())) == plan.pairs_seen


@few
@given(pairs=some_pairs(), seed=st.integers(0, 5))
def test_steps_weigh_enough_and_no_more_than_a_group_over(pairs: Pairs, seed: int) -> None:
    plan = plan_steps(pairs, DataRecipe(prompt_exponent=0.0), STEP, seed=seed)
    *full, last = [plan.weights[step].sum() for step in plan.steps]
    most_of_a_group = STEP.prompt_pairs * pairs.weights.max()
    assert all(STEP.weight <= weight < STEP.weight + most_of_a_group for weight in full)
    assert last >= STEP.weight / 2 or not full


def test_a_part_of_an_epoch_is_a_part_of_the_prompts() -> None:
    pairs = make_pairs(100, prompts=[number // 2 for number in range(100)])
    plan = plan_steps(pairs, DataRecipe(stages=(StageRecipe(epochs=0.4),), prompt_exponent=0), STEP, seed=0)
    seen = Counter(pairs.prompts[np.concatenate(plan.steps)].tolist())
    assert len(seen) == 20
    assert set(seen.values()) == {2}


def test_pairs_on_one_prompt_share_a_step_up_to_a_number() -> None:
    pairs = make_pairs(20, prompts=[0] * 7 + list(range(1, 14)))
    one_group_a_step = StepRecipe(weight=0.5, prompt_pairs=3)
    plan = plan_steps(pairs, DataRecipe(prompt_exponent=0), one_group_a_step, seed=0)
    assert all(len(set(pairs.prompts[step].tolist())) == 1 for step in plan.steps)
    assert sorted(map(len, plan.steps)) == [1] * 13 + [2, 2, 3]


def test_stages_follow_each_other_and_take_what_they_name() -> None:
    pairs = with_names(make_pairs(40), tiers=["core", "arena"] * 20, sources=["x"] * 20 + ["y"] * 20)
    stages = (StageRecipe(tiers=("arena",)), StageRecipe(tiers=("core",), sources=("y",)))
    plan = plan_steps(pairs, DataRecipe(stages=stages), STEP, seed=0)
    tiers = [set(pairs.tiers[step].tolist()) for step in plan.steps]
    assert tiers == [{"arena"}] * 5 + [{"core"}] * 3  # of 10 pairs: 4, 4 and a rest of 2
    assert set(pairs.sources[np.concatenate(plan.steps[5:])].tolist()) == {"y"}


def test_pairs_of_weight_0_are_in_no_step() -> None:
    pairs = replace(make_pairs(20), weights=np.array([0.0, 1.0] * 10))
    plan = plan_steps(pairs, DataRecipe(), STEP, seed=0)
    assert set(np.concatenate(plan.steps).tolist()) == set(range(1, 20, 2))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (DataRecipe(stages=(StageRecipe(), StageRecipe(tiers=("cor",)))), r"stages\[1\]\.tiers: no pair has cor;"),
        (DataRecipe(stages=(StageRecipe(tiers=("core", "aren")),)), r"stages\[0\]\.tiers: no pair has aren;"),
        (DataRecipe(stages=(StageRecipe(sources=("z",)),)), r"stages\[0\]\.sources: no pair has z; there are x"),
        (DataRecipe(weights={"cores": 2.0}), r"data\.weights: no pair has cores; there are arena, core, x"),
    ],
)
def test_a_name_that_the_data_lack_is_an_error(data: DataRecipe, fault: str) -> None:
    pairs = with_names(make_pairs(4), tiers=["core", "arena"] * 2, sources=["x"] * 4)
    with pytest.raises(ConfigError, match=fault):
        plan_steps(pairs, data, STEP, seed=0)


def test_a_stage_without_a_pair_that_counts_is_an_error() -> None:
    pairs = with_names(make_pairs(4), tiers=["core", "arena"] * 2)
    data = DataRecipe(stages=(StageRecipe(), StageRecipe(tiers=("core",))), weights={"core": 0.0})
    with pytest.raises(ConfigError, match=r"data\.stages\[1\]: takes none of the 4 pairs that count"):
        plan_steps(pairs, data, STEP, seed=0)


# Weights.


def test_weights_multiply_those_of_row_tier_and_source() -> None:
    pairs = with_names(make_pairs(3), tiers=["core", "arena", "core"], sources=["x", "x", "y"])
    pairs = replace(pairs, weights=np.array([1.0, 2.0, 3.0]))
    weights = pair_weights(pairs, DataRecipe(weights={"core": 0.5, "x": 3.0}))
    assert weights.tolist() == [1.5, 6.0, 1.5]


def test_a_name_of_both_tier_and_source_counts_once() -> None:
    pairs = with_names(make_pairs(1), tiers=["arena"], sources=["arena"])
    assert pair_weights(pairs, DataRecipe(weights={"arena": 3.0})).tolist() == [3.0]


@pytest.mark.parametrize(("exponent", "prompt_weight"), [(0.0, 4.0), (0.5, 2.0), (1.0, 1.0)])
def test_a_prompt_of_four_pairs_counts_by_the_exponent(exponent: float, prompt_weight: float) -> None:
    pairs = make_pairs(5, prompts=[0, 0, 0, 0, 1])
    weights = pair_weights(pairs, DataRecipe(prompt_exponent=exponent))
    assert weights[:4].sum() == pytest.approx(prompt_weight)
    assert weights[4] == 1.0


# Lengths.


def long_wins(pairs: Pairs, chosen: NDArray[np.int64], weights: NDArray[np.float64]) -> tuple[float, float]:
    """Weight of the pairs that the longer answer wins, and of those that the shorter one does."""
    winner = np.array([1, -1, 0])[pairs.outcomes[chosen]] * pairs.longer[chosen]
    return float(weights[winner > 0].sum()), float(weights[winner < 0].sum())


@few
@given(pairs=some_pairs())
def test_within_its_bound_the_balance_makes_longer_answers_win_half(pairs: Pairs) -> None:
    everything = np.arange(len(pairs))
    factors = length_balance(pairs, everything, pairs.weights)
    assert ((factors > 0) & (factors <= 5)).all()
    long, short = long_wins(pairs, everything, pairs.weights * factors)
    if long and short and factors.max() < 5:
        assert long == pytest.approx(short)
        assert long + short == pytest.approx(sum(long_wins(pairs, everything, pairs.weights)))
    if not (long and short):
        assert (factors == 1).all()


def test_ties_and_equal_lengths_keep_their_weight() -> None:
    pairs = make_pairs(5, outcomes=[0, 0, 1, 2, 0], longer=[1, 1, 1, 1, 0])
    factors = length_balance(pairs, np.arange(5), np.ones(5))
    assert factors.tolist() == pytest.approx([0.75, 0.75, 1.5, 1, 1])


def test_the_bound_keeps_one_pair_from_deciding_alone() -> None:
    pairs = make_pairs(100, outcomes=[0] * 99 + [1])
    assert length_balance(pairs, np.arange(100), np.ones(100))[99] == 5


def test_lengths_are_balanced_within_each_source() -> None:
    pairs = with_names(make_pairs(12, outcomes=[0, 0, 1] * 2 + [0, 1, 1] * 2), sources=["x"] * 6 + ["y"] * 6)
    weights = pair_weights(pairs, DataRecipe(balance_length="data", prompt_exponent=0.5))
    for source in ("x", "y"):
        there = np.where(pairs.sources == source, weights, 0.0)
        assert longer_win_rate(pairs, there) == pytest.approx(0.5)
    assert longer_win_rate(pairs, pairs.weights) == 0.5  # of all together it was half before


def test_the_rate_is_unknown_without_decided_pairs() -> None:
    assert longer_win_rate(make_pairs(3, outcomes=[2, 2, 2]), np.ones(3)) is None


def test_pairs_that_the_shorter_answer_won_weigh_more() -> None:
    pairs = make_pairs(5, outcomes=[0, 1, 2, 0, 1], longer=[1, 1, 1, -1, 0])
    assert pair_weights(pairs, DataRecipe(shorter_won=2.0)).tolist() == [1, 2, 1, 2, 1]


def test_a_stage_takes_pairs_of_like_length_alone() -> None:
    pairs = replace(make_pairs(4), characters=np.array([[100, 130], [130, 100], [100, 131], [0, 5]]))
    data = DataRecipe(stages=(StageRecipe(max_length_ratio=1.3),))
    plan = plan_steps(pairs, data, STEP, seed=0)
    assert sorted(np.concatenate(plan.steps).tolist()) == [0, 1]
    assert plan.weights.tolist() == [1, 1, 0, 0]


def test_lengths_are_balanced_among_the_pairs_that_are_trained_on() -> None:
    pairs = with_names(make_pairs(8, outcomes=[0, 0, 0, 1] + [1] * 4), tiers=["core"] * 4 + ["aux"] * 4)
    data = DataRecipe(stages=(StageRecipe(tiers=("core",)),), balance_length="data")
    weights = pair_weights(pairs, data)
    assert longer_win_rate(pairs, weights) == pytest.approx(0.5)
    assert weights[4:].tolist() == [0, 0, 0, 0]


def test_a_stage_takes_sources_of_several_tiers_whether_they_know_ties_or_not() -> None:
    """Pairs on one prompt stay together, and those of a source that is weighed down fill fewer steps."""
    pairs = with_names(
        make_pairs(12, prompts=[0, 0, 0, 1, 1, 1] * 2, shared=True),
        tiers=["core"] * 6 + ["aux"] * 6,
        sources=["crowd"] * 6 + ["right_or_wrong"] * 3 + ["another"] * 3,
    )
    pairs = replace(pairs, ties_possible=pairs.tiers == "core")
    stage = StageRecipe(sources=("crowd", "right_or_wrong"))
    data = DataRecipe(stages=(stage,), weights={"right_or_wrong": 0.5}, prompt_exponent=0.0)
    plan = plan_steps(pairs, data, STEP, seed=0)
    assert sorted(np.concatenate(plan.steps).tolist()) == list(range(9))
    assert plan.weights.tolist() == [1.0] * 6 + [0.5] * 3 + [0.0] * 3
    for step in plan.steps:
        prompts = pairs.prompts[step]
        assert (np.diff(prompts) != 0).sum() == len(set(prompts.tolist())) - 1


# What it costs.


def test_a_step_costs_the_tokens_of_its_distinct_sequences() -> None:
    pairs = make_pairs(3, prompts=[0, 0, 1], lengths=[10, 20, 99, 30, 40, 50], shared=True)
    plan = TrainingPlan([np.array([0, 1]), np.array([2])], np.ones(3))
    assert step_tokens(pairs, plan).tolist() == [60, 90]


# Backward passes.


@few
@given(pairs=some_pairs(), tokens=st.integers(1, 400), seed=st.integers(0, 100))
def test_micro_batches_hold_every_pair_once_within_their_tokens(pairs: Pairs, tokens: int, seed: int) -> None:
    chosen = np.random.default_rng(seed).permutation(len(pairs))[: 1 + seed % len(pairs)]
    weights = pairs.weights[chosen]
    planned = micro_batches(pairs, chosen, weights, tokens=tokens)
    assert sorted(np.concatenate([one.pairs for one in planned]).tolist()) == sorted(chosen.tolist())
    assert sum(one.weights.sum() for one in planned) == pytest.approx(1.0)
    share = dict(zip(chosen.tolist(), weights / weights.sum(), strict=True))
    for one in planned:
        assert [share[pair] for pair in one.pairs.tolist()] == pytest.approx(one.weights.tolist())
        ends = {*pairs.first[one.pairs].tolist(), *pairs.second[one.pairs].tolist()}
        assert sorted(one.sequences.tolist()) == sorted(ends)
        assert sum(len(pairs.sequences[end]) for end in ends) <= tokens or len(one.pairs) == 1


def test_the_prompts_with_the_longest_sequences_come_first() -> None:
    """What does not fit into memory shows at once."""
    pairs = make_pairs(6, lengths=[5, 5, 90, 9, 20, 20, 70, 1, 3, 3, 50, 50])
    planned = micro_batches(pairs, np.arange(6), np.ones(6), tokens=1)
    longest = [max(len(pairs.sequences[end]) for end in one.sequences) for one in planned]
    assert all(first >= second for first, second in pairwise(longest))


def test_an_answer_in_common_is_read_once_in_a_pass() -> None:
    pairs = make_pairs(4, prompts=[0, 0, 0, 0], shared=True)
    [planned] = micro_batches(pairs, np.arange(4), np.ones(4), tokens=50)
    assert len(planned.sequences) == 5
