"""Which battles are chosen: few that differ, whatever the order of the file."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefstream import Battle, Outcome
from prefstream.scoring.golden import choose as choosing
from prefstream.scoring.golden.choose import CANDIDATES, LONGEST_CHARS, CandidateBattles, choose, coverage

_OUTCOMES: tuple[Outcome, ...] = ("model_a", "model_b", "tie")


def battle(number: int, *, length: int = 10, rounds: int = 1, language: str | None = None) -> Battle:
    text = f"{number} " * (length // 2)
    turns = (text,) * rounds
    return Battle(
        id=str(number), prompt=("?",) * rounds, response_a=turns, response_b=("no",) * rounds, language=language
    )


def candidates(battles: list[Battle], wanted: int = 6) -> list[Battle]:
    kept = CandidateBattles(wanted)
    for one in battles:
        kept.add(one)
    return kept.take()


MANY = [
    battle(
        number,
        length=(20, 600, 2_000)[number % 3],
        rounds=1 + number % 4,
        language=("en", "French")[number % 2],
    )
    for number in range(80)
]


@given(st.randoms(use_true_random=False))
@settings(max_examples=5)
def test_the_order_of_the_file_decides_nothing(draw: random.Random) -> None:
    shuffled = MANY.copy()
    draw.shuffle(shuffled)
    assert candidates(shuffled) == candidates(MANY)
    verdicts = [(one, _OUTCOMES[int(one.id) % 3]) for one in shuffled]
    assert choose(verdicts, 6) == choose(sorted(verdicts, key=lambda one: one[0].id), 6)


def test_few_battles_have_some_of_each_language_length_rounds_and_verdict() -> None:
    # A file as files are: nearly all alike.
    rare = [
        battle(1_000, language="Thai"),
        battle(1_001, rounds=5),
        battle(1_002, length=20_000),
        *(battle(number, language="English") for number in range(1_003, 1_006)),
    ]
    alike = [battle(number, language="English") for number in range(500)]
    taken = candidates(alike + rare)
    verdicts: list[tuple[Battle, Outcome]] = [
        (one, "tie" if one.id == taken[-1].id else _OUTCOMES[int(one.id) % 2]) for one in taken
    ]
    chosen = choose(verdicts, 6)
    covered = coverage([(one, said) for one, said in verdicts if one in chosen])
    assert set(covered["verdict"]) == set(_OUTCOMES)
    assert covered["language"] >= Counter({"English": 1, "Thai": 1, "not told": 1})
    assert {"1", "3 or more"} <= set(covered["rounds"])
    assert "longer" in covered["length"]


def test_a_file_of_any_size_leaves_few_candidates_and_none_twice() -> None:
    assert len(candidates(MANY)) == 6 * CANDIDATES
    assert len(candidates([battle(1)] * 100)) == 1


def test_what_no_judge_would_read_whole_is_passed_over() -> None:
    assert candidates([battle(1, length=LONGEST_CHARS + 2)]) == []


@pytest.mark.parametrize("wanted", [1, 3, 500])
def test_no_more_are_chosen_than_are_wanted_and_there(wanted: int) -> None:
    verdicts = [(one, _OUTCOMES[0]) for one in MANY]
    assert len({one.id for one in choose(verdicts, wanted)}) == min(wanted, len(MANY))


@given(st.randoms(use_true_random=False))
@settings(max_examples=3)
def test_thousands_of_languages_leave_few_candidates_too_whatever_their_order(draw: random.Random) -> None:
    tongues = [battle(number, language=f"tongue {number}") for number in range(200)] * 2
    draw.shuffle(tongues)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choosing, "_MOST_KEPT", 40)
        taken = candidates(tongues)
    assert len(taken) == 6 * CANDIDATES
    assert taken == candidates(sorted(tongues, key=lambda one: one.id))[: len(taken)]
