"""The arithmetic of cuts: budgets are kept, unused shares flow, equal parts are treated alike."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.scoring.encoding.truncate import Shares, allot, first_round_that_fits, kept_ends
from prefstream.scoring.errors import ConfigError

LENGTH = st.integers(min_value=0, max_value=5000)
WEIGHT = st.integers(min_value=1, max_value=1_000_000)
BUDGET = st.integers(min_value=0, max_value=6000)
PAIRWISE = Shares().weights(responses=2)


@given(parts=st.lists(st.tuples(LENGTH, WEIGHT), min_size=1, max_size=4), budget=BUDGET)
def test_a_budget_is_kept_and_nearly_used_up(parts: list[tuple[int, int]], budget: int) -> None:
    lengths, weights = [length for length, _ in parts], [weight for _, weight in parts]
    amounts = allot(lengths, weights, budget)
    assert all(0 <= amount <= length for amount, length in zip(amounts, lengths, strict=True))
    assert sum(amounts) <= budget
    assert sum(amounts) > min(budget, sum(lengths)) - len(parts)


@given(prompt=LENGTH, response_a=LENGTH, response_b=LENGTH, budget=BUDGET)
def test_swapping_responses_swaps_their_amounts(prompt: int, response_a: int, response_b: int, budget: int) -> None:
    amounts = allot([prompt, response_a, response_b], PAIRWISE, budget)
    swapped = allot([prompt, response_b, response_a], PAIRWISE, budget)
    assert amounts == (swapped[0], swapped[2], swapped[1])


@given(parts=st.lists(st.tuples(LENGTH, WEIGHT), min_size=1, max_size=4), budget=BUDGET)
def test_a_part_gets_its_share_or_all_it_needs(parts: list[tuple[int, int]], budget: int) -> None:
    lengths, weights = [length for length, _ in parts], [weight for _, weight in parts]
    for amount, length, weight in zip(allot(lengths, weights, budget), lengths, weights, strict=True):
        assert amount >= min(length, budget * weight // sum(weights))


@pytest.mark.parametrize(
    ("lengths", "budget", "amounts"),
    [
        ((10, 20, 30), 60, (10, 20, 30)),
        ((100, 100, 100), 50, (10, 20, 20)),
        ((0, 100, 100), 50, (0, 25, 25)),
        ((100, 0, 100), 30, (10, 0, 20)),
        ((5, 10, 100), 50, (5, 10, 35)),
        ((0, 100, 100), 51, (0, 25, 25)),
        ((100, 100, 100), 1, (1, 0, 0)),
        ((100, 100, 100), 0, (0, 0, 0)),
    ],
    ids=[
        "all fit",
        "shares",
        "no prompt",
        "no response A",
        "unused share flows",
        "odd token is unused",
        "one token",
        "none",
    ],
)
def test_examples_of_sharing(lengths: tuple[int, ...], budget: int, amounts: tuple[int, ...]) -> None:
    assert allot(lengths, PAIRWISE, budget) == amounts


@given(length=LENGTH, allowed=LENGTH, marker=st.integers(min_value=0, max_value=5))
def test_a_cut_turn_fits_with_its_marker(length: int, allowed: int, marker: int) -> None:
    head, tail, marked = kept_ends(length, allowed, marker)
    assert head + tail + (marker if marked else 0) == min(length, allowed)
    assert head >= tail >= 0
    assert marked == (tail > 0)


def test_two_thirds_of_what_stays_is_the_head() -> None:
    assert kept_ends(1000, 301, 1) == (200, 100, True)


def test_without_room_for_the_marker_only_a_head_stays() -> None:
    assert kept_ends(1000, 2, 1) == (2, 0, False)


@given(sizes=st.lists(LENGTH, min_size=1, max_size=30), budget=BUDGET)
def test_rounds_go_oldest_first_and_no_more_than_needed(sizes: list[int], budget: int) -> None:
    first = first_round_that_fits(sizes, budget)
    assert sum(sizes[first:]) <= budget or first == len(sizes) - 1
    assert first == 0 or sum(sizes[first - 1 :]) > budget


def test_only_the_ratio_of_shares_counts() -> None:
    assert Shares(0.2, 0.4).weights(2) == Shares(1, 2).weights(2) == Shares(1e300, 2e300).weights(2)


def test_the_tiniest_share_still_weighs_something() -> None:
    assert Shares(5e-324, 1.0).weights(1) == (1, 1_000_000)


@pytest.mark.parametrize("share", [0.0, -1.0, math.inf, math.nan])
def test_a_share_that_is_not_positive_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="prompt is"):
        Shares(prompt=share)
