"""Metrics against scikit-learn, against hand computation, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from prefstream.scoring.evaluation import metrics
from prefstream.scoring.probabilities import Triples
from tests.support.judged import make_probabilities

EXCHANGED = np.array([1, 0, 2])
ALL = (
    metrics.log_loss,
    metrics.accuracy,
    metrics.brier,
    metrics.calibration_error,
    metrics.decided_log_loss,
    metrics.decided_accuracy,
)

# Few different values, so that equal probabilities and probabilities of 0 occur.
rows = st.tuples(*[st.integers(0, 4)] * 3).filter(any).map(lambda row: np.array(row) / sum(row))
battles = st.lists(st.tuples(rows, st.integers(0, 2)), min_size=1, max_size=30).map(
    lambda drawn: (np.array([row for row, _ in drawn]), np.array([outcome for _, outcome in drawn]))
)


def random_battles(count: int = 500, seed: int = 0) -> tuple[Triples, NDArray[np.intp]]:
    probabilities = make_probabilities(count, seed=seed)
    return probabilities, np.random.default_rng(seed + 1).integers(0, 3, count)


@given(battles)
def test_exchanging_a_and_b_in_battles_and_labels_changes_no_metric(drawn: tuple[Triples, NDArray[np.intp]]) -> None:
    probabilities, outcomes = drawn
    for metric in ALL:
        before = metric(probabilities, outcomes).of_all()
        after = metric(probabilities[:, EXCHANGED], EXCHANGED[outcomes]).of_all()
        assert after == pytest.approx(before, rel=1e-12, abs=1e-12, nan_ok=True)


@given(battles)
def test_metrics_stay_in_their_ranges(drawn: tuple[Triples, NDArray[np.intp]]) -> None:
    bounds = {metrics.accuracy: 1.0, metrics.brier: 2.0, metrics.calibration_error: 1.0, metrics.log_loss: 36.1}
    for metric, bound in bounds.items():
        assert -1e-12 <= metric(*drawn).of_all() <= bound + 1e-12


def test_they_are_scikit_learns() -> None:
    probabilities, outcomes = random_battles()
    assert metrics.log_loss(probabilities, outcomes).of_all() == pytest.approx(
        sklearn_metrics.log_loss(outcomes, probabilities, labels=[0, 1, 2])
    )
    assert metrics.accuracy(probabilities, outcomes).of_all() == pytest.approx(
        sklearn_metrics.accuracy_score(outcomes, probabilities.argmax(axis=1))
    )
    assert metrics.brier(probabilities, outcomes).of_all() == pytest.approx(
        sklearn_metrics.brier_score_loss(outcomes, probabilities, labels=[0, 1, 2], scale_by_half=False)
    )


def test_a_certain_and_wrong_answer_costs_much_but_not_everything() -> None:
    assert metrics.log_loss(np.array([[1.0, 0.0, 0.0]]), np.array([1])).of_all() == pytest.approx(36.04, abs=0.01)


def test_the_calibration_error_by_hand() -> None:
    # Bin 0.6: said 0.62 and 0.68, right once of two. Bin 0.9: said 1.0, right.
    probabilities = np.array([[0.62, 0.2, 0.18], [0.1, 0.68, 0.22], [0.0, 0.0, 1.0]])
    error = metrics.calibration_error(probabilities, np.array([0, 0, 2])).of_all()
    assert error == pytest.approx(abs((0.62 - 1) + 0.68) / 3)


def test_the_calibration_error_of_a_calibrated_forecaster_tends_to_0() -> None:
    errors = []
    for count in (300, 30_000):
        probabilities = make_probabilities(count)
        draws = np.random.default_rng(5).random(count)
        outcomes = (draws[:, None] > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 2)
        errors.append(metrics.calibration_error(probabilities, outcomes).of_all())
        by_chance = metrics.calibration_error_by_chance(probabilities, resamples=100, seed=0)
        assert errors[-1] == pytest.approx(by_chance.mean, rel=0.7)
    assert errors[1] < 0.01 < errors[0]


def test_voters_are_alike_in_the_pairs_that_say_the_same() -> None:
    votes = np.array([[3.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [2.5, 0.5, 0.0], [0.0, 0.0, 2.0]])
    several, alike = metrics.voters_alike(votes)
    assert several.tolist() == [True, True, False, False, True]
    assert alike.tolist() == [0.5, 0.0, 0.0, 0.0, 1.0]


def test_votes_are_scored_by_their_shares() -> None:
    probabilities = np.array([[0.5, 0.25, 0.25]])
    loss = metrics.soft_log_loss(probabilities, np.array([[0.5, 0.5, 0.0]])).of_all()
    assert loss == pytest.approx((np.log(2) + np.log(4)) / 2)


def test_equally_probable_outcomes_share_the_credit() -> None:
    thirds = np.full((1, 3), 1 / 3)
    assert metrics.accuracy(thirds, np.array([2])).of_all() == pytest.approx(1 / 3)
    halves = np.array([[0.4, 0.4, 0.2]])
    assert metrics.accuracy(halves, np.array([1])).of_all() == 0.5
    assert metrics.accuracy(halves, np.array([2])).of_all() == 0.0


def test_decided_metrics_leave_ties_out() -> None:
    probabilities = np.array([[0.3, 0.1, 0.6], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1]])
    outcomes = np.array([0, 2, 1])
    assert metrics.decided_accuracy(probabilities, outcomes).of_all() == 0.5
    assert metrics.decided_log_loss(probabilities, outcomes).of_all() == pytest.approx(
        -(np.log(3 / 4) + np.log(1 / 9)) / 2
    )


def test_without_anything_to_count_a_metric_is_not_defined() -> None:
    assert np.isnan(metrics.decided_accuracy(make_probabilities(2), np.array([2, 2])).of_all())


def test_a_difference_is_what_it_says() -> None:
    probabilities, outcomes = random_battles()
    other = make_probabilities(len(outcomes), seed=9)
    one, two = (metrics.calibration_error(each, outcomes) for each in (probabilities, other))
    assert metrics.difference(one, two).of_all() == pytest.approx(one.of_all() - two.of_all())


@given(battles)
def test_with_weights_of_1_metrics_are_the_very_same(drawn: tuple[Triples, NDArray[np.intp]]) -> None:
    ones = np.ones(len(drawn[1]))
    for metric in ALL:
        same = metrics.weighted(metric(*drawn), ones).of_all()
        assert same == metric(*drawn).of_all() or np.isnan(same)
    plain, weighted = (
        metrics.calibration_errors_by_chance(drawn[0], resamples=3, seed=0, weights=weights) for weights in (None, ones)
    )
    assert plain.tolist() == weighted.tolist()


@given(battles, st.integers(2, 5))
def test_a_weight_of_k_is_a_battle_that_stands_k_times(drawn: tuple[Triples, NDArray[np.intp]], times: int) -> None:
    probabilities, outcomes = drawn
    counts = 1 + np.arange(len(outcomes)) % times
    for metric in ALL:
        weighted = metrics.weighted(metric(*drawn), counts.astype(float)).of_all()
        repeated = metric(probabilities.repeat(counts, axis=0), outcomes.repeat(counts)).of_all()
        assert weighted == pytest.approx(repeated, rel=1e-12, abs=1e-12, nan_ok=True)


def test_a_perfect_forecasters_calibration_error_is_above_chances_95th_percentile_one_time_in_twenty() -> None:
    probabilities = make_probabilities(300)
    bound = metrics.calibration_error_by_chance(probabilities, resamples=2_000, seed=0).upper
    draw = np.random.default_rng(3)
    errors = []
    for _ in range(1_000):
        outcomes = (draw.random(300)[:, None] > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, 2)
        errors.append(metrics.calibration_error(probabilities, outcomes).of_all())
    assert 25 <= int((np.array(errors) > bound).sum()) <= 80
