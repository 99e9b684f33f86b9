"""The store: what it counts, and what it gives up."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest

from prefstream.consumer.board.store import names
from prefstream.consumer.board.store.records import PreferenceRecord, ReadProgress, VoteRecord
from prefstream.consumer.board.store.store import Store
from prefstream.schemas import encode_preference
from prefstream.schemas.wire import encode_vote
from tests.support.board import BEGIN_MS, dump, preference_record, vote_record
from tests.support.board_recount import Raw, Recount, assert_equal, recount

WINDOW = timedelta(hours=1)


def raw(preferences: list[PreferenceRecord], votes: list[VoteRecord]) -> Recount:
    return recount(
        [Raw(encode_preference(one.preference), one.at, one.partition, one.offset) for one in preferences],
        [Raw(encode_vote(one.vote), one.at, one.partition, one.offset) for one in votes],
        WINDOW // timedelta(milliseconds=1),
    )


def test_votes_and_preferences_are_counted_as_a_recount_of_the_records_counts_them() -> None:
    rng = random.Random(1)
    preferences = [preference_record(number, rng) for number in range(300)]
    votes = [vote_record(rng.randrange(310), voter=rng.choice(("ann", "bob", None)), offset=n) for n in range(200)]
    with Store(vote_window=WINDOW) as store:
        store.apply(preferences, votes)
        assert_equal(dump(store._connection), raw(preferences, votes))


def counters(store: Store) -> dict[str, int]:
    return store.reader().counters()


def test_a_vote_waits_for_its_battle_and_counts_when_it_comes() -> None:
    rng = random.Random(2)
    with Store(vote_window=WINDOW) as store:
        store.apply(votes=[vote_record(1)])
        assert len(store.reader().votes()) == 0
        store.apply([preference_record(1, rng)])
        assert len(store.reader().votes()) == 1


def test_a_vote_for_a_battle_that_had_no_more_room_is_too_late() -> None:
    rng = random.Random(3)
    with Store(vote_window=WINDOW, max_join_rows=2) as store:
        store.apply([preference_record(number, rng) for number in range(3)])
        store.apply(votes=[vote_record(0), vote_record(1), vote_record(2)])
        assert len(store.reader().votes()) == 2
        assert counters(store) == {"preferences": 3, "votes": 3, "join_full": 1, "too_late": 1}


def test_a_battle_leaves_once_no_vote_can_reach_it_and_not_before() -> None:
    rng = random.Random(4)
    window_ms = WINDOW // timedelta(milliseconds=1)
    with Store(vote_window=WINDOW) as store:
        store.apply([preference_record(0, rng, at=BEGIN_MS)], progress=ReadProgress(votes_until=BEGIN_MS + window_ms))
        store.apply(votes=[vote_record(0, voter="ann", at=BEGIN_MS + window_ms)])
        assert len(store.reader().votes()) == 1
        store.apply([preference_record(1, rng, at=BEGIN_MS)])
        store.apply(progress=ReadProgress(votes_until=BEGIN_MS + window_ms + 1))
        store.apply(votes=[vote_record(1, at=BEGIN_MS + window_ms)])
        assert counters(store)["too_late"] == 1
        # One that has a vote stays for others that come within the window.
        store.apply(votes=[vote_record(0, voter="bob", at=BEGIN_MS + window_ms)])
        assert len(store.reader().votes()) == 2


def test_a_vote_that_nobody_can_meet_any_more_is_of_an_unknown_battle() -> None:
    rng = random.Random(5)
    window_ms = WINDOW // timedelta(milliseconds=1)
    with Store(vote_window=WINDOW) as store:
        store.apply(votes=[vote_record(1, at=BEGIN_MS)], progress=ReadProgress(preferences_until=BEGIN_MS + window_ms))
        assert "unknown_battles" not in counters(store)
        store.apply(progress=ReadProgress(preferences_until=BEGIN_MS + window_ms + 1))
        assert counters(store)["unknown_battles"] == 1
        store.apply([preference_record(1, rng, at=BEGIN_MS)])
        assert len(store.reader().votes()) == 0


def test_of_two_votes_of_one_voter_the_later_record_counts_and_nobody_stands_for_another() -> None:
    rng = random.Random(6)
    at = BEGIN_MS + 60_000
    with Store(vote_window=WINDOW) as store:
        store.apply([preference_record(0, rng, at=BEGIN_MS)])
        store.apply(votes=[vote_record(0, "model_b", "ann", at + 1), vote_record(0, "model_a", "ann", at)])
        assert list(store.reader().votes().outcomes) == [1]
        store.apply(
            votes=[vote_record(0, "tie", "bob", at), vote_record(0, "tie", None, at), vote_record(0, "tie", at=at + 1)]
        )
        assert len(store.reader().votes()) == 4
        assert counters(store)["replaced_votes"] == 1


def test_no_name_of_a_voter_is_in_the_file_and_no_two_files_hash_alike(tmp_path: Path) -> None:
    rng = random.Random(7)
    voters = []
    for name in ("one", "two"):
        with Store(tmp_path / name, vote_window=WINDOW) as store:
            store.apply([preference_record(0, rng)], [vote_record(0, voter="zqvoter")])
            voters += store._connection.execute("SELECT voter FROM votes").fetchall()
        assert b"zqvoter" not in (tmp_path / name).read_bytes()
    assert voters[0] != voters[1]


def test_a_duplicate_is_told_by_its_place() -> None:
    rng = random.Random(8)
    with Store() as store:
        applied = store.apply([preference_record(1, rng), preference_record(4, rng), preference_record(1, rng)])
        assert applied.duplicates == [(1, 1)]
        assert applied.counted == {"preferences": 2, "duplicate_battles": 1}


def test_many_names_are_told_apart_although_few_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST_REMEMBERED", 2)
    rng = random.Random(9)
    with Store() as store:
        for number in range(20):
            store.apply([preference_record(number, rng, model_a=f"m{number % 5}", model_b="other")])
        assert store.reader().models() == ("m0", "m1", "m2", "m3", "m4", "other")
        assert store.reader().cells().counts.sum() == 20


def test_names_of_a_batch_that_failed_are_not_remembered() -> None:
    rng = random.Random(10)
    with Store() as store:
        good = preference_record(0, rng, model_a="a", model_b="b")
        broken = preference_record(1, rng)._replace(at=2**70)  # more than SQLite's integers hold
        with pytest.raises(OverflowError):
            store.apply([good, broken])
        assert store.reader().models() == ()
        store.apply([good])
        assert store.reader().models() == ("a", "b")


def test_votes_that_wait_are_read_again_from_a_topic_that_was_filled_from_a_copy() -> None:
    with Store() as store:
        votes = [vote_record(1, voter="ann"), vote_record(1), vote_record(2, voter="ann")]
        store.apply(votes=votes)
        store.apply(votes=[*votes, vote_record(3)])
        assert counters(store) == {"votes": 7, "replaced_votes": 3}
        store.apply([preference_record(number, random.Random(11)) for number in (1, 2, 3)])
        assert len(store.reader().votes()) == 4
        assert counters(store) == {"votes": 7, "replaced_votes": 3, "preferences": 3}


def test_a_battle_that_was_forgotten_may_come_again_on_the_day_that_it_is_a_candidate_of() -> None:
    rng = random.Random(12)
    records = [preference_record(number, rng) for number in range(4)]
    with Store(max_join_rows=1) as store:
        store.apply(records)
        applied = store.apply(records[:1])
        assert applied.counted["preferences"] == 1  # nobody remembers it
        assert {one.id for one in store.reader().candidates()} == {"b0", "b1", "b2", "b3"}
