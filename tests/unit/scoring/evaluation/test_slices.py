"""Slices: every battle in one of each kind, in a sensible order, and not too many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prefstream.scoring.evaluation.battle_facts import gather_facts
from prefstream.scoring.evaluation.slices import MAX_VALUES, NOT_GIVEN, OTHERS, cut_slices
from prefstream.scoring.files.labelled import LabelledBattle
from tests.support.judged import make_labelled


def values(labelled: list[LabelledBattle], dimension: str) -> dict[str, int]:
    return {one.value: len(one.rows) for one in cut_slices(gather_facts(labelled)) if one.dimension == dimension}


def test_every_battle_is_in_one_slice_of_each_kind() -> None:
    labelled = make_labelled(60)
    slices = list(cut_slices(gather_facts(labelled)))
    dimensions = list(dict.fromkeys(one.dimension for one in slices))
    assert dimensions == ["source", "tier", "language", "rounds", "length, characters of both"]
    for dimension in dimensions:
        rows = np.concatenate([one.rows for one in slices if one.dimension == dimension])
        assert sorted(rows) == list(range(60))


def test_what_is_not_known_is_a_slice_and_the_largest_comes_first() -> None:
    assert values(make_labelled(40), "language") == {"English": 30, NOT_GIVEN: 10}
    assert list(values(make_labelled(40), "tier")) == ["core", "arena"]


def test_a_language_by_its_name_and_by_its_code_is_one_slice() -> None:
    spelled = ("English", "en", "en-US", None)
    labelled = [
        replace(one, battle=one.battle.model_copy(update={"language": spelled[number % 4]}))
        for number, one in enumerate(make_labelled(40))
    ]
    assert values(labelled, "language") == {"English": 30, NOT_GIVEN: 10}


def test_the_rarest_values_are_put_together() -> None:
    labelled = [replace(one, source=f"source {min(number, 19)}") for number, one in enumerate(make_labelled(40))]
    found = values(labelled, "source")
    assert len(found) == MAX_VALUES
    assert list(found)[-1] == OTHERS
    assert sum(found.values()) == 40


def test_a_kind_in_which_all_are_alike_is_left_out() -> None:
    assert values([replace(one, tier=None) for one in make_labelled(10)], "tier") == {}


def test_lengths_stand_in_their_order() -> None:
    found = list(values(make_labelled(300), "length, characters of both"))
    assert found == ["under 500", "500 to 1,499", "1,500 to 2,999", "3,000 to 5,999", "6,000 and more"]


def test_sources_without_ties_are_a_slice() -> None:
    labelled = [
        replace(one, label=replace(one.label, ties_possible=number % 3 != 0))
        for number, one in enumerate(make_labelled(30))
    ]
    assert values(labelled, "ties at the source") == {"possible": 20, "none": 10}
