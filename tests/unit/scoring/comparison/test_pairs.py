"""Joining two sides: every answer is joined, alone or repeated, and the last one of a battle counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prefstream.schemas import FileSource, Preference
from prefstream.scoring.comparison.answers import AnswerGathering, AnswerTable
from prefstream.scoring.comparison.pairs import AnswerPairs, JoinKey, join
from tests.support.answers import make_preference, table_of, triple

EVEN = (0.25, 0.25, 0.5)

numbers = st.lists(st.integers(0, 8), max_size=12)


def of_topic(chosen: list[int]) -> AnswerTable:
    return table_of(make_preference(number, EVEN) for number in chosen)


def of_file(lines: dict[int, str], file: str = "battles.jsonl") -> AnswerTable:
    def answer(line: int, battle_id: str) -> Preference:
        return make_preference(0, EVEN, source=FileSource(file=file, line=line), battle_id=battle_id)

    return table_of(answer(line, battle_id) for line, battle_id in lines.items())


def joined_ids(left: AnswerTable, pairs: AnswerPairs) -> list[str]:
    return [left.ids[row] for row in pairs.left.tolist()]


@given(numbers, numbers, st.sampled_from([None, "source", "id"]))
def test_the_join_loses_nothing_and_invents_nothing(left: list[int], right: list[int], by: JoinKey | None) -> None:
    one, other = of_topic(left), of_topic(right)
    pairs = join(one, other, by)
    assert len(pairs) + pairs.only_left + pairs.repeated_left == len(left)
    assert len(pairs) + pairs.only_right + pairs.repeated_right == len(right)
    shared = {f"battle-{number}" for number in set(left) & set(right)}
    assert sorted(joined_ids(one, pairs)) == sorted(shared)
    assert joined_ids(one, pairs) == [other.ids[row] for row in pairs.right.tolist()]


@given(numbers, numbers)
def test_with_the_sides_exchanged_the_pairs_are_the_same_in_the_same_order(left: list[int], right: list[int]) -> None:
    one, other = of_topic(left), of_topic(right)
    there, back = join(one, other), join(other, one)
    assert there.left.tolist() == back.right.tolist()
    assert there.right.tolist() == back.left.tolist()
    assert (there.only_left, there.repeated_right) == (back.only_right, back.repeated_left)


def test_of_several_answers_about_a_battle_the_last_counts() -> None:
    pairs = join(of_topic([3, 5, 3]), of_topic([3]))
    assert pairs.left.tolist() == [2]
    assert (pairs.repeated_left, pairs.only_left) == (1, 1)


def test_one_topic_is_joined_by_places_and_two_files_of_other_battles_by_ids() -> None:
    assert join(of_topic([1]), of_topic([1])).by == "source"
    apart = join(of_file({1: "x", 2: "y"}), of_file({1: "y", 2: "x"}, "others.jsonl"))
    assert (apart.by, len(apart)) == ("id", 2)


def test_rows_that_moved_in_a_file_are_joined_by_their_ids() -> None:
    pairs = join(of_file({1: "x", 2: "y"}), of_file({1: "new", 2: "x", 3: "y"}))
    assert (pairs.by, len(pairs), pairs.only_right) == ("id", 2, 1)


def test_one_place_with_two_ids_is_no_pair_and_is_counted() -> None:
    moved = table_of([make_preference(1, EVEN, battle_id="another"), make_preference(2, EVEN)])
    pairs = join(of_topic([1, 2]), moved)
    assert (pairs.by, len(pairs), pairs.other_ids, pairs.only_left, pairs.only_right) == ("source", 1, 1, 1, 1)


def test_answers_that_name_no_place_are_joined_by_id_alone() -> None:
    bare = AnswerGathering("csv")
    bare.add("battle-1", triple(EVEN), None)
    assert (join(bare.table(), of_topic([1])).by, len(join(bare.table(), of_topic([1])))) == ("id", 1)
    assert len(join(bare.table(), of_topic([1]), "source")) == 0
