"""The store: what it counts, in whatever order and batches records come, and what it gives up."""

from __future__ import annotations

import random
from datetime import timedelta

from prefstream.consumer.board.store.records import PreferenceRecord, VoteRecord
from prefstream.consumer.board.store.store import Store
from prefstream.schemas import encode_preference
from prefstream.schemas.wire import encode_vote
from tests.support.board import dump, preference_record, vote_record
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
