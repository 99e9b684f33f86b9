"""Votes meet the battles that they are about, whichever came first, as the board has it."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from prefstream.consumer.board.store.records import PreferenceRecord, VoteRecord
from prefstream.consumer.votes.live.join import AnsweredBy, LiveJoin
from prefstream.schemas import PanelIdentity
from prefstream.schemas.preference import Review
from tests.support.board import BEGIN_MS, preference_record, vote_record

WINDOW_MS = 3_600_000


def joined(
    join: LiveJoin,
    preferences: Sequence[PreferenceRecord] = (),
    votes: Sequence[VoteRecord] = (),
) -> tuple[list[tuple[int, float]], Counter[str]]:
    """Outcomes and weights of the votes that met their battle, and what did not count."""
    uncounted: Counter[str] = Counter()
    met = join.take(preferences, votes, uncounted)
    return [(vote.outcome, vote.opinions.weight) for vote in met], +uncounted


def answer(number: int, **changes: Any) -> PreferenceRecord:
    return preference_record(number, random.Random(number), **{"review": None, **changes})


@pytest.fixture
def join() -> LiveJoin:
    return LiveJoin(WINDOW_MS, 100)


def test_a_vote_meets_its_battle_whichever_came_first(join: LiveJoin) -> None:
    assert joined(join, [answer(1)], [vote_record(1, "model_b"), vote_record(2, "tie")]) == ([(1, 1.0)], {})
    assert (join.battles, join.waiting) == (1, 1)
    assert joined(join, [answer(2)], [vote_record(1, "both_bad")]) == ([(2, 1.0), (2, 1.0)], {})
    assert (join.battles, join.waiting) == (2, 0)


def test_a_vote_that_was_asked_for_weighs_the_inverse_of_its_probability(join: LiveJoin) -> None:
    reviews = [Review(probability=0.25, chosen=True), Review(probability=0.25, chosen=False)]
    answers = [answer(number, review=review) for number, review in enumerate(reviews)]
    assert joined(join, answers, [vote_record(0), vote_record(1)])[0] == [(0, 4.0), (0, 1.0)]


def test_a_vote_from_outside_the_window_does_not_count(join: LiveJoin) -> None:
    at = BEGIN_MS + 1000 + WINDOW_MS
    votes = [vote_record(1, at=at), vote_record(1, at=at + 1)]
    assert joined(join, [answer(1)], votes) == ([(0, 1.0)], {"too_late": 1})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"panel": None}, "unknown_panel"),
        ({"panel": PanelIdentity(hash="ab" * 32, version="0.1.0", canary=True)}, "canary"),
        ({"left_out": ("gemma",)}, "judge_left_out"),
    ],
    ids=["no panel", "canary", "left out"],
)
def test_what_the_panel_that_serves_did_not_say_in_full_is_left_out(
    join: LiveJoin, changes: dict[str, Any], why: str
) -> None:
    assert joined(join, [answer(1, **changes)], [vote_record(1)]) == ([], {why: 1})


def test_of_two_preferences_of_one_battle_the_first_counts(join: LiveJoin) -> None:
    assert joined(join, [answer(1), answer(1)]) == ([], {"duplicate_battles": 1})


def test_a_recused_judge_does_not_count_unless_no_other_is_left(join: LiveJoin) -> None:
    said = answer(1).preference
    judges = tuple(
        one.model_copy(update={"weight": weight}) for one, weight in zip(said.judges, (0.0, 1.0), strict=True)
    )
    uncounted: Counter[str] = Counter()
    [vote] = join.take([answer(1, judges=judges, recused=("gemma", "llama"))], [vote_record(1)], uncounted)
    assert vote.opinions.counts.tolist() == [False, True]


def test_who_answered_is_told_by_judges_name_and_calibration_and_not_by_weights(join: LiveJoin) -> None:
    first, second = answer(1), answer(2)
    other = second.preference.judges[0]
    changed = other.model_copy(update={"provenance": other.provenance.model_copy(update={"base": "another"})})
    third = answer(3, judges=(changed, *second.preference.judges[1:]))
    votes = [vote_record(number) for number in (1, 2, 3)]
    by = [vote.opinions.by for vote in join.take([first, second, third], votes, Counter())]
    assert by[0] == by[1]
    assert isinstance(by[0], AnsweredBy)
    assert isinstance(by[2], AnsweredBy)
    assert by[0].judges == by[2].judges
    assert by[0].hash != by[2].hash


def test_what_no_record_can_meet_any_more_is_let_go(join: LiveJoin) -> None:
    joined(join, [answer(1), answer(2)], [vote_record(8), vote_record(9)])
    uncounted: Counter[str] = Counter()
    join.give_up(BEGIN_MS + 9_000 + 60_000 + WINDOW_MS, BEGIN_MS + 2_000 + WINDOW_MS, uncounted)
    assert (join.battles, join.waiting, uncounted["unknown_battles"]) == (1, 1, 1)


def test_memory_is_bounded() -> None:
    join = LiveJoin(WINDOW_MS, 10)
    for number in range(30):
        joined(join, [answer(number)], [vote_record(1_000 + number)])
        join.give_up(None, None, Counter())
    assert (join.battles, join.waiting) == (10, 10)


def test_looking_for_what_can_go_does_not_copy_what_stays() -> None:
    join = LiveJoin(WINDOW_MS, 100_000)
    join.take([], [vote_record(number) for number in range(20_000)], Counter())
    tracemalloc.start()
    try:
        join.give_up(BEGIN_MS, BEGIN_MS, Counter())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert join.waiting == 20_000
    assert peak < 20_000
