"""For how long battles have waited with no answer."""

from __future__ import annotations

from prefstream.consumer.board.watch.lag import Unanswered
from prefstream.consumer.client.protocols import TopicPartition
from tests.support.fake_clock import FakeClock

ONE, OTHER = TopicPartition("battles", 0), TopicPartition("battles", 1)


def test_a_long_quiet_is_no_wait() -> None:
    clock = FakeClock()
    unanswered = Unanswered(clock.monotonic)
    for _ in range(100):
        unanswered.look({ONE: 7}, 0)
        clock.now += 5
    assert unanswered.for_s == 0


def test_battles_wait_from_when_they_were_seen_and_from_the_last_answer_on() -> None:
    clock = FakeClock()
    unanswered = Unanswered(clock.monotonic)
    unanswered.look({ONE: 7, OTHER: 1}, 0)
    clock.now += 500
    unanswered.look({ONE: 7, OTHER: 1}, 3)
    clock.now += 50
    unanswered.look({ONE: 7, OTHER: 1}, 90)
    assert unanswered.for_s == 50
    unanswered.look({ONE: 7, OTHER: 2}, 89)
    clock.now += 4
    assert unanswered.for_s == 4
    unanswered.look({ONE: 90, OTHER: 8}, 0)
    clock.now += 100
    assert unanswered.for_s == 0
