"""Two sides held against each other: of a thing and itself nothing differs; exchanged, every shift changes its sign."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefstream.schemas import OUTCOMES, KafkaSource, Provenance
from prefstream.scoring.comparison.answers import MOST_JUDGES
from prefstream.scoring.comparison.diff import diff_answers
from prefstream.scoring.comparison.results import AnswersDiff, Change
from prefstream.scoring.comparison.rows import BattleRows
from prefstream.scoring.errors import FileError
from tests.support.answers import make_preference, make_table, table_of, triple
from tests.support.judged import make_labelled, make_probabilities

RESAMPLES = 50

rows = st.lists(
    st.tuples(*[st.floats(1e-6, 1.0)] * 3).map(lambda parts: tuple(part / sum(parts) for part in parts)),
    min_size=1,
    max_size=12,
)


def shifts(change: Change) -> list[float | None]:
    return [change.shift.model_a.value, change.shift.model_b.value, change.shift.tie.value]


def changes(diff: AnswersDiff) -> list[Change]:
    """Over all battles, by judge and by slice."""
    return [diff.change, *(one.change for one in diff.judges), *(one.change for one in diff.slices)]


@pytest.fixture(scope="module")
def found() -> AnswersDiff:
    """90 battles that both sides answer, and one more on each."""
    left = make_table(make_probabilities(91), "left")
    right = table_of(
        (
            make_preference(number, row, panel="2" * 64)
            for number, row in enumerate(make_probabilities(92, seed=1))
            if number != 90
        ),
        "right",
    )
    return diff_answers(left, right, resamples=RESAMPLES)


@given(rows)
@settings(max_examples=30)
def test_of_a_side_and_itself_nothing_differs(said: list[tuple[float, float, float]]) -> None:
    found = diff_answers(make_table(said), make_table(said), resamples=RESAMPLES)
    for change in changes(found):
        assert change.changed.value == 0.0
        assert shifts(change) == [0.0, 0.0, 0.0]
        assert (change.divergence.value, change.mean_absolute_difference.value) == (0.0, 0.0)
        assert sum(change.verdicts[place][place] for place in range(3)) == change.battles
    assert found.most_changed == ()


@given(rows, rows)
@settings(max_examples=30)
def test_exchanging_the_sides_turns_every_shift_and_nothing_else(
    said: list[tuple[float, float, float]], others: list[tuple[float, float, float]]
) -> None:
    there = diff_answers(make_table(said), make_table(others), resamples=RESAMPLES)
    back = diff_answers(make_table(others), make_table(said), resamples=RESAMPLES)
    for one, other in zip(changes(there), changes(back), strict=True):
        assert shifts(one) == [-shift for shift in shifts(other) if shift is not None]
        assert one.divergence == other.divergence
        assert one.changed == other.changed
        assert np.array_equal(np.array(one.verdicts), np.array(other.verdicts).T)
    low, high = there.change.shift.tie.low, back.change.shift.tie.high
    assert (low is None) == (high is None)
    assert low is None or low == pytest.approx(-(high or 0.0), abs=1e-12)


def test_the_figures_are_those_of_the_definitions() -> None:
    left, right = [(0.5, 0.3, 0.2), (0.2, 0.2, 0.6)], [(0.3, 0.5, 0.2), (0.2, 0.2, 0.6)]
    change = diff_answers(make_table(left), make_table(right), resamples=RESAMPLES).change
    assert change.changed.value == 0.5
    assert change.verdicts == ((0, 1, 0), (0, 0, 0), (0, 0, 1))
    assert shifts(change) == pytest.approx([-0.1, 0.1, 0.0])
    assert change.mean_absolute_difference.value == pytest.approx(0.4 / 6)


def test_every_battle_is_in_one_slice_of_each_kind(found: AnswersDiff) -> None:
    dimensions = dict.fromkeys(one.dimension for one in found.slices)
    assert {"language", "length, characters of both", "lists"} <= dimensions.keys()
    for dimension in dimensions:
        parts = [one.change.battles for one in found.slices if one.dimension == dimension]
        assert sum(parts) == found.join.joined == 90


def test_what_changed_most_comes_first_and_says_where_it_stands(found: AnswersDiff) -> None:
    distances = [one.divergence for one in found.most_changed]
    assert distances == sorted(distances, reverse=True)
    assert len(distances) == 20
    first = found.most_changed[0]
    assert first.left_source == first.right_source is not None


def test_two_panels_on_one_side_are_told_and_told_apart() -> None:
    said = make_probabilities(40)
    mixed = table_of(
        make_preference(number, row, panel=("1" * 64, "2" * 64)[number % 2]) for number, row in enumerate(said)
    )
    found = diff_answers(mixed, make_table(said, panel="3" * 64), resamples=RESAMPLES)
    assert {one.value for one in found.slices if one.dimension.startswith("panels")} == {
        f"{'1' * 12} and {'3' * 12}",
        f"{'2' * 12} and {'3' * 12}",
    }
    assert any("answers of 2 panels" in note for note in found.notes)


def test_a_judge_of_one_name_and_another_adapter_is_said_to_be_another() -> None:
    said = make_probabilities(5)
    other = Provenance(kind="features", adapter_hash="b" * 64, device="cuda:1")
    retrained = table_of(
        make_preference(number, row, judges=("one", "two"), provenance=other) for number, row in enumerate(said)
    )
    found = diff_answers(make_table(said), retrained, resamples=RESAMPLES)
    assert "judge one is another one: adapter hash" in found.notes
    assert "judge two answers on the right alone" in found.notes
    assert [(one.name, one.differs) for one in found.judges] == [("one", ("adapter_hash",))]


def test_a_judge_with_the_same_hashes_that_says_something_else_is_calibrated_otherwise() -> None:
    said = make_probabilities(10)
    told = "judge one is the same by its hashes and says something else"
    other = diff_answers(make_table(said), make_table(make_probabilities(10, seed=1)), resamples=RESAMPLES)
    assert any(note.startswith(told) for note in other.notes)
    assert not any(note.startswith(told) for note in diff_answers(make_table(said), make_table(said)).notes)


def test_a_judge_is_held_against_itself_where_both_sides_have_it() -> None:
    left = table_of(
        make_preference(number, (0.2, 0.3, 0.5), judges=("one", "two")[: 1 + number % 2]) for number in range(10)
    )
    found = diff_answers(left, left, resamples=RESAMPLES)
    assert {one.name: one.change.battles for one in found.judges} == {"one": 10, "two": 5}


def test_names_of_judges_without_end_are_told_and_take_no_room_without_end() -> None:
    rows = make_probabilities(MOST_JUDGES + 8)
    crowd = table_of(
        (make_preference(number, row, judges=("one", f"made up {number}")) for number, row in enumerate(rows)), "crowd"
    )
    assert len(crowd.judges) == MOST_JUDGES
    found = diff_answers(crowd, make_table(rows), resamples=RESAMPLES)
    assert [one.name for one in found.judges] == ["one"]
    assert found.judges[0].change.battles == len(rows)
    assert (
        f"crowd: more than {MOST_JUDGES} judges are named; what is told by judge leaves out 9 opinions of those that "
        "came later"
    ) in found.notes


def test_rows_tell_prompts_rounds_and_what_people_said() -> None:
    labelled = make_labelled(40, prompts=21)
    told = BattleRows()
    for one in labelled:
        told.add(one.battle, one.label.outcome)
    left, right = make_table(make_probabilities(40)), make_table(make_probabilities(40, seed=1))
    found = diff_answers(left, right, rows=told, resamples=RESAMPLES)
    assert found.change.prompts == len({one.battle.prompt for one in labelled}) < 40
    assert [one.value for one in found.slices if one.dimension == "rounds"] == ["1", "2", "3"]
    assert found.voted is not None
    assert (found.voted.votes, found.voted.battles) == (40, 40)
    assert not any("prompts are not known" in note for note in found.notes)


def test_votes_take_the_place_of_labels_and_those_on_other_battles_do_not_count() -> None:
    told = BattleRows()
    for one in make_labelled(30):
        told.add(one.battle, one.label.outcome)
    left, right = make_table(make_probabilities(30)), make_table(make_probabilities(30, seed=1))
    votes = {"battle-3": ["tie", "model_a"], "battle-7": ["tie"], "elsewhere": ["tie"]}
    found = diff_answers(left, right, rows=told, votes=votes, resamples=RESAMPLES)  # type: ignore[arg-type]
    assert found.voted is not None
    assert (found.voted.votes, found.voted.battles) == (3, 2)
    expected = np.mean(
        [
            -np.log(right.probabilities[row, OUTCOMES.index(said)])
            for row, said in [(3, "tie"), (3, "model_a"), (7, "tie")]
        ]
    )
    assert found.voted.right_log_loss.value == pytest.approx(expected)


def test_sides_without_a_battle_in_common_are_refused() -> None:
    other = table_of([make_preference(0, triple_row(), battle_id="another")], "right")
    with pytest.raises(FileError, match="have no battle in common"):
        diff_answers(make_table([triple_row()], "left"), other)


def test_where_places_have_nothing_in_common_and_ids_have_the_way_out_is_told() -> None:
    moved = table_of(
        make_preference(
            0, row, battle_id=f"battle-{number}", source=KafkaSource(topic="battles", partition=7, offset=number)
        )
        for number, row in enumerate(make_probabilities(3))
    )
    with pytest.raises(FileError, match=r"by place: .*; by id 3 are \(--by id\)"):
        diff_answers(make_table(make_probabilities(3)), moved)


def test_a_label_of_a_row_that_shares_its_id_judges_the_answer_to_that_row_alone() -> None:
    """The one who reads labels has the last row of an id; the answers of both rows are there."""
    one, other = make_labelled(2)
    told = BattleRows()
    for row, outcome in ((one, "model_a"), (other, "tie")):
        told.add(row.battle.model_copy(update={"id": "twice"}), outcome)  # type: ignore[arg-type]
    table = table_of(
        make_preference(number, said, battle_id="twice")
        for number, said in enumerate([(0.9, 0.05, 0.05), (0.1, 0.1, 0.8)])
    )
    found = diff_answers(table, table, rows=told, resamples=RESAMPLES)
    assert found.join.joined == 2
    assert found.voted is not None
    assert (found.voted.votes, found.voted.left_accuracy.value) == (1, 1.0)


def test_a_side_without_an_answer_is_named() -> None:
    with pytest.raises(FileError, match="right holds no answer"):
        diff_answers(make_table([triple_row()], "left"), make_table([], "right"))


def triple_row() -> tuple[float, float, float]:
    said = triple((0.25, 0.25, 0.5))
    return said.model_a, said.model_b, said.tie


def test_numbers_that_no_battle_can_have_are_not_known_and_cost_no_answer() -> None:
    said = make_preference(0, triple_row(), source=KafkaSource(topic="battles", partition=0, offset=2**63))
    assert said.style is not None
    huge = said.style.model_copy(update={"a": said.style.a.model_copy(update={"characters": 2**31})})
    left = table_of([said.model_copy(update={"style": huge})])
    found = diff_answers(left, make_table([triple_row()]), resamples=RESAMPLES)
    assert (found.join.by, found.join.joined) == ("id", 1)
    assert left.source(0) is None


def test_votes_on_other_battles_alone_are_told_and_not_passed_over_in_silence() -> None:
    table = make_table(make_probabilities(3))
    told = "no vote is about a battle that both sides answered"
    assert told in diff_answers(table, table, votes={"elsewhere": ["tie"]}, resamples=RESAMPLES).notes
    assert told not in diff_answers(table, table, votes={"battle-1": ["tie"]}, resamples=RESAMPLES).notes
    assert told not in diff_answers(table, table, resamples=RESAMPLES).notes
