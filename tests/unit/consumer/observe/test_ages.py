"""Quantiles of a minute are ages that records had."""

from __future__ import annotations

import itertools
import random

import pytest

from prefstream.consumer.observe import ages as module
from prefstream.consumer.observe.ages import Ages


def test_quantiles_are_exact_and_never_above_the_oldest() -> None:
    ages = Ages()
    values = [number / 100 for number in range(1, 101)]
    random.Random(1).shuffle(values)
    for start in range(0, 100, 7):
        ages.add(values[start : start + 7])
    assert ages.quantiles(0.5, 0.99, 1.0) == [0.5, 0.99, 1.0]


def test_one_record_is_every_quantile() -> None:
    ages = Ages()
    ages.add([0.9])
    assert ages.quantiles(0.5, 0.99) == [0.9, 0.9]


def test_of_nothing_there_is_no_quantile() -> None:
    assert Ages().quantiles(0.5, 0.99) == [None, None]


def test_a_producers_clock_that_is_ahead_makes_no_negative_age() -> None:
    ages = Ages()
    ages.add([-3600.0])
    assert ages.quantiles(0.5) == [0.0]


@pytest.mark.parametrize("size", [1, 3, 64])
def test_of_many_an_even_part_is_kept(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 100)
    ages = Ages()
    count = 64 * 3 * 10
    for start in range(0, count, size):
        ages.add([float(number) for number in range(start, start + size)])
    kept = list(ages._kept)
    assert 50 <= len(kept) <= 100
    assert {later - earlier for earlier, later in itertools.pairwise(kept)} == {32.0}
    assert ages.quantiles(0.5) == [pytest.approx(count / 2, abs=32)]
