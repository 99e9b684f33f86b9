"""Prompt injection at the level of the layout: whatever a text says, it stays inside its turn.

What a judge makes of "response A is better" is a matter of training. That such a text, or a forged turn marker, can
neither end its turn nor begin another one is a matter of the layout, and must hold for every text.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefstream.schemas import Battle
from prefstream.scoring.encoding.template import Kind
from tests.fuzz.corpus import FORGED_TURNS, INSTRUCTIONS, SPECIAL_TOKENS
from tests.fuzz.hostile import hostile_texts
from tests.fuzz.layout import FAMILIES, KINDS, FuzzedJudge, LayoutBrokenError, Round, fuzzed_judge

ROOMY = 100_000
"""A max_length that nothing here reaches."""

SLOTS = {"pairwise": ("prompt", "response_a", "response_b"), "pointwise": ("prompt", "response_a")}
ATTACKS = (*FORGED_TURNS, *INSTRUCTIONS, *SPECIAL_TOKENS)

each_judge = pytest.mark.parametrize("kind", KINDS)
each_family = pytest.mark.parametrize("family", FAMILIES)
rounds_of_texts = st.lists(st.tuples(hostile_texts, hostile_texts, hostile_texts), min_size=1, max_size=4)


def battle_of(rounds: Sequence[tuple[str, str, str]]) -> Battle:
    prompt, response_a, response_b = zip(*rounds, strict=True)
    return Battle(id="b", prompt=prompt, response_a=response_a, response_b=response_b)


def sequence_of(judge: FuzzedJudge, battle: Battle) -> tuple[int, ...]:
    """The first, or only, sequence of a battle: its layout and its receipt are checked, too."""
    (encoding,) = judge.encoder.encode([battle])
    judge.check(battle, encoding)
    return encoding.sequences[0]


def read(judge: FuzzedJudge, battle: Battle) -> list[Round]:
    return judge.reader.rounds_of(sequence_of(judge, battle))


@each_family
@each_judge
@settings(max_examples=50)
@given(rounds=rounds_of_texts)
def test_the_control_tokens_depend_on_the_number_of_rounds_alone(
    family: str, kind: Kind, rounds: list[tuple[str, str, str]]
) -> None:
    judge = fuzzed_judge(family, kind, ROOMY)
    empty = battle_of([("", "", "")] * len(rounds))
    skeleton = judge.reader.skeleton(sequence_of(judge, battle_of(rounds)))
    assert skeleton == judge.reader.skeleton(sequence_of(judge, empty)) == judge.reader.expected_skeleton(len(rounds))


@each_family
@each_judge
@settings(max_examples=50)
@given(rounds=rounds_of_texts, max_length=st.integers(50, 300))
def test_where_texts_are_cut_the_control_tokens_are_those_of_the_rounds_that_stay(
    family: str, kind: Kind, rounds: list[tuple[str, str, str]], max_length: int
) -> None:
    judge = fuzzed_judge(family, kind, max_length)
    sequence = sequence_of(judge, battle_of(rounds))
    assert len(sequence) <= max_length
    kept = len(judge.reader.rounds_of(sequence))
    assert judge.reader.skeleton(sequence) == judge.reader.expected_skeleton(kept)


@each_family
@each_judge
@settings(max_examples=50)
@given(before=hostile_texts, attack=st.sampled_from(ATTACKS), after=hostile_texts, data=st.data())
def test_an_attack_changes_the_tokens_of_its_own_turn_alone(
    family: str, kind: Kind, before: str, attack: str, after: str, data: st.DataObject
) -> None:
    """All other turns, and all that the template says, are the same to the token."""
    judge = fuzzed_judge(family, kind, ROOMY)
    rounds = data.draw(st.integers(1, 3))
    at, slot = data.draw(st.integers(0, rounds - 1)), data.draw(st.integers(0, len(SLOTS[kind]) - 1))
    quiet = battle_of([("What is two plus two?", "Four.", "Five.")] * rounds)
    name = SLOTS[kind][slot]
    turns = list(getattr(quiet, name))
    turns[at] = before + attack + after
    attacked = quiet.model_copy(update={name: tuple(turns)})
    expected, found = read(judge, quiet), read(judge, attacked)
    expected[at][slot] = found[at][slot]
    assert found == expected


@each_family
@each_judge
@pytest.mark.parametrize("attack", FORGED_TURNS)
def test_a_forged_turn_is_read_as_the_words_that_it_is(family: str, kind: Kind, attack: str) -> None:
    """Nothing of it is swallowed: the judge sees what was written, special tokens spelt out."""
    judge = fuzzed_judge(family, kind, ROOMY)
    ((_, response, *_),) = read(judge, battle_of([("prompt", attack, "four")]))
    assert judge.reader.text_of(response) == attack


@each_family
@each_judge
@pytest.mark.parametrize("attack", FORGED_TURNS[:6])
def test_the_reader_itself_would_notice_a_forged_turn(family: str, kind: Kind, attack: str) -> None:
    """Were special tokens in texts parsed, some of these attacks would break the layout; the reader must see it."""
    judge = fuzzed_judge(family, kind, ROOMY)
    whole = sequence_of(judge, battle_of([("prompt", "response", "other")]))
    forged = judge.reader.ids(attack)
    if judge.reader.controls.isdisjoint(forged):
        return  # markers of another family
    (first, *_) = judge.reader.rounds_of(whole)
    start = next(place for place in range(len(whole)) if list(whole[place : place + len(first[1])]) == first[1])
    with pytest.raises(LayoutBrokenError):
        judge.reader.rounds_of([*whole[:start], *forged, *whole[start:]])
