"""Answers of then beside those of now: to the bit without a model, within a bound with one, and what may be why not."""

from __future__ import annotations

import numpy as np
import pytest

from prefstream.schemas import Provenance
from prefstream.scoring.comparison.answers import AnswerTable
from prefstream.scoring.comparison.pairs import join
from prefstream.scoring.comparison.reproduced import reproduced, what_differs
from prefstream.scoring.comparison.results import AnswersReproduced
from prefstream.scoring.golden.bounds import bound_of
from prefstream.scoring.probabilities import Triples
from tests.support.answers import make_preference, table_of
from tests.support.judged import make_probabilities

FEATURES = Provenance(kind="features", adapter_hash="a" * 64)
MODEL = Provenance(kind="pointwise", base_hash="b" * 64, dtype="bfloat16", device="cuda:0")


def answered(
    said: Triples, provenance: Provenance, *, judges: tuple[str, ...] = ("one",), panel: str | None = "1" * 64
) -> AnswerTable:
    return table_of(
        make_preference(number, row, provenance=provenance, judges=judges, panel=panel)
        for number, row in enumerate(said)
    )


def held(then: AnswerTable, now: AnswerTable) -> dict[str, AnswersReproduced]:
    return {one.name: one for one in reproduced(then, now, join(then, now))}


def moved(said: Triples, by: float) -> Triples:
    """Each answer's mean over its three probabilities off by so much."""
    return said + np.array([1.5, -1.5, 0.0]) * by


def test_the_same_answers_are_reproduced_to_the_bit() -> None:
    said = make_probabilities(20)
    found = held(answered(said, FEATURES), answered(said, FEATURES))
    assert {name: (one.reproduced, one.changed, one.bound) for name, one in found.items()} == {
        "one": (True, 0, 0.0),
        "panel": (True, 0, 0.0),
    }


def test_of_a_judge_without_a_model_every_bit_counts() -> None:
    said = make_probabilities(20)
    found = held(answered(said, FEATURES), answered(moved(said, 1e-12), FEATURES))
    assert not found["one"].reproduced
    assert (found["one"].changed, found["one"].largest < 1e-11) == (20, True)


@pytest.mark.parametrize(("share", "passes"), [(0.9, True), (1.1, False)])
def test_a_model_is_held_to_the_bound_of_golden_sets(share: float, passes: bool) -> None:
    said = np.full((20, 3), 1 / 3)
    found = held(answered(said, MODEL), answered(moved(said, share * bound_of(MODEL)), MODEL))
    assert found["one"].reproduced is passes
    assert found["panel"].reproduced is passes


def test_a_judge_that_answered_then_and_does_not_now_is_not_reproduced() -> None:
    said = make_probabilities(20)
    found = held(answered(said, FEATURES, judges=("one", "two")), answered(said, FEATURES))
    assert (found["two"].reproduced, found["two"].alone) == (False, 20)
    assert found["one"].reproduced


def test_what_may_be_why_is_told() -> None:
    said = make_probabilities(20)
    on_another = MODEL.model_copy(update={"device": "cpu"})
    then, now = answered(said, MODEL), answered(said, on_another, panel="2" * 64)
    told = list(what_differs(then, now, join(then, now)))
    assert told[0] == f"20 of 20 answers are of another panel, by its hash: {'1' * 12} then, {'2' * 12} now"
    assert "judge one computed on cuda:0 then, on cpu now: last bits differ between devices" in told
    untold = answered(said, MODEL, panel=None)
    assert next(what_differs(untold, now, join(untold, now))) == "20 answers do not say which panel gave them"


def test_of_one_panel_and_version_nothing_is_told() -> None:
    table = answered(make_probabilities(3), FEATURES)
    assert list(what_differs(table, table, join(table, table))) == []
