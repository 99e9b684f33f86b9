"""Calls that hang are noticed; calls that return in time are not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
from structlog.testing import capture_logs

from prefstream.consumer.client import watchdog as watchdog_module
from prefstream.consumer.client.watchdog import EXIT_STALLED, Watchdog
from tests.support.streams import WAIT_S, wait_until


@pytest.fixture
def stalls() -> list[str]:
    return []


@pytest.fixture
def watchdog(stalls: list[str]) -> Iterator[Watchdog]:
    with closing(Watchdog(0.2, lambda call, _: stalls.append(call))) as watchdog:
        yield watchdog


def test_a_call_that_hangs_is_named_once(watchdog: Watchdog, stalls: list[str]) -> None:
    with watchdog.guard("commit"):
        wait_until(lambda: stalls)
        time.sleep(0.3)
    assert stalls == ["commit"]


def test_calls_in_time_are_left_alone_however_many(stalls: list[str]) -> None:
    """Together they take longer than one may; each takes a hundredth of that, for machines that have other work."""
    with closing(Watchdog(2.0, lambda call, _: stalls.append(call))) as watchdog:
        for _ in range(110):
            with watchdog.guard("commit"):
                time.sleep(0.02)
    assert stalls == []


def test_time_between_calls_does_not_count(watchdog: Watchdog, stalls: list[str]) -> None:
    with watchdog.guard("commit"):
        pass
    time.sleep(0.4)
    assert stalls == []


def test_what_is_left_of_a_call_after_one_inside_it_is_watched_too(watchdog: Watchdog, stalls: list[str]) -> None:
    with watchdog.guard("transaction"):
        with watchdog.guard("commit"):
            pass
        wait_until(lambda: stalls)
    assert stalls == ["transaction"]


def test_a_call_inside_another_gets_no_time_of_its_own(watchdog: Watchdog, stalls: list[str]) -> None:
    started = time.monotonic()
    with watchdog.guard("transaction"):
        while not stalls and time.monotonic() - started < WAIT_S:
            with watchdog.guard("commit"):
                time.sleep(0.02)
    assert stalls


def test_a_call_that_raises_is_no_longer_watched(watchdog: Watchdog, stalls: list[str]) -> None:
    with suppress(OSError), watchdog.guard("commit"):
        raise OSError
    time.sleep(0.4)
    assert stalls == []


def test_a_call_that_waits_for_brokers_is_told_once_and_when_it_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog_module, "SLOW_S", 0.05)
    with capture_logs() as lines, closing(Watchdog(4 * WAIT_S)) as watchdog:
        with watchdog.guard("transaction"):
            with watchdog.guard("committed offsets"):
                pass
            wait_until(lambda: lines)
            time.sleep(0.1)
        with watchdog.guard("poll"):
            pass
    assert [(line["event"], line["call"]) for line in lines] == [
        ("waiting for the brokers", "transaction"),
        ("waited for the brokers", "transaction"),
    ]


def test_why_nobody_answers_is_asked_meanwhile_and_told_with_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog_module, "SLOW_S", 0.05)
    stalls: list[tuple[str, str]] = []
    with (
        capture_logs() as lines,
        closing(Watchdog(2.0, lambda *stall: stalls.append(stall))) as watchdog,
        watchdog.meanwhile(lambda: "nobody is there"),
        watchdog.guard("transaction"),
    ):
        wait_until(lambda: stalls)
    assert lines[0] == {
        "event": "waiting for the brokers",
        "log_level": "warning",
        "call": "transaction",
        "why": "nobody is there",
    }
    assert stalls == [("transaction", "a call to the brokers did not return: nobody is there")]


def test_nothing_is_asked_between_calls_nor_after_the_block() -> None:
    asked: list[None] = []
    with closing(Watchdog(0.2, lambda *_: None)) as watchdog:
        with watchdog.meanwhile(lambda: asked.append(None)):
            time.sleep(0.3)
            assert asked == []
        with watchdog.guard("poll"):
            time.sleep(0.15)
    assert asked == []


def test_a_call_that_bounds_itself_is_told_of_and_not_ended(monkeypatch: pytest.MonkeyPatch, stalls: list[str]) -> None:
    monkeypatch.setattr(watchdog_module, "SLOW_S", 0.05)
    with (
        capture_logs() as lines,
        closing(Watchdog(0.2, lambda call, _: stalls.append(call))) as watchdog,
        watchdog.guard("checks", bounded=False),
    ):
        wait_until(lambda: lines)
        time.sleep(0.3)
    assert stalls == []


def test_a_hanging_process_says_where_and_ends_with_its_own_code() -> None:
    """Places only: a value could be what a user wrote."""
    code = (
        "import time\n"
        "from prefstream.consumer.client.watchdog import Watchdog\n"
        "from prefstream.consumer.observe.logs import configure_logging\n"
        "configure_logging()\n"
        "def commit(text):\n"
        "    time.sleep(600)\n"
        "with Watchdog(0.2).guard('commit'):\n"
        "    commit('zqprompt')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == EXIT_STALLED == 70
    [line] = map(json.loads, done.stderr.splitlines())
    assert (line["level"], line["call"], line["exit_code"]) == ("critical", "commit", EXIT_STALLED)
    assert line["threads"]["MainThread"][-1].endswith(" in commit")
    assert "zqprompt" not in done.stderr
