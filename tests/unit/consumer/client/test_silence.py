"""Brokers are away when nobody answers although we listen; that we could not listen says nothing of them."""

from __future__ import annotations

import pytest

from prefstream.consumer.client.silence import LONGEST_TURN_S, Silence
from tests.support.fake_clock import FakeClock


class Stage:
    """Somebody who listens; the test says when a broker has answered last."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.heard_at = self.clock.now
        self.silence = Silence(lambda: self.heard_at, self.clock.monotonic)

    def look(self, after_s: float) -> float:
        self.clock.now += after_s
        return self.silence.lasts_s()

    def listen(self, seconds: float) -> float:
        """Look four times a second for so long; what it says at the end."""
        return [self.look(0.25) for _ in range(int(seconds * 4))][-1]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_it_lasts_from_the_last_answer_on(stage: Stage) -> None:
    assert stage.listen(7.0) == 7.0
    stage.heard_at = stage.clock.now + 0.125
    assert stage.look(0.25) == 0.125


def test_before_the_first_answer_it_lasts_from_the_start_on(stage: Stage) -> None:
    stage.heard_at = 0.0
    assert stage.listen(3.0) == 3.0


def test_a_process_that_was_frozen_itself_has_not_listened(stage: Stage) -> None:
    assert stage.look(600.0) == LONGEST_TURN_S
    stage.heard_at = stage.clock.now + 1.0
    assert stage.listen(1.0) == 0.0


def test_long_turns_add_up_all_the_same(stage: Stage) -> None:
    for turn in range(1, 5):
        assert stage.look(10.0) == turn * LONGEST_TURN_S
