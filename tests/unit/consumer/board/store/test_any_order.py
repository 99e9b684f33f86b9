"""Whatever the order, the batches and the restarts in which records come: the file holds the same; bounds hold."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from prefstream.consumer.board.store.records import COUNTERS, PreferenceRecord, ReadProgress, StoredOffset, VoteRecord
from prefstream.consumer.board.store.store import Store
from tests.support.board import BEGIN_MS, dump, preference_record, vote_record

WINDOW = timedelta(hours=1)
VOTERS = ("ann", "bob", None)
WINNERS = ("model_a", "model_b", "tie", "both_bad")

Cast = tuple[int, str, str | None, int]
"""Number of the battle, winner, voter, timestamp."""

votes = st.lists(
    st.builds(
        lambda number, winner, voter, minutes: (number, winner, voter, BEGIN_MS + minutes * 60_000),
        st.integers(0, 7),  # of six battles, and two that there are not
        st.sampled_from(WINNERS),
        st.sampled_from(VOTERS),
        st.integers(-90, 90),
    ),
    max_size=20,
)


def records(
    seed: int, cast: Sequence[tuple[int, str, str | None, int]]
) -> tuple[list[PreferenceRecord], list[VoteRecord]]:
    """Six battles, minutes apart, and the votes; a second record of one voter for one battle has a later offset."""
    rng = random.Random(seed)
    battles = [preference_record(number, rng, at=BEGIN_MS + number * 300_000) for number in range(6)]
    people = [
        vote_record(number, winner, voter, at=at, offset=offset)
        for offset, (number, winner, voter, at) in enumerate(cast)
    ]
    return battles, people


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), cast=votes, data=st.data())
def test_any_order_batches_and_restarts_give_the_same_file(seed: int, cast: list[Cast], data: st.DataObject) -> None:
    battles, people = records(seed, cast)
    with Store(vote_window=WINDOW) as store:
        store.apply(battles, people)
        expected = dump(store._connection)
    shuffled: list[PreferenceRecord | VoteRecord] = data.draw(st.permutations([*battles, *people]))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "board.db"
        while shuffled:
            size = data.draw(st.integers(1, len(shuffled)))
            batch, shuffled = shuffled[:size], shuffled[size:]
            with Store(path, vote_window=WINDOW) as store:
                store.apply(
                    [one for one in batch if isinstance(one, PreferenceRecord)],
                    [one for one in batch if isinstance(one, VoteRecord)],
                )
        assert dump(path) == expected


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), cast=votes, data=st.data())
def test_records_that_are_delivered_again_change_no_vote_and_no_sum(
    seed: int, cast: list[Cast], data: st.DataObject
) -> None:
    battles, people = records(seed, cast)
    again = data.draw(st.lists(st.sampled_from([*battles, *people]), max_size=20))
    with Store(vote_window=WINDOW) as store:
        store.apply(battles, people)
        expected = dump(store._connection, leave_out=frozenset({"counters", "pending_votes"}))
        store.apply(
            [one for one in again if isinstance(one, PreferenceRecord)],
            [one for one in again if isinstance(one, VoteRecord) and one.vote.id < "b6"],
        )
        assert dump(store._connection, leave_out=frozenset({"counters", "pending_votes"})) == expected
        repeated = sum(isinstance(one, PreferenceRecord) for one in again)
        assert store.reader().counters().get("duplicate_battles", 0) == repeated


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    cast=votes,
    most=st.integers(1, 4),
    until=st.lists(st.tuples(*[st.integers(-200, 200) | st.none()] * 2), min_size=1, max_size=8),
    data=st.data(),
)
def test_bounds_hold_and_every_vote_is_accounted_for(
    seed: int,
    cast: list[Cast],
    most: int,
    until: list[tuple[int | None, int | None]],
    data: st.DataObject,
) -> None:
    battles, people = records(seed, cast)
    left: list[PreferenceRecord | VoteRecord] = data.draw(st.permutations([*battles, *people]))
    with Store(vote_window=WINDOW, max_join_rows=most) as store:
        for number, (preferences_until, votes_until) in enumerate(until, start=1):
            size = len(left) if number == len(until) else data.draw(st.integers(0, len(left)))
            batch, left = left[:size], left[size:]
            store.apply(
                [one for one in batch if isinstance(one, PreferenceRecord)],
                [one for one in batch if isinstance(one, VoteRecord)],
                ReadProgress(
                    [StoredOffset("t", 0, None, number)],
                    None if preferences_until is None else BEGIN_MS + preferences_until * 60_000,
                    None if votes_until is None else BEGIN_MS + votes_until * 60_000,
                ),
            )
            held = dump(store._connection)
            for table in ("battles", "gone", "pending_votes"):
                assert len(held[table]) <= most, table
                assert store._join._rows[table] == len(held[table])
            counters: Counter[str] = Counter(dict(held["counters"]))
            assert counters.keys() <= COUNTERS.keys()
            accounted = len(held["votes"]) + len(held["pending_votes"])
            assert counters["votes"] == accounted + sum(
                counters[name] for name in ("replaced_votes", "too_late", "unknown_battles")
            )
        assert counters["preferences"] + counters["duplicate_battles"] == len(battles)
        assert sum(row.battles for row in store.reader().hours()) == counters["preferences"]
