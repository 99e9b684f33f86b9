"""Dead letters of the last day, by reason."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.board.report.stream_payloads import RecordPlace
from prefstream.consumer.board.watch.tally import DAY_MS, Tally, known_reason
from prefstream.schemas.dead_letter import Reason

NOW = 1_790_000_000_000
MINUTE = 60_000


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def place(offset: int) -> RecordPlace:
    return RecordPlace(topic="battles.dead-letters", partition=0, offset=offset)


def test_the_most_frequent_reason_comes_first_with_its_newest_letter() -> None:
    tally = Tally(Clock())
    for offset, (reason, age_ms) in enumerate([("not_json", 9), ("null_value", 7), ("not_json", 3), ("not_json", 5)]):
        tally.add(reason, NOW - age_ms, place(offset))
    told = tally.counts(complete=True)
    assert (told.total, told.complete) == (4, True)
    assert [(one.reason, one.count, one.newest.offset) for one in told.reasons] == [
        ("not_json", 3, 2),
        ("null_value", 1, 1),
    ]
    assert told.reasons[0].newest_at == datetime.fromtimestamp((NOW - 3) / 1000, UTC)


def test_what_is_a_day_old_leaves() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.add("not_json", NOW, place(1))
    clock.now += DAY_MS
    assert tally.counts(complete=True).total == 1
    clock.now += MINUTE
    told = tally.counts(complete=True)
    assert (told.total, told.reasons) == (0, ())
    tally.add("not_json", NOW, place(2))
    assert tally.counts(complete=True).total == 0


@given(st.lists(st.tuples(st.sampled_from(["not_json", "null_value"]), st.integers(0, DAY_MS)), max_size=50))
def test_what_is_told_is_what_was_added_since(letters: list[tuple[str, int]]) -> None:
    tally = Tally(Clock())
    for offset, (reason, age_ms) in enumerate(letters):
        tally.add(reason, NOW - age_ms, place(offset))
    told = tally.counts(complete=False)
    assert told.total == len(letters) == sum(one.count for one in told.reasons)
    assert [one.count for one in told.reasons] == sorted((one.count for one in told.reasons), reverse=True)


def test_reasons_are_ours_or_unknown() -> None:
    assert all(known_reason(reason) == reason for reason in Reason)
    assert known_reason("=HYPERLINK(1)") == "unknown"
