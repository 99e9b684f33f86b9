"""A thing that is watched again and again, and what is told of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from prefstream.consumer.errors import BrokerUnreachableError, NotAuthorizedError, StreamError
from prefstream.consumer.observe import watcher
from prefstream.consumer.observe.watcher import Watcher
from tests.support.streams import wait_until


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "AGAIN_S", 0.01)
    monkeypatch.setattr(watcher, "AGAIN_LATER_S", 0.01)


class Script:
    """Does as it is told, one call after the other; then watches until it is stopped."""

    def __init__(self, *steps: Exception | None) -> None:
        self._steps = list(steps)
        self.watching = threading.Event()

    def __call__(self, stop: threading.Event, tell: Callable[[StreamError | None], None]) -> None:
        step = self._steps.pop(0) if self._steps else None
        if step is not None:
            raise step
        tell(None)
        tell(None)
        if not self._steps:
            self.watching.set()
            stop.wait()


def lines(logs: list[Any]) -> list[tuple[str, str | None]]:
    return [(line["event"], line.get("why")) for line in logs]


def test_what_keeps_it_from_watching_is_told_once_and_tried_again() -> None:
    script = Script(*[BrokerUnreachableError("away")] * 5, *[NotAuthorizedError("denied")] * 5)
    with capture_logs() as logs, Watcher("lag", script) as watched:
        assert watched.why_not is not None
        assert script.watching.wait(100)
        assert watched.why_not is None
    assert lines(logs) == [("not watched", "away"), ("not watched", "denied"), ("watching", None)]


def test_what_comes_back_is_told() -> None:
    script = Script(None, BrokerUnreachableError("away"), None)
    with capture_logs() as logs, Watcher("lag", script):
        assert script.watching.wait(100)
    assert [event for event, _ in lines(logs)] == ["watching", "not watched", "watching"]


def test_a_fault_of_ours_ends_nothing_and_is_logged_once() -> None:
    script = Script(*[ZeroDivisionError("secret")] * 3)
    with capture_logs() as logs, Watcher("lag", script):
        assert script.watching.wait(100)
    assert [event for event, _ in lines(logs)] == ["not watched", "watching"]


def test_while_it_fails_the_reason_stands_there() -> None:
    class Failing:
        def __call__(self, stop: threading.Event, tell: Callable[[StreamError | None], None]) -> None:
            raise NotAuthorizedError("grant it")

    with Watcher("lag", Failing()) as watched:
        wait_until(lambda: watched.why_not == "grant it", what="the reason")
