"""Micro-batches: every sequence once, within the budget, longest first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.scoring.errors import ConfigError
from prefstream.scoring.judges.microbatch import MicroBatch, plan_micro_batches

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


@given(lengths=LENGTHS, budget=BUDGETS, bound=BOUNDS)
def test_a_micro_batch_is_not_left_half_empty(lengths: list[int], budget: int, bound: int | None) -> None:
    plan = plan_micro_batches(lengths, padded_tokens=budget, max_sequences=bound)
    for batch in plan[:-1]:
        full = (len(batch.indices) + 1) * max(1, batch.width) > budget
        assert full or len(batch.indices) == bound


def test_the_plan_of_a_small_example() -> None:
    plan = plan_micro_batches([3, 9, 4, 4, 20], padded_tokens=12)
    assert plan == [MicroBatch((4,), 20), MicroBatch((1,), 9), MicroBatch((2, 3, 0), 4)]


def test_nothing_to_plan_is_an_empty_plan() -> None:
    assert plan_micro_batches([], padded_tokens=1) == []


def test_bounds_below_one_are_refused_together() -> None:
    with pytest.raises(ConfigError) as caught:
        plan_micro_batches([1], padded_tokens=0, max_sequences=0)
    assert len(caught.value.errors) == 2
