"""Batches close on count, on tokens, or some time after the one before; never out of order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.client.patches.unfair_polls import HEADER_BYTES
from prefstream.consumer.config import BYTES_PER_TOKEN
from prefstream.consumer.stream.batch import Batcher
from tests.support.streams import make_event


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def test_a_batch_closes_when_it_is_full() -> None:
    batcher = Batcher(2, 1_000, 60)
    closed = batcher.add(make_event(offset=offset) for offset in range(5))
    assert [[event.record.offset for event in batch.events] for batch in closed] == [[0, 1], [2, 3]]
    assert batcher.room == 1


def test_a_batch_closes_when_it_holds_enough_tokens() -> None:
    batcher = Batcher(100, 10, 60)
    text = b"x" * 4 * BYTES_PER_TOKEN
    closed = batcher.add(make_event(text, offset=offset) for offset in range(4))
    assert [len(batch.events) for batch in closed] == [3]


def test_an_event_without_value_counts_as_no_tokens() -> None:
    assert Batcher(2, 1, 60).add([make_event(None)]) == []


def test_a_lone_event_leaves_at_once() -> None:
    clock = Clock()
    batcher = Batcher(10, 1_000, 0.5, clock)
    assert batcher.wait_s() is None
    for _ in range(2):
        batcher.add([make_event()])
        assert batcher.wait_s() == 0.0
        batch = batcher.due()
        assert batch is not None
        assert batch.opened_at == clock.now_s
        assert batcher.due() is None
        clock.now_s += 0.5


def test_events_that_follow_a_batch_wait_for_company_and_leave_together() -> None:
    clock = Clock()
    batcher = Batcher(10, 1_000, 0.5, clock)
    batcher.add([make_event(offset=0)])
    assert batcher.due() is not None
    clock.now_s += 0.1
    batcher.add([make_event(offset=1)])
    clock.now_s += 0.3
    batcher.add([make_event(offset=2)])
    assert batcher.due() is None
    assert 0.09 < (batcher.wait_s() or 0) <= 0.1001
    clock.now_s += 0.1
    batch = batcher.due()
    assert batch is not None
    assert [event.record.offset for event in batch.events] == [1, 2]
    assert batch.opened_at == 50.1


def test_a_full_batch_makes_those_that_follow_wait_as_well() -> None:
    clock = Clock()
    batcher = Batcher(2, 1_000, 0.5, clock)
    batcher.add(make_event(offset=offset) for offset in range(3))
    assert batcher.wait_s() == 0.5


def test_an_overdue_batch_is_not_waited_for() -> None:
    clock = Clock()
    batcher = Batcher(2, 1_000, 0.5, clock)
    batcher.add(make_event(offset=offset) for offset in range(3))
    clock.now_s += 5
    assert batcher.wait_s() == 0.0


@given(
    sizes=st.lists(st.integers(0, 200), max_size=60),
    max_events=st.integers(1, 10),
    max_tokens=st.integers(1, 100),
    chunk=st.integers(1, 10),
)
def test_every_event_is_in_one_batch_in_order_and_no_batch_could_have_closed_before(
    sizes: list[int], max_events: int, max_tokens: int, chunk: int
) -> None:
    batcher = Batcher(max_events, max_tokens, 0.0)
    events = [make_event(b"x" * size, offset=offset) for offset, size in enumerate(sizes)]
    batches = [batch for start in range(0, len(events), chunk) for batch in batcher.add(events[start : start + chunk])]
    rest = batcher.due()
    assert [event for batch in [*batches, *([rest] if rest else [])] for event in batch.events] == events
    for batch in batches:
        tokens = [len(event.record.value or b"") // BYTES_PER_TOKEN for event in batch.events]
        assert len(tokens) <= max_events
        assert sum(tokens[:-1]) < max_tokens
        assert len(tokens) == max_events or sum(tokens) >= max_tokens


def test_a_batch_knows_what_its_records_take_of_memory() -> None:
    """Headers as the objects that they become, whose own bytes are the least of it."""
    event = make_event(b"v" * 100, key=b"k" * 10, headers=[("name", b"x" * 6), ("", None)])
    (batch,) = Batcher(1, 1_000, 60).add([event])
    assert batch.weight_bytes == 100 + 10 + (4 + 6) + 2 * HEADER_BYTES
    (batch,) = Batcher(2, 1_000, 60).add([make_event(None, key=None), event])
    assert batch.weight_bytes == 100 + 10 + (4 + 6) + 2 * HEADER_BYTES
