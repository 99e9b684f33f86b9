"""An obstacle is told to probes at once, to the log once, and ends the stream when it lasts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from prefstream.consumer.errors import (
    BrokersSilentError,
    BrokerUnreachableError,
    GoldenFaultError,
    StreamError,
    TopicMissingError,
)
from prefstream.consumer.stream.free_way import EVERYDAY_S, FreeWay
from tests.support.fake_clock import FakeClock

JOINING = BrokerUnreachableError("not a member")
SILENT = BrokersSilentError("no broker answers")
GONE = TopicMissingError("the topic is gone")
WRONG = GoldenFaultError("judge gemma answers otherwise")
TIMEOUT_S = 30.0


class Stage:
    """A way that is as free as the test says."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.obstacle: StreamError | None = JOINING
        self.probed: list[str | None] = []
        self.way = FreeWay(lambda: self.obstacle, TIMEOUT_S, self.probed.append, self.clock.monotonic)

    def turn(self, obstacle: StreamError | None, after_s: float = 0.25) -> None:
        """One turn of the loop, some time after the last one."""
        self.clock.now += after_s
        self.obstacle = obstacle
        self.way.require()


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as captured:
        yield captured


def test_probes_hear_of_each_change_once(stage: Stage) -> None:
    for obstacle in (JOINING, None, None, SILENT, SILENT, None):
        stage.turn(obstacle)
    assert stage.probed == [None, "no broker answers", None]


@pytest.mark.parametrize("obstacle", [SILENT, GONE, WRONG])
def test_a_grave_obstacle_is_one_line_when_it_begins_and_one_when_it_ends(
    stage: Stage, lines: list[Any], obstacle: StreamError
) -> None:
    stage.turn(None)
    for _ in range(40):
        stage.turn(obstacle)
    stage.turn(None)
    stage.turn(None)
    assert [(line["event"], line["log_level"]) for line in lines] == [("held up", "error"), ("going on", "info")]
    assert lines[0]["why"] == str(obstacle)
    assert lines[1]["held_up_s"] == 10.2


def test_a_moment_out_of_the_group_is_no_line(stage: Stage, lines: list[Any]) -> None:
    stage.turn(None)
    stage.turn(JOINING)
    stage.turn(JOINING, after_s=EVERYDAY_S - 1)
    stage.turn(None)
    assert lines == []


def test_out_of_the_group_for_longer_is(stage: Stage, lines: list[Any]) -> None:
    stage.turn(None)
    for _ in range(3):
        stage.turn(JOINING, after_s=EVERYDAY_S / 2 + 1)
    stage.turn(None)
    assert [line["event"] for line in lines] == ["held up", "going on"]


def test_what_follows_from_a_grave_one_is_no_line_of_its_own(stage: Stage, lines: list[Any]) -> None:
    """Brokers that are back must be joined again."""
    stage.turn(None)
    stage.turn(SILENT)
    stage.turn(JOINING, after_s=EVERYDAY_S + 1)
    stage.turn(None)
    assert [line["event"] for line in lines] == ["held up", "going on"]


def test_a_reason_that_changes_meanwhile_is_for_probes_and_another_obstacle_for_the_log(
    stage: Stage, lines: list[Any]
) -> None:
    stage.turn(None)
    stage.turn(SILENT)
    stage.turn(BrokersSilentError("no broker answers: nothing listens there"))
    stage.turn(GONE)
    assert stage.probed[1:] == ["no broker answers", "no broker answers: nothing listens there", "the topic is gone"]
    assert [line["why"] for line in lines] == ["no broker answers", "the topic is gone"]


@pytest.mark.parametrize("obstacle", [JOINING, SILENT, GONE])
def test_an_obstacle_that_lasts_is_raised(stage: Stage, obstacle: StreamError) -> None:
    stage.turn(None)
    stage.turn(obstacle, after_s=TIMEOUT_S)
    with pytest.raises(type(obstacle), match=str(obstacle)):
        stage.turn(obstacle)


def test_what_another_thread_finds_while_the_polling_one_is_held_up_is_told_the_same_way(
    stage: Stage, lines: list[Any]
) -> None:
    stage.turn(None)
    assert stage.way.look(lambda: None) is None
    for _ in range(40):
        stage.clock.now += 1.0
        assert stage.way.look(lambda: SILENT) == "no broker answers"
    assert stage.way.look(lambda: None) is None  # the polling thread has not gone round yet
    assert (stage.probed, stage.way.obstacle) == ([None, "no broker answers"], "no broker answers")
    stage.turn(None)
    assert (stage.probed[-1], stage.way.obstacle) == (None, None)
    assert [(line["event"], line.get("held_up_s")) for line in lines] == [("held up", None), ("going on", 40.2)]
