"""How long records wait, as far as one can tell from where partitions end."""

from __future__ import annotations

from prefstream.consumer.board.ingest.behind import Behind
from prefstream.consumer.client.protocols import TopicPartition
from tests.support.fake_clock import FakeClock

ONE, OTHER = TopicPartition("preferences", 0), TopicPartition("votes", 0)


def test_nothing_waits_where_all_is_taken_in() -> None:
    clock = FakeClock()
    behind = Behind(clock.monotonic)
    assert behind.for_s == 0
    behind.look({ONE: range(5, 5)})
    clock.now += 100
    assert behind.for_s == 0


def test_a_topic_that_is_never_read_to_its_end_is_not_behind_while_reading_passes_where_it_ended() -> None:
    clock = FakeClock()
    behind = Behind(clock.monotonic)
    for turn in range(100):
        behind.look({ONE: range(10 * turn, 10 * turn + 10)})
        clock.now += 1
    assert behind.for_s == 1


def test_a_record_waits_from_when_it_was_seen_to_be_there() -> None:
    clock = FakeClock()
    behind = Behind(clock.monotonic)
    behind.look({ONE: range(100), OTHER: range(0)})
    clock.now += 20
    behind.look({ONE: range(99, 500), OTHER: range(7)})
    clock.now += 5
    assert behind.for_s == 25
    behind.look({ONE: range(100, 500), OTHER: range(7)})
    assert behind.for_s == 5
    behind.look({ONE: range(100, 500), OTHER: range(7, 7)})
    assert behind.for_s == 0
    clock.now += 3
    assert behind.for_s == 3


def test_while_nobody_knows_nothing_is_said_to_wait() -> None:
    clock = FakeClock()
    behind = Behind(clock.monotonic)
    behind.look({ONE: range(100)})
    clock.now += 50
    behind.look({})
    assert behind.for_s == 0
