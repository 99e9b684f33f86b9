"""Metrics on the dev pairs are those of the textbook, and a part of them keeps prompts whole."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, log_loss

from prefstream.scoring.evaluation.metrics import accuracy
from prefstream.scoring.finetune.data.pairs import Pairs, take
from prefstream.scoring.finetune.dev_metrics import dev_metrics, dev_part
from prefstream.scoring.judges.readout import read_pairwise, read_pointwise
from prefstream.scoring.probabilities import SMALLEST_PROBABILITY, Triples
from tests.support.labelled_pairs import make_pairs, with_names

few = settings(max_examples=40)

COUNT = 30
TIERS = ["core"] * 20 + ["arena"] * 10


@pytest.fixture
def pairs() -> Pairs:
    outcomes = np.random.default_rng(0).integers(0, 3, COUNT).tolist()
    return make_pairs(COUNT, outcomes=outcomes)


def head(pairs: Pairs, columns: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(len(pairs.sequences), columns)).astype(np.float32)


def textbook(outcomes: NDArray[np.int64], probabilities: Triples) -> float:
    """scikit-learn's log loss, which insists on sums of 1 to more digits than float32 has."""
    return float(log_loss(outcomes, probabilities / probabilities.sum(axis=1, keepdims=True), labels=[0, 1, 2]))


def test_pointwise_metrics_are_those_of_the_probabilities_that_serving_reads(pairs: Pairs) -> None:
    outputs = head(pairs, 2)
    reading = dev_metrics(pairs, outputs, kind="pointwise", tau=0.3)
    expected = read_pointwise(outputs, tau=0.3)  # sequences are A and B of each pair in turn
    np.testing.assert_array_equal(reading.probabilities, expected)
    assert reading.metrics == pytest.approx(
        {
            "log_loss": textbook(pairs.outcomes, expected),
            "accuracy": accuracy_score(pairs.outcomes, expected.argmax(axis=1)),
        }
    )


def test_accuracy_is_evaluations_where_outcomes_are_equally_probable(pairs: Pairs) -> None:
    """As at the start of a run, when the head is all zeros."""
    outputs = np.zeros((len(pairs.sequences), 2), dtype=np.float32)
    reading = dev_metrics(pairs, outputs, kind="pointwise", tau=-math.inf)
    assert reading.probabilities[0].tolist() == [0.5, 0.5, 0.0]
    assert reading.metrics["accuracy"] == accuracy(reading.probabilities, pairs.outcomes).of_all()
    assert reading.metrics["accuracy"] == (pairs.outcomes < 2).mean() / 2


def test_pairwise_metrics_are_of_the_order_given_and_count_flips(pairs: Pairs) -> None:
    outputs = head(pairs, 3)
    reading = dev_metrics(pairs, outputs, kind="pairwise", tau=9.0)
    expected, back = read_pairwise(outputs[pairs.first]), read_pairwise(outputs[pairs.second])[:, [1, 0, 2]]
    np.testing.assert_array_equal(reading.probabilities, expected)
    assert reading.metrics["log_loss"] == pytest.approx(textbook(pairs.outcomes, expected))
    assert reading.metrics["flip_rate"] == np.mean(expected.argmax(axis=1) != back.argmax(axis=1)) > 0


def test_the_mean_is_over_tiers_whatever_their_sizes(pairs: Pairs) -> None:
    outputs = head(pairs, 2)
    tiered = with_names(pairs, tiers=TIERS)
    metrics = dev_metrics(tiered, outputs, kind="pointwise", tau=0.0).metrics
    probabilities = read_pointwise(outputs, tau=0.0)
    for tier in ("core", "arena"):
        there = tiered.tiers == tier
        expected = textbook(pairs.outcomes[there], probabilities[there])
        assert metrics[f"log_loss_{tier}"] == pytest.approx(expected)
    for metric in ("log_loss", "accuracy"):
        assert metrics[metric] == pytest.approx((metrics[f"{metric}_core"] + metrics[f"{metric}_arena"]) / 2)


