"""What moved is not ours, not even if it came back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.structs import ConsumerGroupMetadata, MemberState

from prefstream.consumer.stream.partitions.assignment import Assignment, Membership
from tests.support.streams import make_event

P0, P1 = TopicPartition("battles", 0), TopicPartition("battles", 1)
JOINED = ConsumerGroupMetadata("g", 3, "member", None, MemberState.STABLE)


def owns(assignment: Assignment, *, partition: int, epoch: int) -> bool:
    return Membership(JOINED, JOINED.generation_id, assignment.epochs()).owns(
        make_event(partition=partition, epoch=epoch)
    )


def test_an_event_is_ours_while_its_partition_stays() -> None:
    assignment = Assignment()
    assignment.on_partitions_assigned([P0])
    epoch = assignment.epochs()[P0]
    assignment.on_partitions_assigned([P1])
    assert owns(assignment, partition=0, epoch=epoch)


@pytest.mark.parametrize("loss", ["on_partitions_revoked", "on_partitions_lost"])
def test_an_event_is_not_ours_after_its_partition_went(loss: str) -> None:
    assignment = Assignment()
    assignment.on_partitions_assigned([P0, P1])
    epochs = assignment.epochs()
    getattr(assignment, loss)([P0])
    assert not owns(assignment, partition=0, epoch=epochs[P0])
    assert owns(assignment, partition=1, epoch=epochs[P1])


def test_an_event_is_not_ours_after_its_partition_went_and_came_back() -> None:
    """Somebody else may have scored it meanwhile."""
    assignment = Assignment()
    assignment.on_partitions_assigned([P0])
    epoch = assignment.epochs()[P0]
    assignment.on_partitions_revoked([P0])
    assignment.on_partitions_assigned([P0])
    assert not owns(assignment, partition=0, epoch=epoch)
    assert owns(assignment, partition=0, epoch=assignment.epochs()[P0])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["on_partitions_assigned", "on_partitions_revoked", "on_partitions_lost"]),
            st.sets(st.integers(0, 3)),
        ),
        max_size=20,
    )
)
def test_no_epoch_is_ever_given_out_twice(moves: list[tuple[str, set[int]]]) -> None:
    assignment = Assignment()
    seen: dict[TopicPartition, set[int]] = {}
    before: dict[TopicPartition, int] = {}
    for move, numbers in moves:
        partitions = {TopicPartition("battles", number) for number in numbers}
        getattr(assignment, move)(partitions)
        now = assignment.epochs()
        for partition, epoch in now.items():
            if partition in partitions:
                assert epoch not in seen.get(partition, set())
            else:
                assert epoch == before[partition]
            seen.setdefault(partition, set()).add(epoch)
        before = now


@pytest.mark.parametrize(
    ("generation", "member", "joined"), [(3, "m", True), (0, "m", True), (-1, "m", False), (3, "", False)]
)
def test_a_snapshot_without_generation_or_member_is_no_membership(generation: int, member: str, joined: bool) -> None:
    """The broker does not fence an empty one."""
    assert Membership(ConsumerGroupMetadata("g", generation, member), generation, {}).joined is joined


def test_after_a_new_start_nothing_held_of_what_stayed_is_ours_and_what_moved_meanwhile_keeps_its_epoch() -> None:
    assignment = Assignment()
    assignment.on_partitions_assigned([P0, P1])
    before = assignment.epochs()
    assignment.on_partitions_revoked([P1])
    assignment.on_partitions_assigned([P1])
    moved = assignment.epochs()[P1]
    assert assignment.renew(before) == {P0: assignment.epochs()[P0]}
    assert not owns(assignment, partition=0, epoch=before[P0])
    assert owns(assignment, partition=1, epoch=moved)
