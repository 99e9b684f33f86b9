"""Intervals: what they hold, what makes them wide, and that draws are shared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefstream.scoring.evaluation import metrics
from prefstream.scoring.evaluation.bootstrap import Estimate, Resamples
from tests.support.judged import make_probabilities


def of_mean(values: list[float], prompts: list[int], *, resamples: int = 500, seed: int = 0) -> Estimate:
    draws = Resamples(prompts, resamples=resamples, seed=seed)
    return draws.estimate({"mean": metrics.mean(np.array(values))})["mean"]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 6)), min_size=2, max_size=40))
def test_the_interval_holds_the_estimate(drawn: list[tuple[float, int]]) -> None:
    values, prompts = [value for value, _ in drawn], [prompt for _, prompt in drawn]
    estimate = of_mean(values, prompts, resamples=100)
    assert estimate.value is not None
    assert estimate.value == pytest.approx(np.mean(values), abs=1e-12)
    if len(set(prompts)) > 1:
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.value <= estimate.high
    else:
        assert estimate.low is None


def test_the_interval_of_a_mean_is_the_textbooks() -> None:
    values = np.random.default_rng(0).normal(size=400)
    estimate = of_mean(values.tolist(), list(range(400)), resamples=4000)
    assert estimate.low is not None
    assert estimate.high is not None
    assert (estimate.high - estimate.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.05)


def test_battles_of_one_prompt_are_drawn_together() -> None:
    values = np.random.default_rng(0).normal(size=40).repeat(10).tolist()
    alone, grouped = of_mean(values, list(range(400))), of_mean(values, list(np.arange(40).repeat(10)))

    def width(estimate: Estimate) -> float:
        assert estimate.low is not None
        assert estimate.high is not None
        return estimate.high - estimate.low

    assert width(grouped) == pytest.approx(np.sqrt(10) * width(alone), rel=0.15)


def test_a_difference_of_equals_has_no_spread() -> None:
    outcomes = np.random.default_rng(0).integers(0, 3, 50)
    loss = metrics.log_loss(make_probabilities(50), outcomes)
    draws = Resamples(range(50), resamples=100)
    assert draws.estimate({"same": metrics.difference(loss, loss)})["same"] == Estimate(value=0, low=0, high=0)


def test_a_seed_gives_the_same_interval_and_another_one_another() -> None:
    values, prompts = [0.1, 0.7, 0.3, 0.9, 0.2], [0, 1, 2, 3, 4]
    assert of_mean(values, prompts) == of_mean(values, prompts)
    assert of_mean(values, prompts) != of_mean(values, prompts, seed=1)


def test_draws_are_the_same_however_they_are_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    values, prompts = np.random.default_rng(0).normal(size=30).tolist(), list(range(30))
    whole = of_mean(values, prompts)
    monkeypatch.setattr("prefstream.scoring.evaluation.bootstrap._BLOCK_NUMBERS", 100)
    in_blocks = of_mean(values, prompts)
    assert in_blocks.low == pytest.approx(whole.low, rel=1e-12)
    assert in_blocks.high == pytest.approx(whole.high, rel=1e-12)


def test_draws_in_which_nothing_counts_are_left_out() -> None:
    values = metrics.mean(np.array([0.0, 4.0, 2.0]), np.array([False, True, True]))
    estimate = Resamples([0, 1, 2], resamples=300).estimate({"some": values})["some"]
    assert (estimate.value, estimate.low, estimate.high) == (3.0, 2.0, 4.0)


@pytest.mark.parametrize(("right", "reach"), [(1, 0.975), (3, 0.7076), (100, 0.0362)])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_share_of_none_or_all_is_no_certainty(value: float, right: int, reach: float) -> None:
    """Its interval is the exact one, by prompts: more battles of one, and those that don't count, add nothing."""
    values, counted = np.full(right + 2, value), np.arange(right + 2) < right + 1
    prompts = [0, *range(right), right + 7]
    estimate = Resamples(prompts, resamples=100).estimate({"share": metrics.share(values, counted)})["share"]
    far = reach if value == 0.0 else 1.0 - reach
    assert estimate.value == value
    assert (estimate.low, estimate.high) == pytest.approx((min(value, far), max(value, far)), abs=1e-4)


def test_battles_of_a_single_prompt_give_no_interval() -> None:
    """Drawn as often as one likes, they would be as certain as nothing is."""
    counted = np.array([True, True, False])
    one, other = metrics.mean(np.array([0.2, 0.5, 0.9]), counted), metrics.share(np.array([1.0, 1.0, 0.0]), counted)
    statistics = {"one": one, "difference": metrics.difference(one, other)}
    found = Resamples([0, 0, 1], resamples=100).estimate(statistics)
    assert [found[name].value for name in statistics] == pytest.approx([0.35, -0.65])
    assert all(estimate.low is None and estimate.high is None for estimate in found.values())


def test_what_is_not_defined_has_no_value() -> None:
    nothing = metrics.mean(np.zeros(3), np.zeros(3, dtype=np.bool_))
    assert Resamples([0, 1, 2], resamples=100).estimate({"x": nothing})["x"].value is None


@pytest.mark.parametrize(
    ("low", "high", "excludes"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (None, None, False)]
)
def test_whether_zero_is_excluded(low: float | None, high: float | None, excludes: bool) -> None:
    assert Estimate(value=0.0, low=low, high=high).excludes_zero is excludes
