"""Judges on one device compute side by side, but for one that has it alone; and none waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefstream.scoring.judges.memory.device_share import DeviceShare, share_of

WATCHDOG_S = 60
"""For a deadlock to become a failure."""


def run_together(work: Sequence[Callable[[], None]]) -> None:
    """Each in a thread of its own; fails where one fails, or does not end."""
    with ThreadPoolExecutor(len(work)) as pool:
        for running in [pool.submit(one) for one in work]:
            running.result(timeout=WATCHDOG_S)


def test_judges_on_one_device_have_one_share() -> None:
    assert share_of("cuda:7") is share_of("cuda:7")
    assert share_of("cuda:7") is not share_of("cuda:6")


def test_two_compute_side_by_side() -> None:
    share, both_are_in = DeviceShare(), threading.Barrier(2, timeout=WATCHDOG_S)

    def one() -> None:
        with share.side_by_side():
            both_are_in.wait()

    run_together([one, one])


def test_who_wants_to_be_alone_waits_for_those_who_compute_and_holds_off_those_who_come() -> None:
    share, order = DeviceShare(), []
    first_is_in, alone_is_asked_for = threading.Event(), threading.Event()

    def first() -> None:
        with share.side_by_side():
            first_is_in.set()
            assert alone_is_asked_for.wait(WATCHDOG_S)
            order.append("first")

    def alone() -> None:
        assert first_is_in.wait(WATCHDOG_S)
        asking = threading.Thread(target=later, daemon=True)
        with share.alone():
            asking.start()
            order.append("alone")
        asking.join(WATCHDOG_S)

    def later() -> None:
        with share.side_by_side():
            order.append("later")

    def watch() -> None:
        while not share._alone:
            pass
        alone_is_asked_for.set()

    run_together([first, alone, watch])
    assert order == ["first", "alone", "later"]


@pytest.mark.parametrize("how", ["side_by_side", "alone"])
def test_what_fails_inside_gives_its_share_back(how: str) -> None:
    share = DeviceShare()
    with pytest.raises(ValueError, match="inside"), getattr(share, how)():
        raise ValueError("inside")
    with share.alone():
        pass
    with share.side_by_side():
        pass


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=12), min_size=2, max_size=5))
@settings(deadline=None, max_examples=60)
def test_whoever_is_alone_is_and_all_come_to_their_end(threads: list[list[bool]]) -> None:
    share, inside, lock = DeviceShare(), [0], threading.Lock()

    def one(turns: list[bool]) -> None:
        for alone in turns:
            with share.alone() if alone else share.side_by_side():
                with lock:
                    inside[0] += 1
                for _ in range(20):
                    assert inside[0] == 1 or not alone
                with lock:
                    inside[0] -= 1

    run_together([lambda turns=turns: one(turns) for turns in threads])  # type: ignore[misc]
    assert inside == [0]
