"""What evaluation keeps of battles: facts, in the order in which they came, and no text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from prefstream.scoring.evaluation.battle_facts import BattleFacts, gather_facts
from prefstream.scoring.files.labelled import prompt_key
from prefstream.scoring.style import STYLE_FEATURES, style_of
from tests.support.growth import bytes_per_row, long_battles
from tests.support.judged import make_labelled

LABELLED = [
    replace(one, label=replace(one.label, votes=(2.0, 1.0, 0.0), weight=0.5)) if number % 4 == 0 else one
    for number, one in enumerate(make_labelled(40, prompts=15))
]


def columns(facts: BattleFacts) -> dict[str, list[object]]:
    """All of them but for the answers', as lists."""
    names = [name for name in BattleFacts.__dataclass_fields__ if name != "answers"]
    return {name: np.asarray(getattr(facts, name), dtype=object).tolist() for name in names}


def test_a_battle_adds_some_hundred_bytes_whatever_its_texts() -> None:
    assert bytes_per_row(lambda count: gather_facts(long_battles(count), answers=True)) < 1_000


def test_facts_are_the_battles_own() -> None:
    facts = gather_facts(LABELLED)
    assert facts.ids == tuple(one.battle.id for one in LABELLED)
    assert facts.lines.tolist() == [one.line for one in LABELLED]
    assert facts.votes.tolist() == [list(one.label.votes or (0.0, 0.0, 0.0)) for one in LABELLED]
    assert facts.weights.tolist() == [one.label.weight for one in LABELLED]
    assert facts.prompts.tolist() == [prompt_key(one.battle) for one in LABELLED]
    assert facts.chars_b.tolist() == [sum(map(len, one.battle.response_b)) for one in LABELLED]
    assert facts.tiers == tuple(one.tier for one in LABELLED)
    assert facts.distinct_prompts == 15
    assert facts.answers is None


def test_who_answered_and_how_it_looks_is_known_where_it_is_asked_for() -> None:
    battles = [
        replace(one, battle=one.battle.model_copy(update={"model_a": f"m{number}", "response_b": ("# a\n- b",)}))
        for number, one in enumerate(LABELLED[:5])
    ]
    answers = gather_facts(battles, answers=True).answers
    assert answers is not None
    assert (answers.models_a, answers.models_b) == (tuple(f"m{number}" for number in range(5)), (None,) * 5)
    for row, one in zip(answers.styles, battles, strict=True):
        style = style_of(one.battle)
        assert row.tolist() == [[getattr(side, name) for name in STYLE_FEATURES] for side in (style.a, style.b)]


@given(st.lists(st.integers(0, len(LABELLED) - 1), unique=True))
def test_facts_of_some_battles_are_those_that_they_alone_would_have(rows: list[int]) -> None:
    some = gather_facts(LABELLED, answers=True).at(np.array(rows, dtype=np.intp))
    alone = gather_facts([LABELLED[row] for row in rows], answers=True)
    assert columns(some) == columns(alone)
    assert some.answers is not None
    assert alone.answers is not None
    np.testing.assert_array_equal(some.answers.styles, alone.answers.styles)
    assert some.answers.models_a == alone.answers.models_a
