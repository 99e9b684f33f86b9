"""The store: what it counts, in whatever order and batches records come, and what it gives up."""

from __future__ import annotations

import random
from datetime import timedelta

from prefstream.consumer.board.store.records import PreferenceRecord, VoteRecord
from prefstream.consumer.board.store.store import Store
from prefstream.schemas import encode_preference
from prefstream.schemas.wire import encode_vote
from tests.support.board import dump, preference_record, vote_record
from tests.support.board_recount import Raw, Recount, recount

WINDOW = timedelta(hours=1)


def raw(preferences: list[PreferenceRecord], votes: list[VoteRecord]) -> Recount:
    return recount(
        [Raw(encode_preference(one.preference), one.at, one.partition, one.offset) for one in preferences],
        [Raw(encode_vote(one.vote), one.at, one.partition, one.offset) for one in votes],
        WINDOW // timedelta(milliseconds=1),
    )


def assert_holds(store: Store, expected: Recount) -> None:
    """Every count and sum is that of the recount, to the last bit."""
    held = dump(store._connection)
    counters = dict(held["counters"])
    assert counters.get("preferences", 0) == expected.counters["preferences"]
    for name in ("duplicate_battles", "unnamed", "votes", "too_late", "replaced_votes"):
        assert counters.get(name, 0) == expected.counters[name], name
    assert len(held["pending_votes"]) == expected.counters["waiting"]
    winners = ("model_a", "model_b", "tie", "both_bad")
    assert sorted((i, winners[w], at, p, o) for i, w, at, _, p, o in held["votes"]) == expected.votes
    hours: dict[object, list[int]] = {}
    for hour, one, other, language, _, panel, *sums in held["hours"]:
        cell = hours.setdefault((hour, one, other, language, panel and panel[:64]), [0] * 10)
        cell[:] = [have + more for have, more in zip(cell, sums, strict=True)]
    assert hours == expected.hours
    facts = {
        (hour, language, panel and panel[:64]): [*sums[:4], *sums[7:12], sums[13], *sums[14:16]]
        for hour, language, panel, *sums in held["hour_facts"]
    }
    assert facts == expected.facts


def test_votes_and_preferences_are_counted_as_a_recount_of_the_records_counts_them() -> None:
    rng = random.Random(1)
    preferences = [preference_record(number, rng) for number in range(300)]
    votes = [vote_record(rng.randrange(310), voter=rng.choice(("ann", "bob", None)), offset=n) for n in range(200)]
    with Store(vote_window=WINDOW) as store:
        store.apply(preferences, votes)
        assert_holds(store, raw(preferences, votes))
