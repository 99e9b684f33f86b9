"""The bookkeeping of an audit: held against counting by hand, whatever records and answers there are."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.audit.answers import AuditedAnswer, Malformed
from prefstream.consumer.audit.ledger import SHOWN, AnswerLedger, Break
from tests.support.samples import a_preference

NOW_MS = 1_700_000_000_000
SPANS = {0: range(3, 15), 2: range(6)}
ENDS = {0: 20, 1: 9, 2: 6}

places = st.tuples(st.sampled_from([0, 1, 2, 3]), st.integers(0, 22))
within = st.sampled_from([(number, offset) for number, span in SPANS.items() for offset in span])


@dataclass(frozen=True)
class Scene:
    """Records of the range, answers by the place that they name, and what is committed."""

    records: set[tuple[int, int]]
    preferences: list[tuple[int, int]]
    dead_letters: list[tuple[int, int]]
    committed: dict[int, int]


scenes = st.builds(
    Scene,
    st.sets(within),
    st.lists(places, max_size=40),
    st.lists(places, max_size=10),
    st.dictionaries(st.sampled_from([0, 1, 2]), st.integers(0, 22)),
)


def answer(place: tuple[int, int], *, dead: bool = False, at_ms: int = NOW_MS, battle_id: str = "b") -> AuditedAnswer:
    told = None if dead else a_preference(id=battle_id)
    return AuditedAnswer("out/0/0", at_ms, "battles", *place, preference=told, reason="not_json" if dead else None)


def ledger_of(scene: Scene, battle_id: str | None = "b") -> AnswerLedger:
    ledger = AnswerLedger("battles", SPANS, ENDS)
    for partition, offset in sorted(scene.records):
        ledger.record(partition, offset, NOW_MS, battle_id)
    for place in scene.preferences:
        ledger.answer(answer(place))
    for place in scene.dead_letters:
        ledger.answer(answer(place, dead=True))
    return ledger


@given(scenes)
def test_every_record_is_counted_where_it_belongs_and_every_break_is_found(scene: Scene) -> None:
    ledger = ledger_of(scene)
    counts = ledger.settle(scene.committed, None)
    preferences, letters = Counter(scene.preferences), Counter(scene.dead_letters)
    answered = preferences + letters
    due = {place for place in scene.records if place[1] < scene.committed.get(place[0], 0)}
    broken = {kind: found.count for kind, found in ledger.breaks.items()}
    assert broken[Break.LOST] == len(due - answered.keys())
    assert broken[Break.DOUBLED] == sum(max(preferences[p], letters[p]) > 1 for p in scene.records)
    assert broken[Break.BOTH] == sum(preferences[p] > 0 and letters[p] > 0 for p in scene.records)
    everything = [*scene.preferences, *scene.dead_letters]
    asked = [(number, offset) for number, offset in everything if number in SPANS and offset in SPANS[number]]
    beyond = [p for p in everything if p[0] not in ENDS or p[1] >= ENDS[p[0]]]
    assert broken[Break.FOREIGN] == sum(p not in scene.records for p in asked) + len(beyond)
    assert ledger.outside == len(everything) - len(asked) - len(beyond)
    assert sum(one.records for one in counts) == len(scene.records)
    assert sum(one.open for one in counts) == len(scene.records - due - answered.keys())
    for one in counts:
        theirs = {place for place in scene.records if place[0] == one.partition}
        unanswered = one.open + one.untold + one.lost
        assert unanswered + len(theirs & answered.keys()) == one.records == len(theirs)


@given(scenes, st.randoms(use_true_random=False))
def test_the_order_of_answers_changes_nothing(scene: Scene, chance: Random) -> None:
    shuffled = Scene(scene.records, scene.preferences.copy(), scene.dead_letters.copy(), scene.committed)
    chance.shuffle(shuffled.preferences)
    one, other = (ledger_of(either) for either in (scene, shuffled))
    assert one.settle(scene.committed, None) == other.settle(scene.committed, None)
    assert [places.count for places in one.breaks.values()] == [places.count for places in other.breaks.values()]


@given(scenes)
def test_where_each_record_has_one_answer_nothing_is_broken(scene: Scene) -> None:
    answered = sorted(scene.records)
    kept = Scene(scene.records, answered[::2], answered[1::2], scene.committed)
    ledger = ledger_of(kept)
    assert not any(one.lost or one.open for one in ledger.settle(kept.committed, None))
    assert sum(places.count for places in ledger.breaks.values()) == 0


def test_what_is_as_old_as_what_was_deleted_is_not_called_lost() -> None:
    ledger = AnswerLedger("battles", {0: range(2)}, {0: 2})
    ledger.record(0, 0, NOW_MS, "b")
    ledger.record(0, 1, NOW_MS + 1, "b")
    [counts] = ledger.settle({0: 2}, NOW_MS)
    assert (counts.untold, counts.lost) == (1, 1)
    assert ledger.breaks[Break.LOST].first == ["battles/0/1"]


def test_an_answer_that_is_older_than_its_record_and_to_another_battle_is_of_a_topic_before() -> None:
    """Five minutes are left for clocks that differ."""
    ledger = AnswerLedger("battles", {0: range(2)}, {0: 2})
    ledger.record(0, 0, NOW_MS, "b")
    assert not ledger.answer(answer((0, 0), at_ms=NOW_MS - 300_001, battle_id="other"))
    assert ledger.answer(answer((0, 0), at_ms=NOW_MS - 300_000))
    assert ledger.settle({0: 1}, None)[0].preferences == 1
    assert ledger.of_before == 1
    assert not ledger.breaks[Break.OTHER_BATTLE].count


def test_the_answer_of_a_clock_that_was_wrong_counts_where_no_other_answers_the_record() -> None:
    ledger = AnswerLedger("battles", {0: range(2)}, {0: 2})
    for offset in range(2):
        ledger.record(0, offset, NOW_MS, "b")
        assert not ledger.answer(answer((0, offset), at_ms=NOW_MS - 3_600_000))
    assert ledger.answer(answer((0, 1)))
    assert ledger.settle({0: 2}, None)[0].preferences == 2
    assert ledger.of_before == 1
    assert not any(places.count for places in ledger.breaks.values())


def test_two_answers_of_clocks_that_were_wrong_are_one_too_many() -> None:
    ledger = AnswerLedger("battles", {0: range(1)}, {0: 1})
    ledger.record(0, 0, NOW_MS, "b")
    for _ in range(2):
        ledger.answer(answer((0, 0), at_ms=NOW_MS - 3_600_000))
    ledger.settle({0: 1}, None)
    assert ledger.breaks[Break.DOUBLED].count == 1


@pytest.mark.parametrize(
    ("original_ms", "dead_letters"), [(NOW_MS, 1), (NOW_MS - 1, 0)], ids=["of this record", "of another"]
)
def test_a_dead_letter_is_of_the_record_whose_timestamp_it_repeats_whatever_the_clock(
    original_ms: int, dead_letters: int
) -> None:
    ledger = AnswerLedger("battles", {0: range(1)}, {0: 1})
    ledger.record(0, 0, NOW_MS, None)
    for at_ms in (NOW_MS - 3_600_000, NOW_MS):
        told = replace(answer((0, 0), dead=True, at_ms=at_ms), original_ms=original_ms)
        assert ledger.answer(told) == bool(dead_letters)
    assert ledger.settle({0: 1}, None)[0].dead_letters == dead_letters


def test_a_preference_with_the_id_of_another_battle_is_found_but_what_is_no_battle_has_none() -> None:
    ledger = AnswerLedger("battles", {0: range(2)}, {0: 2})
    ledger.record(0, 0, NOW_MS, "b")
    ledger.record(0, 1, NOW_MS, None)
    for offset in range(2):
        assert ledger.answer(answer((0, offset), battle_id="c"))
    assert ledger.breaks[Break.OTHER_BATTLE].count == 1


def test_answers_to_what_was_deleted_before_it_was_read_are_outside() -> None:
    ledger = AnswerLedger("battles", {0: range(4)}, {0: 4})
    ledger.deleted(0, range(2))
    ledger.record(0, 2, NOW_MS, "b")
    assert [ledger.answer(answer((0, offset))) for offset in range(4)] == [False, False, True, False]
    assert (ledger.outside, ledger.breaks[Break.FOREIGN].count) == (2, 1)


def test_breaks_are_all_counted_and_the_first_are_named() -> None:
    ledger = AnswerLedger("battles", {0: range(50)}, {0: 50})
    for offset in range(50):
        ledger.record(0, offset, NOW_MS, "b")
        ledger.malformed(Malformed(f"out/0/{offset}", "is none"))
    ledger.settle({0: 50}, None)
    for kind in (Break.LOST, Break.MALFORMED):
        assert (ledger.breaks[kind].count, len(ledger.breaks[kind].first)) == (50, SHOWN)
    assert ledger.breaks[Break.LOST].first[0] == "battles/0/0"


def test_a_million_offsets_take_some_tens_of_megabytes() -> None:
    tracemalloc.start()
    try:
        ledger = AnswerLedger("battles", {0: range(1_000_000)}, {0: 1_000_000})
        ledger.settle({0: 1_000_000}, None)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 60_000_000
