"""What can be committed: the position where nothing is in flight, else the offset behind the last answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from prefstream.consumer.client.kafka_errors import Translator
from prefstream.consumer.client.protocols import OffsetAndMetadata, TopicPartition
from prefstream.consumer.stream.partitions.assignment import Assignment
from prefstream.consumer.stream.partitions.committed_offsets import CommittedOffsets
from prefstream.consumer.stream.partitions.progress import Progress
from tests.support.scripted_clients import ScriptedConsumer

P0, P1 = TopicPartition("battles", 0), TopicPartition("battles", 1)


@dataclass
class Stage:
    """Progress on a client that does what it is told; partition 0 is ours, its committed offset is 5."""

    consumer: ScriptedConsumer = field(default_factory=ScriptedConsumer)
    assignment: Assignment = field(default_factory=Assignment)

    def __post_init__(self) -> None:
        self.consumer.committed_offsets = {P0: at(5), P1: at(5)}
        self.committed = CommittedOffsets(self.consumer, self.assignment, Translator("reading"))
        self.progress = Progress(self.consumer, self.assignment, self.committed)
        self.assignment.on_partitions_assigned([P0])

    def committable(self, **answering: int) -> dict[int, int]:
        offsets = self.progress.committable(
            self.assignment.epochs(), {TopicPartition("battles", int(name[1:])): end for name, end in answering.items()}
        )
        return {partition.partition: offset for partition, offset in offsets.items()}


def at(offset: int) -> OffsetAndMetadata:
    return OffsetAndMetadata(offset, "", -1)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_where_nothing_was_read_the_position_behind_a_marker_is(stage: Stage) -> None:
    stage.consumer.positions = {P0: 6}
    assert stage.committable() == {0: 6}


def test_a_position_that_is_committed_already_is_not(stage: Stage) -> None:
    stage.consumer.positions = {P0: 5}
    assert stage.committable() == {}


def test_the_position_of_a_partition_without_a_committed_offset_is(stage: Stage) -> None:
    """So that what comes and goes from there on is known to be lost."""
    stage.consumer.committed_offsets = {}
    stage.consumer.positions = {P0: 0}
    assert stage.committable() == {0: 0}


def test_what_is_read_and_not_answered_holds_the_position_back(stage: Stage) -> None:
    stage.progress.handed_out(P0, 1, 9)
    stage.consumer.positions = {P0: 10}
    assert stage.committable() == {}


def test_the_last_answer_takes_the_position_along(stage: Stage) -> None:
    stage.progress.handed_out(P0, 1, 9)
    stage.consumer.positions = {P0: 10}
    assert stage.committable(p0=9) == {0: 10}


def test_an_answer_before_others_that_are_in_flight_does_not(stage: Stage) -> None:
    stage.progress.handed_out(P0, 1, 9)
    stage.consumer.positions = {P0: 10}
    assert stage.committable(p0=7) == {0: 7}


def test_once_all_is_answered_the_position_is_free(stage: Stage) -> None:
    stage.progress.handed_out(P0, 1, 9)
    stage.progress.answered({P0: 9}, {P0: 1})
    stage.committed.note({P0: at(9)}, {P0: 1})
    stage.consumer.positions = {P0: 10}
    assert stage.committable() == {0: 10}


def test_a_committed_offset_beyond_what_is_in_flight_does_not_free_the_position(stage: Stage) -> None:
    """It was beyond the end of a topic that was cut off; reading began before it, as told."""
    stage.consumer.committed_offsets = {P0: at(50)}
    stage.consumer.positions = {P0: 0}
    assert stage.committable() == {0: 0}
    stage.progress.handed_out(P0, 1, 3)
    stage.consumer.positions = {P0: 3}
    assert stage.committable() == {}


def test_what_was_in_flight_under_another_epoch_is_not_ours(stage: Stage) -> None:
    stage.progress.handed_out(P0, 1, 9)
    stage.assignment.on_partitions_revoked([P0])
    stage.assignment.on_partitions_assigned([P0])
    stage.consumer.positions = {P0: 6}
    assert stage.committable() == {0: 6}


def test_a_position_read_under_another_epoch_than_the_snapshot_is_not_committed(stage: Stage) -> None:
    """Between the two the partition went and came back: what was dropped on the way is before its position."""
    epochs = stage.assignment.epochs()
    stage.consumer.positions = {P0: 6}

    class Rebalancing(ScriptedConsumer):
        def known_position(self, partition: TopicPartition) -> Any:
            stage.assignment.on_partitions_revoked([P0])
            stage.assignment.on_partitions_assigned([P0])
            return 10

    progress = Progress(Rebalancing(), stage.assignment, stage.committed)
    assert progress.committable(epochs, {}) == {}


def test_while_the_client_has_no_position_nothing_is(stage: Stage) -> None:
    stage.consumer.positions = {P0: None}
    assert stage.committable() == {}


def test_partitions_that_idle_go_along_with_the_answers_of_others(stage: Stage) -> None:
    stage.assignment.on_partitions_assigned([P1])
    stage.progress.handed_out(P0, 1, 9)
    stage.consumer.positions = {P0: 9, P1: 6}
    assert stage.committable(p0=9) == {0: 9, 1: 6}
