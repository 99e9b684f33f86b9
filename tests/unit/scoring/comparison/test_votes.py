"""By what people said one side is better, worse, or it can't be told: and then how many votes are missing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from prefstream.scoring.comparison.results import VotedComparison
from prefstream.scoring.comparison.votes import hold_against_votes, votes_needed
from prefstream.scoring.comparison.words import voted_in_words
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.probabilities import Triples, exchange
from tests.support.judged import make_probabilities


def drawn(said: Triples, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Votes as a perfect panel foresees them."""
    draw = np.random.default_rng(seed)
    outcomes: np.ndarray[tuple[int], np.dtype[np.intp]] = (
        (draw.random(len(said))[:, None] > said.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    )
    return outcomes


def held(left: Triples, right: Triples, outcomes: np.ndarray[tuple[int], np.dtype[np.intp]]) -> VotedComparison:
    count = len(outcomes)
    return hold_against_votes(left, right, outcomes, range(count), battles=count, left_name="left", resamples=200)


def test_who_foresees_the_votes_is_better_than_who_exchanges_them() -> None:
    said = make_probabilities(400)
    voted = held(exchange(said), said, drawn(said))
    assert voted.mood == "better"
    assert voted.more_votes is None
    assert voted.comparison.log_loss.value == pytest.approx(
        (voted.right_log_loss.value or 0) - (voted.left_log_loss.value or 0)
    )
    told = voted_in_words(voted, "left", "right")
    assert told.text.startswith("right is better than left, by 400 votes on 400 battles: its log loss is lower by 0.")
    assert held(said, exchange(said), drawn(said)).mood == "worse"


def test_a_small_difference_can_not_be_told_and_says_how_many_votes_are_missing() -> None:
    said = make_probabilities(60)
    nearly = 0.98 * said + 0.02 / 3
    voted = held(said, nearly, drawn(said))
    assert voted.mood == "open"
    assert voted.more_votes is not None
    assert voted.more_votes > 60
    assert "more votes would tell" in voted_in_words(voted, "left", "right").text


def test_no_number_of_votes_tells_a_thing_from_itself() -> None:
    said = make_probabilities(60)
    voted = held(said, said, drawn(said))
    assert (voted.mood, voted.more_votes) == ("open", None)
    assert "no number of votes" in voted_in_words(voted, "left", "right").text


def test_a_handful_of_votes_is_not_judged_by() -> None:
    said = make_probabilities(10)
    voted = held(exchange(said), said, drawn(said))
    assert voted.mood == "open"
    assert "too few" in voted_in_words(voted, "left", "right").text


def test_a_difference_that_only_many_votes_tell_is_not_spelled_as_nothing() -> None:
    said = make_probabilities(400)
    voted = held(said, said, drawn(said))
    gap = Estimate(value=-0.0004, low=-0.0006, high=-0.0002)
    comparison = voted.comparison.model_copy(update={"log_loss": gap})
    better = voted.model_copy(update={"comparison": comparison, "mood": "better"})
    told = voted_in_words(better, "left", "right").text
    assert told.endswith("its log loss is lower by 0.0004, between 0.0002 and 0.0006.")
    known = voted.model_copy(update={"comparison": comparison, "more_votes": 1_000})
    assert "is -0.0004, between -0.0006 and -0.0002." in voted_in_words(known, "left", "right").text


def test_so_many_votes_find_the_difference_in_eight_of_ten_cases() -> None:
    draw = np.random.default_rng(0)
    needed = round(votes_needed(draw.normal(0.1, 1.0, 400_000), range(400_000)))
    assert needed == pytest.approx(((1.96 + 0.8416) / 0.1) ** 2, rel=0.1)
    samples = draw.normal(0.1, 1.0, (1_000, needed))
    errors = samples.std(axis=1, ddof=1) / math.sqrt(needed)
    assert (np.abs(samples.mean(axis=1)) > 1.96 * errors).mean() == pytest.approx(0.8, abs=0.06)


def test_votes_that_say_the_same_twice_count_once() -> None:
    once = np.random.default_rng(1).normal(0.1, 1.0, 500)
    twice = np.repeat(once, 2)
    assert votes_needed(twice, np.repeat(np.arange(500), 2).tolist()) == pytest.approx(
        2 * votes_needed(once, range(500))
    )


def test_a_single_prompt_says_nothing_of_the_variance() -> None:
    assert votes_needed(np.array([0.1, 0.3]), ["p", "p"]) == math.inf