def test_pairs_without_a_tier_count_beside_those_with_one(pairs: Pairs) -> None:
    outputs = head(pairs, 2)
    mixed = dev_metrics(with_names(pairs, tiers=["core"] * 20 + [""] * 10), outputs, kind="pointwise", tau=0.0).metrics
    named = dev_metrics(with_names(pairs, tiers=TIERS), outputs, kind="pointwise", tau=0.0).metrics
    assert mixed["log_loss"] == named["log_loss"]
    assert mixed["log_loss_other"] == named["log_loss_arena"]


def test_pairs_without_ties_are_judged_by_a_and_b_alone() -> None:
    pairs = replace(make_pairs(1, outcomes=[0]), ties_possible=np.array([False]))
    outputs = np.array([[math.log(3), 50.0], [-math.log(3), 50.0]], dtype=np.float32)  # a tie, almost surely
    metrics = dev_metrics(pairs, outputs, kind="pointwise", tau=0.0).metrics
    assert metrics["log_loss"] == pytest.approx(-math.log(0.75 / (0.75 + 1 / 12)), abs=1e-5)


def test_a_probability_of_0_is_a_great_loss_but_a_number() -> None:
    outputs = np.array([[0.0, 1e4], [0.0, 1e4]], dtype=np.float32)
    for ties_possible in (True, False):
        pairs = replace(make_pairs(1, outcomes=[0]), ties_possible=np.array([ties_possible]))
        loss = dev_metrics(pairs, outputs, kind="pointwise", tau=0.0).metrics["log_loss"]
        assert loss == pytest.approx(-math.log(SMALLEST_PROBABILITY))


# A part of the pairs.


@few
@given(
    prompts=st.lists(st.integers(0, 9), min_size=1, max_size=40),
    most=st.integers(1, 50),
    seed=st.integers(0, 3),
)
def test_a_part_keeps_prompts_whole_and_has_as_many_pairs_as_asked(prompts: list[int], most: int, seed: int) -> None:
    pairs = make_pairs(len(prompts), prompts=prompts)
    part = dev_part(pairs, most, seed=seed)
    for prompt in set(part.prompts.tolist()):
        assert (part.prompts == prompt).sum() == prompts.count(prompt)
    assert len(part) >= min(most, len(pairs))
    largest = max(map(prompts.count, prompts))
    assert len(part) < most + largest
    assert dev_part(pairs, most, seed=seed).ids.tolist() == part.ids.tolist()


def test_a_part_is_of_the_tiers_asked_for(pairs: Pairs) -> None:
    tiered = with_names(pairs, tiers=TIERS)
    assert set(dev_part(tiered, None, tiers=("arena",)).tiers.tolist()) == {"arena"}
    assert len(dev_part(tiered, 5, tiers=("arena",))) == 5
    assert len(dev_part(tiered, None)) == COUNT
    assert len(dev_part(tiered, None, tiers=("none",))) == 0


@few
@given(chosen=st.lists(st.integers(0, COUNT - 1), unique=True))
def test_taken_pairs_are_the_same_pairs(chosen: list[int]) -> None:
    lengths = [1 + number % 17 for number in range(2 * COUNT)]
    pairs = make_pairs(COUNT, prompts=[number // 3 for number in range(COUNT)], lengths=lengths, shared=True)
    taken = take(pairs, np.array(chosen, dtype=np.int64))
    assert taken.ids.tolist() == [f"b{number}" for number in chosen]
    for number, pair in enumerate(chosen):
        for ends, original in ((taken.first, pairs.first), (taken.second, pairs.second)):
            assert taken.sequences[ends[number]].tolist() == pairs.sequences[original[pair]].tolist()
        assert taken.targets[number].tolist() == pairs.targets[pair].tolist()
    assert len(taken.sequences) == len({*pairs.first[chosen].tolist(), *pairs.second[chosen].tolist()})
