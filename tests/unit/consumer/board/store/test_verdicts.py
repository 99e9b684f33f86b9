"""The newest verdicts: whole, bounded, and numbered through for the life of a file."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.board.battles.payloads import ID_PREFIX
from prefstream.consumer.board.store.records import PreferenceRecord
from prefstream.consumer.board.store.store import Store
from prefstream.consumer.board.store.verdicts import (
    MOST_KEPT,
    MOST_OF_A_BATCH,
    MOST_TRIED,
    Verdict,
    event_id,
    sequence_of,
)
from prefstream.schemas.preference import FileSource
from tests.support.board import preference_record


def records(numbers: range, **changes: Any) -> list[PreferenceRecord]:
    rng = random.Random(numbers.start)
    return [preference_record(number, rng, **changes) for number in numbers]


def kept(store: Store) -> list[int]:
    return [sequence for sequence, _ in store.reader().verdicts()]


def kept_verdicts(store: Store) -> list[Verdict]:
    return [Verdict.model_validate_json(text) for _, text in store.reader().verdicts()]


def key_of(store: Store) -> str:
    return str(store.reader().meta("file_key"))


def test_a_verdict_says_what_its_preference_says() -> None:
    taken = [*records(range(20)), *records(range(20, 21), source=FileSource(file="x.jsonl", line=3), recused=("one",))]
    with Store() as store:
        store.apply(taken)
        key, verdicts = key_of(store), kept_verdicts(store)
    assert [verdict.event for verdict in verdicts] == [event_id(key, number) for number in range(1, 22)]
    for verdict, record in zip(verdicts, taken, strict=True):
        said = record.preference
        assert (verdict.id, verdict.probabilities, verdict.preferred) == (said.id, said.probabilities, said.preferred)
        assert (verdict.model_a, verdict.source, verdict.style) == (said.model_a, said.source, said.style)
        assert (verdict.adjusted, verdict.recused) == (said.adjusted, said.recused or ())
        assert verdict.published_at.timestamp() * 1000 == pytest.approx(record.at)
        for told, judge in zip(verdict.judges, said.judges, strict=True):
            assert (told.name, told.as_given, told.position_gap) == (judge.name, judge.as_given, judge.position_gap)
            assert told.cut is (judge.truncation is not None and judge.truncation.dropped_prompt > 0)


def test_every_battle_that_counts_has_the_next_number_over_restarts_too(tmp_path: Path) -> None:
    path = tmp_path / "board.sqlite"
    with Store(path) as store:
        store.apply(records(range(3)))
        store.apply(records(range(2, 4)))  # the first of them is known
        key = key_of(store)
    with Store(path) as store:
        store.apply(records(range(4, 6)))
        assert kept(store) == [1, 2, 3, 4, 5, 6]
        assert key_of(store) == key
        assert [verdict.id for verdict in kept_verdicts(store)] == [f"b{number}" for number in range(6)]


def test_another_file_has_another_key(tmp_path: Path) -> None:
    with Store(tmp_path / "one") as one, Store(tmp_path / "other") as other:
        assert key_of(one) != key_of(other)


def test_the_newest_are_kept_and_of_a_large_batch_only_the_newest() -> None:
    with Store() as store:
        for first in range(0, MOST_KEPT + 100, 100):
            store.apply(records(range(first, first + 100)))
        assert kept(store) == [*range(101, MOST_KEPT + 101)]
        store.apply(records(range(1_000, 2_000)))
        assert kept(store) == [*range(1_600 - MOST_OF_A_BATCH + 1, 1_601)]


def test_one_that_was_tried_out_is_kept_and_found_however_many_come_with_it() -> None:
    with Store() as store:
        batch = records(range(1_000))
        batch[300] = preference_record(300, random.Random(1), id=f"{ID_PREFIX}one")
        store.apply(batch)
        store.apply(records(range(1_000, 3_000)))
        assert kept(store) == [301, *range(3_000 - MOST_OF_A_BATCH + 1, 3_001)]
        found = store.reader().verdict_of(f"{ID_PREFIX}one")
        assert found is not None
        assert Verdict.model_validate_json(found).event == event_id(key_of(store), 301)
        assert store.reader().verdict_of("b2999") is not None
        assert store.reader().verdict_of("b300") is None


def test_of_those_that_were_tried_out_the_newest_are_kept() -> None:
    """Strangers can call their battles so, too."""
    with Store() as store:
        rng = random.Random(2)
        tried = [preference_record(number, rng, id=f"{ID_PREFIX}{number}") for number in range(MOST_TRIED + 50)]
        store.apply(tried)
        for first in range(1_000, 1_000 + 2 * MOST_KEPT, 100):
            store.apply(records(range(first, first + 100)))
        last = len(tried) + 2 * MOST_KEPT
        assert kept(store) == [*range(51, 51 + MOST_TRIED), *range(last - MOST_KEPT + 1, last + 1)][-MOST_KEPT:]
        assert store.reader().verdict_of(f"{ID_PREFIX}50") is not None
        assert store.reader().verdict_of(f"{ID_PREFIX}49") is None


def test_the_newest_of_a_stretch_can_be_asked_for() -> None:
    with Store() as store:
        store.apply(records(range(10)))
        assert [sequence for sequence, _ in store.reader().verdicts(after=2, until=8, limit=3)] == [6, 7, 8]


def test_one_that_is_too_long_to_be_shown_is_left_out_and_has_its_number() -> None:
    with Store() as store:
        store.apply([*records(range(1)), *records(range(1, 2), model_a="x" * 20_000), *records(range(2, 3))])
        assert kept(store) == [1, 3]


@given(st.text(alphabet="0123456789abcdef", min_size=12, max_size=12), st.integers(0, 10**15))
def test_an_event_id_tells_its_number_to_its_own_file_alone(key: str, sequence: int) -> None:
    assert sequence_of(key, event_id(key, sequence)) == sequence
    assert sequence_of(f"{key}0", event_id(key, sequence)) is None


@pytest.mark.parametrize("event", ["", "-", "key-", "key--1", "key-x", "key-1 ", "key-²", f"key-{'9' * 30}", "5"])
def test_what_is_no_event_id_has_no_number(event: str) -> None:
    assert sequence_of("key", event) is None
