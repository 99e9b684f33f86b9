"""Fitting: known parameters are found again, sides don't matter, pairs without ties teach nothing about ties."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prefstream.scoring.calibration.fit import (
    WEIGHT_PRIOR_BATTLES,
    JudgeReadings,
    PanelFit,
    Targets,
    fit_calibration,
    fit_panel,
    fit_weights,
)
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.probabilities import Triples

EXCHANGED = [1, 0, 2]
SEEDS = st.integers(min_value=0, max_value=2**32 - 1)


def draw_answers(rng: np.random.Generator, battles: int, spread: float = 1.0) -> Triples:
    weights = np.exp(rng.normal(size=(battles, 3)) * spread)
    answers: Triples = weights / weights.sum(axis=1, keepdims=True)
    return answers


def draw_verdicts(rng: np.random.Generator, truth: Triples, masked: NDArray[np.bool_] | None = None) -> Triples:
    """One-hot verdicts drawn from probabilities; without ties where they are masked."""
    possible = truth.copy()
    if masked is not None:
        possible[masked, 2] = 0
    cumulative = np.cumsum(possible / possible.sum(axis=1, keepdims=True), axis=1)
    drawn = (rng.random(len(truth))[:, None] > cumulative[:, :2]).sum(axis=1)
    verdicts: Triples = np.eye(3)[drawn]
    return verdicts


def loss(answers: Triples, targets: Targets) -> float:
    """Log loss as the fit sees it, computed another way."""
    answers = answers.copy()
    answers[targets.masked, 2] = 0
    answers /= answers.sum(axis=1, keepdims=True)
    terms = np.where(targets.shares > 0, targets.shares * np.log(np.maximum(answers, 1e-300)), 0.0)
    return float(-targets.weights @ terms.sum(axis=1) / targets.weights.sum())


def uniform(shares: Triples, masked: NDArray[np.bool_] | None = None) -> Targets:
    return Targets(shares, np.ones(len(shares)), np.zeros(len(shares), bool) if masked is None else masked)


def fit(answers: Triples, targets: Targets) -> Calibration:
    return fit_calibration(answers, targets.shares, targets.weights, targets.masked)


@pytest.mark.parametrize(("temperature", "tie_bias"), [(1.0, 0.0), (2.5, -1.0), (0.6, 0.7)])
def test_known_temperature_and_tie_bias_are_found_again(temperature: float, tie_bias: float) -> None:
    rng = np.random.default_rng(0)
    answers = draw_answers(rng, 40_000)
    truth = Calibration(temperature=temperature, tie_bias=tie_bias).apply(answers)
    found = fit(answers, uniform(draw_verdicts(rng, truth)))
    assert found.temperature == pytest.approx(temperature, rel=0.06)
    assert found.tie_bias == pytest.approx(tie_bias, abs=0.05)


def test_both_are_found_again_where_half_of_the_battles_had_no_ties() -> None:
    """Were they counted as battles that happened not to be tied, the tie bias would come out far too low."""
    rng = np.random.default_rng(1)
    answers = draw_answers(rng, 40_000)
    masked = np.arange(len(answers)) % 2 == 0
    truth = Calibration(temperature=1.7, tie_bias=0.5).apply(answers)
    verdicts = draw_verdicts(rng, truth, masked)
    found = fit(answers, uniform(verdicts, masked))
    assert found.temperature == pytest.approx(1.7, rel=0.06)
    assert found.tie_bias == pytest.approx(0.5, abs=0.05)
    assert fit(answers, uniform(verdicts)).tie_bias < 0


@settings(max_examples=40)
@given(seed=SEEDS, battles=st.integers(1, 60), spread=st.floats(0, 8), share=st.floats(0, 1))
def test_no_fit_is_worse_on_its_own_battles_than_changing_nothing(
    seed: int, battles: int, spread: float, share: float
) -> None:
    rng = np.random.default_rng(seed)
    answers = draw_answers(rng, battles, spread)
    masked = rng.random(battles) < share
    targets = Targets(draw_verdicts(rng, draw_answers(rng, battles), masked), rng.random(battles) + 0.01, masked)
    assert loss(fit(answers, targets).apply(answers), targets) <= loss(answers, targets) + 1e-9


@settings(max_examples=40)
@given(seed=SEEDS, battles=st.integers(1, 60))
def test_exchanging_the_sides_of_every_battle_gives_the_same_parameters(seed: int, battles: int) -> None:
    rng = np.random.default_rng(seed)
    answers, masked = draw_answers(rng, battles, 2.0), rng.random(battles) < 0.3
    targets = Targets(draw_verdicts(rng, draw_answers(rng, battles), masked), np.ones(battles), masked)
    exchanged = Targets(targets.shares[:, EXCHANGED], targets.weights, masked)
    found, mirrored = fit(answers, targets), fit(answers[:, EXCHANGED], exchanged)
    assert mirrored.temperature == pytest.approx(found.temperature, rel=1e-5)
    assert mirrored.tie_bias == pytest.approx(found.tie_bias, abs=1e-5)


@settings(max_examples=25)
@given(seed=SEEDS)
def test_battles_without_possible_ties_say_nothing_about_the_tie_bias(seed: int) -> None:
    rng = np.random.default_rng(seed)
    answers = draw_answers(rng, 50)
    masked = np.ones(50, bool)
    alone = fit(answers, uniform(draw_verdicts(rng, answers, masked), masked))
    assert alone.tie_bias == 0
    assert alone.temperature != 1

    other_ties = answers.copy()
    other_ties[:, 2] *= 7
    other_ties /= other_ties.sum(axis=1, keepdims=True)
    targets = uniform(draw_verdicts(rng, answers, masked), masked)
    assert fit(other_ties, targets).temperature == pytest.approx(fit(answers, targets).temperature, rel=1e-6)


def test_a_share_of_ties_where_ties_were_impossible_is_ignored() -> None:
    rng = np.random.default_rng(3)
    answers = draw_answers(rng, 30)
    masked = np.ones(30, bool)
    shares = np.tile([0.3, 0.2, 0.5], (30, 1))
    decided = np.tile([0.6, 0.4, 0.0], (30, 1))
    assert fit(answers, uniform(shares, masked)) == fit(answers, uniform(decided, masked))
    only_ties = np.tile([0.0, 0.0, 1.0], (30, 1))
    assert fit(answers, uniform(only_ties, masked)).changes_nothing


def test_a_weight_of_two_counts_as_the_battle_twice() -> None:
    rng = np.random.default_rng(4)
    answers = draw_answers(rng, 30)
    verdicts = draw_verdicts(rng, answers)
    doubled = fit(answers, Targets(verdicts, np.full(30, 2.0), np.zeros(30, bool)))
    twice = fit(np.tile(answers, (2, 1)), uniform(np.tile(verdicts, (2, 1))))
    assert doubled.temperature == pytest.approx(twice.temperature, rel=1e-6)
    assert doubled.tie_bias == pytest.approx(twice.tie_bias, abs=1e-6)


def test_a_fit_exists_on_nothing_on_little_and_on_what_a_sharper_judge_would_fit_ever_better() -> None:
    assert fit(np.zeros((0, 3)), uniform(np.zeros((0, 3)))).changes_nothing
    one = fit(np.array([[0.5, 0.3, 0.2]]), uniform(np.array([[1.0, 0.0, 0.0]])))
    assert 0.5 < one.temperature < 1
    separable = fit(np.tile([0.5, 0.3, 0.2], (500, 1)), uniform(np.tile([1.0, 0.0, 0.0], (500, 1))))
    assert 0.01 <= separable.temperature < 0.2
    assert -30 <= separable.tie_bias <= 30


def test_a_judge_that_is_always_wrong_is_made_to_say_little() -> None:
    wrong = np.tile([[0.05, 0.9, 0.05], [0.9, 0.05, 0.05]], (500, 1))
    found = fit(wrong, uniform(np.tile(np.eye(3)[:2], (500, 1))))
    assert found.temperature == 100


def test_probabilities_of_zero_are_survived() -> None:
    answers = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] * 10)
    found = fit(answers, uniform(np.roll(answers, 1, axis=0)))
    assert found.temperature > 10


@settings(max_examples=25)
@given(seed=SEEDS, judges=st.integers(1, 4), share=st.floats(0, 1))
def test_weights_are_positive_and_sum_to_one(seed: int, judges: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    masked = rng.random(40) < share
    answers = [draw_answers(rng, 40, 3.0) for _ in range(judges)]
    weights = fit_weights(answers, uniform(draw_verdicts(rng, draw_answers(rng, 40), masked), masked))
    assert weights.shape == (judges,)
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert (weights > 0).all()


@pytest.mark.parametrize("no_ties", [False, True])
def test_the_better_judge_weighs_more(no_ties: bool) -> None:
    rng = np.random.default_rng(5)
    better, worse = draw_answers(rng, 2_000), draw_answers(rng, 2_000)
    masked = np.full(2_000, no_ties)
    weights = fit_weights([worse, better], uniform(draw_verdicts(rng, better, masked), masked))
    assert weights[1] > 0.9


def test_the_weights_of_a_mixture_are_found_again() -> None:
    rng = np.random.default_rng(6)
    first, second = draw_answers(rng, 40_000, 2.0), draw_answers(rng, 40_000, 2.0)
    weights = fit_weights([first, second], uniform(draw_verdicts(rng, 0.7 * first + 0.3 * second)))
    assert weights.tolist() == pytest.approx([0.7, 0.3], abs=0.03)


def test_judges_that_say_the_same_and_a_panel_without_battles_weigh_alike() -> None:
    answers = draw_answers(np.random.default_rng(7), 20)
    assert fit_weights([answers, answers], uniform(answers)).tolist() == [0.5, 0.5]
    empty = np.zeros((0, 3))
    assert fit_weights([empty, empty, empty], uniform(empty)).tolist() == pytest.approx([1 / 3] * 3)


def test_a_judge_that_only_listens_keeps_its_weight_of_zero_and_is_calibrated() -> None:
    rng = np.random.default_rng(8)
    answers = draw_answers(rng, 200)
    readings = [
        JudgeReadings("votes", answers[None]),
        JudgeReadings("listens", draw_answers(rng, 200)[None], weight=0.0),
    ]
    fitted = fit_panel(readings, uniform(draw_verdicts(rng, answers)))
    assert fitted.weights == {"votes": 1.0, "listens": 0.0}
    assert fitted.judges["listens"].temperature > 2


def test_a_judge_that_serving_does_not_calibrate_gets_a_weight_alone() -> None:
    rng = np.random.default_rng(9)
    answers = draw_answers(rng, 200)
    readings = [
        JudgeReadings("model", answers[None]),
        JudgeReadings("prior", np.tile([0.3, 0.3, 0.4], (1, 200, 1)), adjustable=False),
    ]
    fitted = fit_panel(readings, uniform(draw_verdicts(rng, answers)))
    assert fitted.judges["prior"].changes_nothing
    written = fitted.file(readings)
    assert set(written.judges) == {"model"}
    assert set(written.weights) == {"model", "prior"}


def test_both_orders_of_a_swap_are_calibrated_before_their_mean() -> None:
    rng = np.random.default_rng(10)
    orders = np.stack([draw_answers(rng, 100), draw_answers(rng, 100)])
    calibration = Calibration(temperature=2.0, tie_bias=0.3)
    expected = (calibration.apply(orders[0]) + calibration.apply(orders[1])) / 2
    assert JudgeReadings("pairwise", orders).calibrated(calibration).tolist() == expected.tolist()


def test_equal_orders_are_fitted_as_one_order_is() -> None:
    rng = np.random.default_rng(11)
    answers = draw_answers(rng, 200)
    targets = uniform(draw_verdicts(rng, draw_answers(rng, 200)))
    one = fit_panel([JudgeReadings("judge", answers[None])], targets)
    two = fit_panel([JudgeReadings("judge", np.stack([answers, answers]))], targets)
    assert two.judges["judge"].temperature == pytest.approx(one.judges["judge"].temperature, rel=1e-6)
    assert two.judges["judge"].tie_bias == pytest.approx(one.judges["judge"].tie_bias, abs=1e-6)


def test_an_unchanged_panel_answers_with_the_mean_of_the_panel_files_weights() -> None:
    rng = np.random.default_rng(12)
    first, second = draw_answers(rng, 5), draw_answers(rng, 5)
    readings = [JudgeReadings("a", first[None], weight=3.0), JudgeReadings("b", second[None], weight=1.0)]
    judges, panel = PanelFit.unchanged(readings).apply(readings)
    assert np.allclose(panel, 0.75 * first + 0.25 * second, atol=1e-15)
    assert judges["a"].tolist() == first.tolist()


def test_where_a_judge_is_recused_nothing_is_fitted_to_what_it_says() -> None:
    """Whatever it says there, the parameters are the same: serving does not use those answers."""
    rng = np.random.default_rng(13)
    answers, other = draw_answers(rng, 300), draw_answers(rng, 300)
    counted = rng.random(300) < 0.7
    masked = rng.random(300) < 0.3
    targets = uniform(draw_verdicts(rng, answers, masked), masked)
    nonsense = np.where(counted[:, None], answers, draw_answers(rng, 300, 5.0))
    fits = [
        fit_panel([JudgeReadings("own", said[None], counted=counted), JudgeReadings("other", other[None])], targets)
        for said in (answers, nonsense)
    ]
    assert fits[0] == fits[1]
    plain = fit_panel([JudgeReadings("own", nonsense[None]), JudgeReadings("other", other[None])], targets)
    assert plain.weights["own"] < fits[1].weights["own"]


def test_a_judge_that_is_recused_everywhere_keeps_what_it_had() -> None:
    rng = np.random.default_rng(14)
    answers = draw_answers(rng, 100)
    nowhere = np.zeros(100, dtype=bool)
    readings = [JudgeReadings("own", answers[None], counted=nowhere), JudgeReadings("other", answers[None])]
    fitted = fit_panel(readings, uniform(draw_verdicts(rng, answers)))
    assert fitted.judges["own"].changes_nothing
    assert fitted.weights["own"] == pytest.approx(0.5, abs=1e-6)


@settings(max_examples=25)
@given(seed=SEEDS, share=st.floats(0, 1))
def test_the_slope_of_the_weights_loss_is_its_slope_with_recusals(seed: int, share: float) -> None:
    """At the optimum no small change of the shares makes the judged battles likelier."""
    rng = np.random.default_rng(seed)
    masked = rng.random(60) < share
    answers = [draw_answers(rng, 60, 2.0) for _ in range(3)]
    targets = uniform(draw_verdicts(rng, answers[0], masked), masked)
    counts = [np.ones(60, dtype=bool), rng.random(60) < 0.5, rng.random(60) < 0.5]
    found = fit_weights(answers, targets, counts)
    best = weights_loss(found, answers, targets, counts)
    for change in np.eye(3) - 1 / 3:
        for step in (-1e-3, 1e-3):
            other = found * np.exp(step * change)
            assert weights_loss(other / other.sum(), answers, targets, counts) >= best - 1e-9


def weights_loss(
    mix: NDArray[np.float64], answers: Sequence[Triples], targets: Targets, counts: Sequence[NDArray[np.bool_]]
) -> float:
    """Written down anew, battle by battle."""
    loss = -WEIGHT_PRIOR_BATTLES * float(np.mean(np.log(mix)))
    for row in range(len(targets.weights)):
        present = [judge for judge in range(len(mix)) if counts[judge][row]]
        mean = sum(mix[judge] * answers[judge][row] for judge in present) / sum(mix[judge] for judge in present)
        if targets.masked[row]:
            mean = mean[:2] / mean[:2].sum()
        shares = targets.shares[row][: len(mean)]
        loss -= targets.weights[row] * float(shares @ np.log(mean))
    return loss
