"""What the panel found in the demo, held against what is known of its battles."""

from __future__ import annotations

import math

import pytest

from prefstream.consumer.demo.events import DemoEvent, sample_entries
from prefstream.consumer.demo.found import RIGHT_IS_LONGER, RIGHT_IS_SHORTER, Hits, agreement, hits, judged
from prefstream.schemas import KafkaSource, Preference, Probabilities
from prefstream.schemas.vote import Winner
from tests.support.samples import a_preference


def said(offset: int, a: float, b: float, tie: float, *, adjusted: Probabilities | None = None) -> Preference:
    """What the panel said of the event at an offset."""
    return a_preference(
        probabilities=Probabilities(model_a=a, model_b=b, tie=tie),
        adjusted=adjusted,
        source=KafkaSource(topic="battles", partition=0, offset=offset),
    )


def event(winner: Winner | None, tier: str | None = None) -> DemoEvent:
    return DemoEvent("1", b"{}", winner=winner, tier=tier)


def test_only_answers_to_events_with_a_known_winner_are_judged() -> None:
    sent = {(0, 0): event("model_a"), (0, 1): event(None)}
    first = said(0, 0.6, 0.3, 0.1)
    assert judged([first, said(1, 0.6, 0.3, 0.1), said(2, 0.6, 0.3, 0.1)], sent) == [(first, sent[0, 0], "model_a")]


def test_that_both_are_bad_counts_as_a_tie() -> None:
    [(_, _, outcome)] = judged([said(0, 0.6, 0.3, 0.1)], {(0, 0): event("both_bad")})
    assert outcome == "tie"


def test_agreement_is_log_loss_and_accuracy() -> None:
    sent = {(0, 0): event("model_a"), (0, 1): event("tie")}
    found = agreement(judged([said(0, 0.5, 0.3, 0.2), said(1, 0.5, 0.25, 0.25)], sent))
    assert found is not None
    assert (found.battles, found.accuracy) == (2, 0.5)
    assert found.log_loss == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_of_nothing_known_there_is_no_agreement() -> None:
    assert agreement([]) is None


def test_the_right_answer_is_found_where_it_is_held_for_better_than_the_wrong_one() -> None:
    """Whatever a tie's probability: none of these battles is one. Equal chances find nothing."""
    answers = [said(0, 0.3, 0.2, 0.5), said(1, 0.3, 0.2, 0.5), said(2, 0.4, 0.4, 0.2), said(3, 0.2, 0.3, 0.5)]
    sent = {
        (0, 0): event("model_a", RIGHT_IS_LONGER),
        (0, 1): event("model_b", RIGHT_IS_LONGER),
        (0, 2): event("model_b", RIGHT_IS_LONGER),
        (0, 3): event("model_b", RIGHT_IS_SHORTER),
    }
    known = judged(answers, sent)
    assert (hits(known, RIGHT_IS_LONGER).hits, hits(known, RIGHT_IS_LONGER).battles) == (1, 3)
    assert hits(known, RIGHT_IS_SHORTER).share == 1.0
    assert hits([], RIGHT_IS_SHORTER).share == 0.0


def test_what_is_adjusted_for_length_is_counted_by_itself() -> None:
    answers = [
        said(0, 0.5, 0.3, 0.2, adjusted=Probabilities(model_a=0.3, model_b=0.5, tie=0.2)),
        said(1, 0.5, 0.3, 0.2),
    ]
    known = judged(answers, {(0, place): event("model_b", RIGHT_IS_SHORTER) for place in range(2)})
    assert hits(known, RIGHT_IS_SHORTER) == Hits(0, 2)
    assert hits(known, RIGHT_IS_SHORTER, adjusted=True) == Hits(1, 1)


def test_of_the_samples_sixteen_are_clear_cut_of_either_kind() -> None:
    answers = [(said(0, 0.5, 0.3, 0.2), one, one.label) for one in sample_entries() if one.label]
    assert [hits(answers, tier).battles for tier in (RIGHT_IS_LONGER, RIGHT_IS_SHORTER)] == [16, 16]
