"""How many battles may be under way, and how often one may be tried."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from prefstream.consumer.board.battles.gate import MINUTE_S, Gate, TooManyError


def test_one_more_than_may_be_inside_is_refused_until_another_has_left() -> None:
    gate = Gate(at_once=2)
    with ExitStack() as inside:
        inside.enter_context(gate.enter())
        with gate.enter(), pytest.raises(TooManyError, match="2 are under way"), gate.enter():
            pass
        with gate.enter():
            pass


def test_who_failed_inside_has_left() -> None:
    gate = Gate(at_once=1)
    with pytest.raises(ZeroDivisionError), gate.enter():
        raise ZeroDivisionError
    with gate.enter():
        pass


def test_one_more_in_a_minute_is_told_when_to_come_again() -> None:
    now = 100.0
    gate = Gate(at_once=1, a_minute=2, clock=lambda: now)
    gate.count()
    now += 20
    gate.count()
    now += 0.5
    for _ in range(2):  # who is refused does not count
        with pytest.raises(TooManyError) as refused:
            gate.count()
        assert refused.value.again_after_s == 40
    now += refused.value.again_after_s
    gate.count()
    with pytest.raises(TooManyError):
        gate.count()
    now += MINUTE_S
    gate.count()
