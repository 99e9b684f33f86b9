"""Brokers are away when nobody answers although we listen; that we could not listen says nothing of them."""

from __future__ import annotations

import pytest

from prefstream.consumer.client.silence import LONGEST_TURN_S, Silence
from tests.support.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def silence(clock: FakeClock) -> Silence:
    return Silence(clock.monotonic)


def listen(silence: Silence, clock: FakeClock, seconds: float, heard_at: float) -> float:
    """Look four times a second for so long; what it says at the end."""
    lasts_s = 0.0
    for _ in range(int(seconds * 4)):
        clock.now += 0.25
        lasts_s = silence.lasts_s(heard_at)
    return lasts_s


def test_it_lasts_from_the_last_answer_on(silence: Silence, clock: FakeClock) -> None:
    heard_at = clock.now
    assert listen(silence, clock, 7.0, heard_at) == 7.0
    clock.now += 0.25
    assert silence.lasts_s(clock.now - 0.125) == 0.125


def test_before_the_first_answer_it_lasts_from_the_start_on(silence: Silence, clock: FakeClock) -> None:
    assert listen(silence, clock, 3.0, 0.0) == 3.0


def test_a_process_that_was_frozen_itself_has_not_listened(silence: Silence, clock: FakeClock) -> None:
    heard_at = clock.now
    clock.now += 600.0
    assert silence.lasts_s(heard_at) == LONGEST_TURN_S
    assert listen(silence, clock, 1.0, clock.now + 1.0) == 0.0


def test_long_turns_add_up_all_the_same(silence: Silence, clock: FakeClock) -> None:
    """Each waits in a call for ten seconds, because the brokers are away."""
    heard_at = clock.now
    for turn in range(1, 5):
        clock.now += 10.0
        assert silence.lasts_s(heard_at) == turn * LONGEST_TURN_S
