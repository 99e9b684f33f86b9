"""A service tells once what ended it, whoever tells it, and probes hear what holds it up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import pytest
import structlog

from prefstream.consumer.errors import StreamError
from prefstream.consumer.observe.stoppable import StoppableService


class Counting(StoppableService):
    """Does one thing, and waits for its stop."""

    def __init__(self, work: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._work = work

    def _serve(self) -> None:
        self._work()
        self._stop.wait()

    def _figures(self) -> Mapping[str, object]:
        return {"battles": 3}

    def held_up(self, obstacle: str | None) -> str:
        self._on_obstacle(obstacle)
        return self.health.readiness().reason


def test_what_asked_it_to_stop_is_told_with_what_it_did() -> None:
    service = Counting()
    thread = threading.Thread(target=service.run)
    with structlog.testing.capture_logs() as lines:
        thread.start()
        service.stop("SIGTERM")
        thread.join(10)
    assert not thread.is_alive()
    [line] = lines
    assert (line["event"], line["by"], line["battles"]) == ("stopped", "SIGTERM", 3)


def test_an_error_is_told_by_its_class_and_goes_on_to_the_caller() -> None:
    def fail() -> None:
        raise StreamError("the brokers are gone")

    with structlog.testing.capture_logs() as lines, pytest.raises(StreamError):
        Counting(fail).run()
    assert [line["by"] for line in lines] == ["StreamError"]


def test_who_ends_the_process_tells_it_before_and_nobody_again() -> None:
    service = Counting()
    service.stop("SIGINT")
    with structlog.testing.capture_logs() as lines:
        service.tell_end()
        service.run()
    assert [line["by"] for line in lines] == ["SIGINT"]


def test_probes_hear_what_holds_it_up_until_nothing_does() -> None:
    service = Counting()
    assert service.held_up("no broker answers") == "no broker answers"
    assert not service.health.ready
    service.held_up(None)
    assert service.health.ready
