"""Contract: consumer groups, from the wire's point of view and from a client's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.admin import MemberToRemove
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import GroupIdNotFoundError, GroupSubscribedToTopicError, NoError
from kafka.structs import OffsetAndMetadata

from tests.support.streams import settled
from tests.support.wire import PATIENCE_S, Member

OFFSET_METADATA_TOO_LARGE = 12
ILLEGAL_GENERATION = 22
INCONSISTENT_GROUP_PROTOCOL = 23
UNKNOWN_MEMBER_ID = 25
INVALID_SESSION_TIMEOUT = 26
REBALANCE_IN_PROGRESS = 27
FENCED_INSTANCE_ID = 82


def together(*actions: Callable[[], Any]) -> list[Any]:
    """Results of blocking requests that wait for one another."""
    results: list[Any] = [None] * len(actions)

    def run(index: int) -> None:
        results[index] = actions[index]()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture
def new_member(new_wire: Callable[[], Any], name: str) -> Callable[..., Member]:
    """Makes members of one group, with sessions long enough for a slow machine."""

    def make(**kwargs: Any) -> Member:
        member = Member(new_wire(), f"{name}-group", **{"session_timeout_ms": 10_000, **kwargs})
        member.find()
        return member

    return make


@pytest.fixture
def stable_pair(new_member: Callable[..., Member]) -> Callable[..., tuple[Member, Member]]:
    """Makes two members of a stable group."""

    def make(first_id: str | None = None, second_id: str | None = None, **kwargs: Any) -> tuple[Member, Member]:
        first, second = new_member(instance_id=first_id, **kwargs), new_member(instance_id=second_id, **kwargs)
        assert first.join() == 0
        assert first.sync()[0] == 0
        assert together(first.rejoin, second.join) == [0, 0]
        assert [code for code, _ in together(first.sync, second.sync)] == [0, 0]
        return first, second

    return make


# --- on the wire


def test_the_leader_sees_all_members_and_assigns_to_them(stable_pair: Callable[..., Any]) -> None:
    first, second = stable_pair()
    assert first.generation == second.generation
    assert [first.leads, second.leads].count(True) == 1
    leader, follower = (first, second) if first.leads else (second, first)
    assert {member.member_id for member in leader.joined.members} == {first.member_id, second.member_id}
    assert list(follower.joined.members) == []
    assert first.sync() == (0, first.member_id.encode())
    assert second.sync() == (0, second.member_id.encode())


def test_stale_and_unknown_members_are_refused(stable_pair: Callable[..., Any], topic: str) -> None:
    first, _ = stable_pair()
    assert first.commit(topic, 3) == 0
    first.generation -= 1
    assert first.heartbeat() == first.commit(topic, 4) == first.sync()[0] == ILLEGAL_GENERATION
    first.generation += 1
    first.member_id = "nobody"
    assert first.heartbeat() == first.commit(topic, 4) == first.sync()[0] == UNKNOWN_MEMBER_ID
    assert first.join() == first.leave() == UNKNOWN_MEMBER_ID


def test_outsiders_commit_only_while_the_group_is_empty(new_member: Callable[..., Member], topic: str) -> None:
    outsider, member = new_member(), new_member()
    assert outsider.commit(topic, 1) == 0
    assert member.join() == 0
    assert outsider.commit(topic, 2) == UNKNOWN_MEMBER_ID
    assert member.commit(topic, 2) == REBALANCE_IN_PROGRESS
    assert member.sync()[0] == 0
    assert member.commit(topic, 2) == 0
    assert outsider.commit(topic, 3) == UNKNOWN_MEMBER_ID


def test_a_generation_of_no_group_is_refused(new_member: Callable[..., Member], topic: str) -> None:
    stranger = new_member(generation=5)
    assert stranger.commit(topic, 1) == ILLEGAL_GENERATION
    assert stranger.heartbeat() == UNKNOWN_MEMBER_ID
    assert stranger.leave() == UNKNOWN_MEMBER_ID


def test_a_note_too_long_is_refused(new_member: Callable[..., Member], topic: str) -> None:
    assert new_member().commit(topic, 1, metadata="x" * 5000) == OFFSET_METADATA_TOO_LARGE


def test_a_session_timeout_beyond_the_brokers_is_refused(new_member: Callable[..., Member]) -> None:
    assert new_member(session_timeout_ms=2**31 - 1).join() == INVALID_SESSION_TIMEOUT


def test_a_member_without_a_common_assignor_is_refused(
    new_member: Callable[..., Member], stable_pair: Callable[..., Any]
) -> None:
    stable_pair()
    assert new_member(protocols=("roundrobin",)).join() == INCONSISTENT_GROUP_PROTOCOL


def test_a_leaving_member_starts_a_rebalance(stable_pair: Callable[..., Any]) -> None:
    first, second = stable_pair()
    assert second.leave() == 0
    assert second.heartbeat() == UNKNOWN_MEMBER_ID
    assert first.heartbeat() == REBALANCE_IN_PROGRESS
    generation = first.generation
    assert first.join() == 0
    assert first.generation == generation + 1
    assert first.leads


def test_a_silent_member_is_evicted(stable_pair: Callable[..., Any], session_timeout_ms: int) -> None:
    first, second = stable_pair(session_timeout_ms=session_timeout_ms)
    deadline = time.monotonic() + PATIENCE_S
    while (code := first.heartbeat()) == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert code == REBALANCE_IN_PROGRESS
    assert first.join() == first.sync()[0] == 0
    assert second.heartbeat() == UNKNOWN_MEMBER_ID


def test_a_member_that_does_not_rejoin_in_time_is_left_behind(
    new_member: Callable[..., Member],
) -> None:
    slow = new_member(rebalance_timeout_ms=1000, session_timeout_ms=200_000)
    assert slow.join() == slow.sync()[0] == 0
    quick = new_member(rebalance_timeout_ms=1000, session_timeout_ms=200_000)
    started = time.monotonic()
    assert quick.join() == 0
    assert time.monotonic() - started < 100
    assert quick.leads
    assert slow.heartbeat() == UNKNOWN_MEMBER_ID


def test_a_returning_static_member_keeps_its_place_and_fences_its_predecessor(
    stable_pair: Callable[..., Any], new_member: Callable[..., Member], topic: str
) -> None:
    first, second = stable_pair("one", "two")
    back = new_member(instance_id="two")
    assert back.join() == 0
    assert back.generation == second.generation
    assert not back.leads
    assert list(back.joined.members) == []
    assert back.member_id != second.member_id
    assert back.sync() == (0, second.member_id.encode())
    assert first.heartbeat() == back.heartbeat() == 0
    assert second.heartbeat() == second.commit(topic, 1) == second.sync()[0] == FENCED_INSTANCE_ID
    assert second.leave() == FENCED_INSTANCE_ID
    assert second.join() == FENCED_INSTANCE_ID
    assert back.commit(topic, 1) == 0


def test_a_returning_static_leader_does_not_assign_anew(
    stable_pair: Callable[..., Any], new_member: Callable[..., Member]
) -> None:
    first, second = stable_pair("one", "two")
    leader, instance_id = (first, "one") if first.leads else (second, "two")
    back = new_member(instance_id=instance_id)
    assert back.join() == 0
    assert not back.leads
    assert back.sync() == (0, leader.member_id.encode())


def test_a_member_that_joins_while_others_sync_starts_over(
    stable_pair: Callable[..., Any], new_member: Callable[..., Member]
) -> None:
    first, second = stable_pair()
    third, fourth = new_member(), new_member()
    assert together(first.rejoin, second.rejoin, third.join) == [0, 0, 0]
    follower, *others = sorted((first, second, third), key=lambda member: member.leads)

    def sync_then_join() -> tuple[int, int]:
        return follower.sync()[0], follower.join()

    def join_late() -> int:
        time.sleep(0.3)
        return fourth.join()

    outcomes = together(sync_then_join, join_late, *(member.rejoin for member in others))
    assert outcomes == [(REBALANCE_IN_PROGRESS, 0), 0, 0, 0]
    assert len({member.generation for member in (first, second, third, fourth)}) == 1


# --- with a client


def test_two_members_share_the_partitions_and_a_leaver_gives_them_back(
    wide_topic: str, name: str, new_consumer: Callable[..., Any], wait_until: Any
) -> None:
    first = new_consumer(wide_topic, group_id=name)
    wait_until(lambda: len(first.assignment()) == 4, first)
    second = new_consumer(wide_topic, group_id=name)
    wait_until(lambda: len(first.assignment()) == len(second.assignment()) == 2, first, second)
    assert first.assignment().isdisjoint(second.assignment())
    second.close()
    wait_until(lambda: len(first.assignment()) == 4, first)


def test_every_record_is_read_once_by_the_group(
    wide_topic: str, name: str, new_producer: Callable[..., Any], new_consumer: Callable[..., Any], wait_until: Any
) -> None:
    producer = new_producer()
    for index in range(100):
        producer.send(wide_topic, b"%d" % index, partition=index % 4)
    producer.flush()
    members = [new_consumer(wide_topic, group_id=name) for _ in range(2)]
    wait_until(lambda: all(len(member.assignment()) == 2 for member in members), *members)
    for member in members:
        member.seek_to_beginning()
    seen: list[bytes] = []
    deadline = time.monotonic() + 20
    while len(seen) < 100 and time.monotonic() < deadline:
        for member in members:
            seen += [record.value for found in member.poll(timeout_ms=50).values() for record in found]
    assert sorted(seen) == sorted(b"%d" % index for index in range(100))


def test_a_cooperative_group_moves_only_what_must_move(
    wide_topic: str, name: str, new_consumer: Callable[..., Any], wait_until: Any
) -> None:
    settings = {"group_id": name, "partition_assignment_strategy": [CooperativeStickyAssignor]}
    first = new_consumer(wide_topic, **settings)
    wait_until(lambda: len(first.assignment()) == 4, first)
    before = first.assignment()
    second = new_consumer(wide_topic, **settings)
    kept: list[set[TopicPartition]] = []

    def balanced() -> bool:
        kept.append(set(first.assignment()))
        return len(first.assignment()) == len(second.assignment()) == 2

    wait_until(balanced, first, second)
    assert first.assignment() | second.assignment() == before
    assert all(len(owned) >= 2 for owned in kept), "an eager rebalance would have revoked everything"


def test_a_static_member_returns_without_disturbing_the_others(
    wide_topic: str, name: str, new_consumer: Callable[..., Any], wait_until: Any
) -> None:
    first = new_consumer(wide_topic, group_id=name, group_instance_id="one")
    second = new_consumer(wide_topic, group_id=name, group_instance_id="two")
    wait_until(lambda: len(first.assignment()) == len(second.assignment()) == 2, first, second)
    generation, owned = first.group_metadata().generation_id, second.assignment()
    second.close()
    back = new_consumer(wide_topic, group_id=name, group_instance_id="two")
    wait_until(lambda: len(back.assignment()) == 2, first, back)
    assert back.assignment() == owned
    assert first.group_metadata().generation_id == generation


def test_a_static_member_is_removed_from_outside_unless_another_one_has_its_name(
    stable_pair: Callable[..., Any], new_member: Callable[..., Member], admin: Any
) -> None:
    first, second = stable_pair("one", "two")
    back = new_member(instance_id="two")
    assert back.join() == back.sync()[0] == 0

    def remove(member_id: str | None, instance_id: str) -> str:
        member = MemberToRemove(member_id=member_id, group_instance_id=instance_id, reason="gone")
        (error,) = admin.remove_group_members(first.group_id, [member]).values()
        return str(error.__name__)

    assert remove(second.member_id, "two") == "FencedInstanceIdError"
    assert first.heartbeat() == back.heartbeat() == 0
    assert remove(back.member_id, "two") == "NoError"
    assert remove(back.member_id, "two") == "UnknownMemberIdError"
    assert first.heartbeat() == REBALANCE_IN_PROGRESS
    assert remove(None, "one") == "NoError"
    assert admin.describe_groups([first.group_id])[first.group_id]["members"] == []


def test_a_group_goes_on_where_it_committed(
    topic: str, name: str, new_producer: Callable[..., Any], new_consumer: Callable[..., Any], read_values: Any
) -> None:
    producer = new_producer()
    for index in range(6):
        producer.send(topic, b"%d" % index).get(100)
    part = TopicPartition(topic, 0)
    first = new_consumer(topic, group_id=name)
    assert len(read_values(first, 6, extra_s=0)) == 6
    first.commit({part: OffsetAndMetadata(4, "note", -1)})
    assert first.committed(part) == 4
    first.close()
    second = new_consumer(topic, group_id=name)
    assert read_values(second, 2) == [b"4", b"5"]


def test_lag_and_members_are_visible_from_outside(
    wide_topic: str,
    name: str,
    admin: Any,
    new_producer: Callable[..., Any],
    new_consumer: Callable[..., Any],
    wait_until: Any,
) -> None:
    producer = new_producer()
    for _ in range(5):
        producer.send(wide_topic, b"v", partition=0).get(100)
    consumer = new_consumer(wide_topic, group_id=name, group_instance_id="one", client_id="me")
    wait_until(lambda: settled(consumer) and len(consumer.assignment()) == 4)
    part = TopicPartition(wide_topic, 0)
    consumer.commit({part: OffsetAndMetadata(2, "", -1)})
    committed = admin.list_group_offsets(name)[name][part]
    assert consumer.end_offsets([part])[part] - committed.offset == 3
    group = admin.describe_groups([name])[name]
    assert group["group_state"] == "Stable"
    (member,) = group["members"]
    assert (member["group_instance_id"], member["client_id"]) == ("one", "me")
    assert wide_topic in str(member["member_assignment"])
    assert name in {listed["group_id"] for listed in admin.list_groups()}


def test_offsets_are_deleted_unless_a_member_reads_their_topic(
    topic: str, wide_topic: str, name: str, admin: Any, new_consumer: Callable[..., Any], wait_until: Any
) -> None:
    consumer = new_consumer(topic, group_id=name)
    wait_until(lambda: settled(consumer) and len(consumer.assignment()) == 1)
    read, other, none = TopicPartition(topic, 0), TopicPartition(wide_topic, 0), TopicPartition(wide_topic, 1)
    consumer.commit({part: OffsetAndMetadata(0, "", -1) for part in (read, other)})
    assert admin.delete_group_offsets(name, [read, other, none]) == {
        read: GroupSubscribedToTopicError,
        other: NoError,
        none: NoError,
    }
    assert list(admin.list_group_offsets(name)[name]) == [read]
    consumer.close()
    assert admin.delete_group_offsets(name, [read]) == {read: NoError}
    with pytest.raises(GroupIdNotFoundError):
        admin.delete_group_offsets(f"{name}-unknown", [read])


def test_only_empty_groups_are_deleted(
    topic: str, name: str, admin: Any, new_consumer: Callable[..., Any], wait_until: Any
) -> None:
    consumer = new_consumer(topic, group_id=name)
    wait_until(lambda: len(consumer.assignment()) == 1, consumer)
    assert admin.delete_groups([name]) == {name: "NonEmptyGroupError"}
    consumer.close()
    assert admin.delete_groups([name]) == {name: "OK"}
    assert admin.delete_groups([name]) == {name: "GroupIdNotFoundError"}
