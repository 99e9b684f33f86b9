"""The budget of a forward pass: halved at once, grown back slowly, never past what it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prefstream.scoring.judges.memory.token_budget import TokenBudget


def passes_until(budget: TokenBudget, tokens: int) -> int:
    """How many full passes must go well until the budget is `tokens`."""
    count = 0
    while budget.tokens < tokens:
        budget.went_well(budget.tokens)
        count += 1
    return count


def test_it_is_what_it_was_given_until_memory_runs_out() -> None:
    budget = TokenBudget(1024)
    for _ in range(1000):
        budget.went_well(1024)
    assert budget.tokens == 1024


def test_it_is_halved_each_time_that_memory_runs_out_down_to_one() -> None:
    budget = TokenBudget(1000)
    seen = [budget.tokens]
    while seen[-1] > 1:
        budget.halve()
        seen.append(budget.tokens)
    assert seen == [1000, 500, 250, 125, 62, 31, 15, 7, 3, 1]
    budget.halve()
    assert budget.tokens == 1


def test_a_vain_trial_of_the_whole_budget_comes_once_in_more_than_a_hundred_passes() -> None:
    budget = TokenBudget(16384)
    budget.halve()
    assert passes_until(budget, 16384) == 128


def test_passes_that_leave_half_of_it_empty_show_nothing() -> None:
    budget = TokenBudget(1024)
    budget.halve()
    for _ in range(1000):
        budget.went_well(255)
    assert budget.tokens == 512
    assert passes_until(budget, 1024) == 128


def test_a_failure_starts_the_count_again() -> None:
    budget = TokenBudget(1024)
    budget.halve()
    for _ in range(15):
        budget.went_well(512)
    budget.halve()
    budget.went_well(512)
    assert budget.tokens == 256


@given(st.integers(1, 40_000), st.lists(st.one_of(st.none(), st.integers(0, 50_000)), max_size=300))
def test_it_stays_between_one_and_what_it_was_and_comes_back(tokens: int, events: list[int | None]) -> None:
    budget = TokenBudget(tokens)
    for padded_tokens in events:
        before = budget.tokens
        if padded_tokens is None:
            budget.halve()
            assert budget.tokens == max(1, before // 2)
        else:
            budget.went_well(padded_tokens)
            assert before <= budget.tokens <= tokens
    passes_until(budget, tokens)
    assert budget.tokens == tokens
