"""Micro-batches: every sequence once, within the budget, longest first."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.scoring.errors import ConfigError
from prefstream.scoring.judges.microbatch import PACKED_SPREAD, MicroBatch, pack_micro_batches, plan_micro_batches

LENGTHS = st.lists(st.integers(min_value=0, max_value=3000), max_size=200)
BUDGETS = st.integers(min_value=1, max_value=5000)
BOUNDS = st.none() | st.integers(min_value=1, max_value=20)


@given(lengths=LENGTHS, budget=BUDGETS, bound=BOUNDS)
def test_every_sequence_stands_in_exactly_one_micro_batch(lengths: list[int], budget: int, bound: int | None) -> None:
    plan = plan_micro_batches(lengths, padded_tokens=budget, max_sequences=bound)
    assert sorted(index for batch in plan for index in batch.indices) == list(range(len(lengths)))


@given(lengths=LENGTHS, budget=BUDGETS, bound=BOUNDS)
def test_only_a_single_sequence_may_exceed_the_budget(lengths: list[int], budget: int, bound: int | None) -> None:
    for batch in plan_micro_batches(lengths, padded_tokens=budget, max_sequences=bound):
        assert batch.width == max(lengths[index] for index in batch.indices)
        assert batch.padded_tokens <= budget or len(batch.indices) == 1
        assert bound is None or len(batch.indices) <= bound


@given(lengths=LENGTHS, budget=BUDGETS)
def test_the_longest_come_first_and_equals_keep_their_order(lengths: list[int], budget: int) -> None:
    plan = plan_micro_batches(lengths, padded_tokens=budget)
    order = [index for batch in plan for index in batch.indices]
    assert order == sorted(order, key=lambda index: (-lengths[index], index))


@given(
    lengths=st.lists(st.integers(min_value=1, max_value=40), max_size=9),  # an empty one takes up a token of the budget
    budget=st.integers(min_value=1, max_value=120),
    bound=st.none() | st.integers(min_value=1, max_value=4),
    pass_cost=st.integers(min_value=0, max_value=60),
)
def test_no_other_way_to_cut_the_sorted_sequences_costs_less(
    lengths: list[int], budget: int, bound: int | None, pass_cost: int
) -> None:
    plan = plan_micro_batches(lengths, padded_tokens=budget, max_sequences=bound, pass_cost_tokens=pass_cost)

    def least(descending: list[int]) -> int:
        return min(
            (
                size * descending[0] + pass_cost + least(descending[size:])
                for size in range(1, min(len(descending), bound or len(descending)) + 1)
                if size == 1 or size * descending[0] <= budget
            ),
            default=0,
        )

    assert sum(batch.padded_tokens + pass_cost for batch in plan) == least(sorted(lengths, reverse=True))


def test_sequences_of_like_length_share_a_pass_and_far_shorter_ones_have_their_own() -> None:
    plan = plan_micro_batches([3, 90, 4, 80, 200], padded_tokens=1_000, pass_cost_tokens=30)
    assert plan == [MicroBatch((4,), 200), MicroBatch((1, 3), 90), MicroBatch((2, 0), 4)]


def test_the_budget_bounds_what_costs_alone_would_join() -> None:
    plan = plan_micro_batches([3, 9, 4, 4, 20], padded_tokens=12)
    assert plan == [MicroBatch((4,), 20), MicroBatch((1,), 9), MicroBatch((2, 3, 0), 4)]


def test_nothing_to_plan_is_an_empty_plan() -> None:
    assert plan_micro_batches([], padded_tokens=1) == []


def test_bounds_that_make_no_sense_are_refused_together() -> None:
    with pytest.raises(ConfigError) as caught:
        plan_micro_batches([1], padded_tokens=0, max_sequences=0, pass_cost_tokens=-1)
    assert len(caught.value.errors) == 3


@given(st.lists(st.integers(1, 300), max_size=40), st.integers(1, 600))
def test_packed_passes_hold_every_sequence_once_and_as_many_tokens_as_fit(lengths: list[int], tokens: int) -> None:
    plan = pack_micro_batches(lengths, tokens=tokens)
    assert sorted(index for batch in plan for index in batch.indices) == list(range(len(lengths)))
    for batch in plan:
        assert batch.padded_tokens == sum(lengths[index] for index in batch.indices)
        assert batch.padded_tokens <= tokens or len(batch.indices) == 1
        assert len(batch.indices) * batch.width <= PACKED_SPREAD * tokens or len(batch.indices) == 1
        assert batch.width == max(lengths[index] for index in batch.indices)
    for batch, following in pairwise(plan):
        too_many = batch.padded_tokens + following.width > tokens
        assert too_many or (len(batch.indices) + 1) * batch.width > PACKED_SPREAD * tokens


def test_packed_passes_go_from_the_longest_on() -> None:
    plan = pack_micro_batches([3, 90, 4, 80, 200], tokens=180)
    assert plan == [MicroBatch((4,), 200, 200), MicroBatch((1, 3, 2, 0), 90, 177)]
    assert pack_micro_batches([], tokens=1) == []
    with pytest.raises(ConfigError, match="tokens is 0"):
        pack_micro_batches([1], tokens=0)
