"""The group coordinator: which groups there are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefstream.consumer.broker.node.clock import ManualClock
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.groups import GroupCoordinator
from prefstream.consumer.broker.node.members import JoinRequest, JoinResult
from prefstream.consumer.broker.node.offsets import CommittedOffset
from prefstream.consumer.broker.node.settings import BrokerSettings


@pytest.fixture
def groups(clock: ManualClock) -> GroupCoordinator:
    return GroupCoordinator(clock, BrokerSettings())


def request(member_id: str = "", session_timeout_ms: int = 10_000) -> JoinRequest:
    return JoinRequest(
        member_id=member_id,
        instance_id=None,
        client_id="c",
        client_host="/127.0.0.1",
        session_timeout_ms=session_timeout_ms,
        rebalance_timeout_ms=10_000,
        protocol_type="consumer",
        protocols=[("range", b"")],
        gets_id_first=False,
    )


def refusal(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(RequestRefusedError) as caught:
        call()
    return caught.value.code


def ignore(_: JoinResult) -> None:
    """Take an answer that the test doesn't look at."""


def test_a_newcomer_creates_its_group(groups: GroupCoordinator) -> None:
    groups.join("g", request(), ignore)
    assert [group.group_id for group in groups] == ["g"]


def test_a_member_of_a_group_that_does_not_exist_is_unknown(groups: GroupCoordinator) -> None:
    assert refusal(lambda: groups.join("g", request("m"), ignore)) is ErrorCode.UNKNOWN_MEMBER_ID
    assert refusal(lambda: groups.of_member("g")) is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_group_needs_an_id(groups: GroupCoordinator) -> None:
    assert refusal(lambda: groups.join("", request(), ignore)) is ErrorCode.INVALID_GROUP_ID


@pytest.mark.parametrize("session_timeout_ms", [99, 1_800_001])
def test_a_session_timeout_out_of_bounds_is_refused(groups: GroupCoordinator, session_timeout_ms: int) -> None:
    join = lambda: groups.join("g", request(session_timeout_ms=session_timeout_ms), ignore)  # noqa: E731
    assert refusal(join) is ErrorCode.INVALID_SESSION_TIMEOUT


def test_committing_from_outside_creates_a_group(groups: GroupCoordinator) -> None:
    groups.of_commit("g", -1)
    assert groups.get("g") is not None


def test_committing_for_a_generation_of_no_group_is_refused(groups: GroupCoordinator) -> None:
    assert refusal(lambda: groups.of_commit("g", 3)) is ErrorCode.ILLEGAL_GENERATION


def test_only_groups_without_members_are_deleted(groups: GroupCoordinator) -> None:
    assert refusal(lambda: groups.delete("g")) is ErrorCode.GROUP_ID_NOT_FOUND
    groups.of_commit("g", -1)
    groups.delete("g")
    assert groups.get("g") is None
    groups.join("g", request(), ignore)
    assert refusal(lambda: groups.delete("g")) is ErrorCode.NON_EMPTY_GROUP


def test_a_deleted_topic_takes_its_offsets_along(groups: GroupCoordinator) -> None:
    offsets = groups.of_commit("g", -1).offsets
    offsets.commit({("a", 0): CommittedOffset(1), ("b", 0): CommittedOffset(2)}, now_s=0)
    groups.forget_topic("a")
    assert offsets.partitions() == [("b", 0)]


def test_an_unused_group_goes_with_its_offsets(groups: GroupCoordinator, clock: ManualClock) -> None:
    settings = BrokerSettings()
    groups.of_commit("old", -1).offsets.commit({("a", 0): CommittedOffset(1)}, now_s=0)
    clock.advance(settings.offsets_retention_ms / 1000)
    groups.of_commit("new", -1).offsets.commit({("a", 0): CommittedOffset(1)}, now_s=clock.monotonic_s())
    groups.expire()
    assert [group.group_id for group in groups] == ["old", "new"]
    clock.advance(settings.offsets_retention_check_interval_ms / 1000)
    groups.expire()
    assert [group.group_id for group in groups] == ["new"]


def test_offsets_of_a_group_with_members_do_not_expire(groups: GroupCoordinator, clock: ManualClock) -> None:
    groups.join("g", request(session_timeout_ms=1_800_000), ignore)
    groups.of_member("g").offsets.commit({("a", 0): CommittedOffset(1)}, now_s=0)
    (member,) = groups.of_member("g").members.values()
    clock.advance(BrokerSettings().offsets_retention_ms)
    member.seen_s = clock.monotonic_s()
    groups.expire()
    assert groups.of_member("g").offsets.partitions() == [("a", 0)]
