"""The group state machine: generations, static members, dead members, commits of the past."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefstream.consumer.broker.node.clock import ManualClock
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.group import Group, GroupState
from prefstream.consumer.broker.node.members import JoinRequest, JoinResult, SyncResult

SESSION_S = 10.0
REBALANCE_S = 30.0


class Client:
    """A consumer, reduced to what it asks the coordinator."""

    def __init__(
        self, group: Group, *, instance_id: str | None = None, protocols: tuple[str, ...] = ("range",)
    ) -> None:
        self.group = group
        self.instance_id = instance_id
        self.protocols = protocols
        self.metadata = b"topics"
        self.member_id = ""
        self.joined: JoinResult | None = None
        self.synced: SyncResult | None = None

    def join(self) -> JoinResult | None:
        """Ask to join, with the id the coordinator insists on; the result, if it is there at once."""
        self.joined = None
        self.group.join(self._request(), self._on_joined)
        if self.joined is not None and self.joined.error is ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id, self.joined = self.joined.member_id, None
            self.group.join(self._request(), self._on_joined)
        return self.joined

    def sync(self, assignments: dict[str, bytes] | None = None) -> SyncResult | None:
        self.synced = None
        assert self.joined is not None
        self.group.sync(
            self.member_id,
            self.instance_id,
            self.joined.generation,
            assignments=assignments or {},
            protocol_type="consumer",
            protocol=self.joined.protocol,
            reply=self._on_synced,
        )
        return self.synced

    def heartbeat(self, generation: int | None = None) -> None:
        self.group.heartbeat(
            self.member_id, self.instance_id, self.group.generation if generation is None else generation
        )

    def commit(self, generation: int | None = None, *, transactional: bool = False) -> None:
        self.group.check_commit(
            self.member_id,
            self.instance_id,
            self.group.generation if generation is None else generation,
            transactional=transactional,
        )

    def _request(self) -> JoinRequest:
        return JoinRequest(
            member_id=self.member_id,
            instance_id=self.instance_id,
            client_id="client",
            client_host="/127.0.0.1",
            session_timeout_ms=int(SESSION_S * 1000),
            rebalance_timeout_ms=int(REBALANCE_S * 1000),
            protocol_type="consumer",
            protocols=[(name, self.metadata) for name in self.protocols],
        )

    def _on_joined(self, result: JoinResult) -> None:
        self.joined = result
        if result.error is ErrorCode.NONE:
            self.member_id = result.member_id

    def _on_synced(self, result: SyncResult) -> None:
        self.synced = result


@pytest.fixture
def group(clock: ManualClock) -> Group:
    return Group("g", clock)


def refusal(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(RequestRefusedError) as caught:
        call()
    return caught.value.code


def settle(*clients: Client) -> None:
    """All clients sync, the leader with an assignment for each: its member id."""
    leader = next(client for client in clients if client.joined and client.joined.members)
    for client in clients:
        if client is not leader:
            client.sync()
    assert leader.joined is not None
    leader.sync({member.member_id: member.member_id.encode() for member in leader.joined.members})


def stable_pair(group: Group, **kwargs: str) -> tuple[Client, Client]:
    """Two members of a stable group; the first one leads. Keyword arguments: instance ids."""
    first = Client(group, instance_id=kwargs.get("first"))
    second = Client(group, instance_id=kwargs.get("second"))
    first.join()
    settle(first)
    second.join()
    first.join()
    settle(first, second)
    assert group.state is GroupState.STABLE
    return first, second


# --- joining


def test_a_newcomer_is_given_an_id_first(group: Group) -> None:
    client = Client(group)
    results: list[JoinResult] = []
    group.join(client._request(), results.append)
    assert results[0].error is ErrorCode.MEMBER_ID_REQUIRED
    assert results[0].member_id.startswith("client-")
    assert not group.members


def test_a_lone_member_leads_the_first_generation(group: Group) -> None:
    client = Client(group)
    result = client.join()
    assert result is not None
    assert (result.generation, result.leader) == (1, client.member_id)
    assert [member.member_id for member in result.members] == [client.member_id]
    settle(client)
    assert client.synced is not None
    assert client.synced.assignment == client.member_id.encode()
    assert group.state is GroupState.STABLE


def test_the_next_generation_waits_for_all_members(group: Group) -> None:
    first, second = Client(group), Client(group)
    first.join()
    settle(first)
    assert second.join() is None
    assert refusal(first.heartbeat) is ErrorCode.REBALANCE_IN_PROGRESS
    first.join()
    assert second.joined is not None
    assert first.joined is not None
    assert first.joined.generation == second.joined.generation == 2
    assert len(first.joined.members) == 2
    assert list(second.joined.members) == []


def test_followers_wait_for_the_leaders_assignment(group: Group) -> None:
    _, second = stable_pair(group)
    assert second.synced is not None
    assert second.synced.assignment == second.member_id.encode()


def test_a_late_sync_gets_the_assignment_at_once(group: Group) -> None:
    _, second = stable_pair(group)
    again = second.sync()
    assert again is not None
    assert again.assignment == second.member_id.encode()


def test_a_member_that_joins_while_others_sync_starts_a_new_rebalance(group: Group) -> None:
    first, second, third = Client(group), Client(group), Client(group)
    first.join()
    settle(first)
    second.join()
    first.join()
    second.sync()
    third.join()
    assert second.synced is not None
    assert second.synced.error is ErrorCode.REBALANCE_IN_PROGRESS
    assert group.state is GroupState.PREPARING
    assert refusal(first.sync) is ErrorCode.REBALANCE_IN_PROGRESS


def test_a_follower_that_repeats_its_join_gets_the_same_generation(group: Group) -> None:
    _, second = stable_pair(group)
    again = second.join()
    assert again is not None
    assert again.generation == group.generation
    assert group.state is GroupState.STABLE


def test_a_member_with_a_new_subscription_starts_a_rebalance(group: Group) -> None:
    _, second = stable_pair(group)
    second.metadata = b"other topics"
    second.join()
    assert group.state is GroupState.PREPARING


def test_a_leader_that_joins_again_starts_a_rebalance(group: Group) -> None:
    first, _ = stable_pair(group)
    first.join()
    assert group.state is GroupState.PREPARING


def test_the_assignor_that_most_members_prefer_is_chosen(group: Group) -> None:
    first = Client(group, protocols=("a", "b", "c"))
    second = Client(group, protocols=("b", "a"))
    third = Client(group, protocols=("b", "a", "c"))
    first.join()
    second.join()
    third.join()
    first.join()
    second.join()
    assert group.protocol == "b"


def test_a_member_without_a_common_assignor_is_refused(group: Group) -> None:
    stable_pair(group)
    stranger = Client(group, protocols=("roundrobin",))
    assert refusal(stranger.join) is ErrorCode.INCONSISTENT_GROUP_PROTOCOL


def test_a_sync_for_another_assignor_is_refused(group: Group) -> None:
    client = Client(group)
    client.join()
    assert client.joined is not None

    def sync() -> None:
        group.sync(client.member_id, None, 1, assignments={}, protocol_type="consumer", protocol="x", reply=print)

    assert refusal(sync) is ErrorCode.INCONSISTENT_GROUP_PROTOCOL


def test_an_initial_delay_gathers_members_that_start_together(clock: ManualClock) -> None:
    group = Group("g", clock, initial_delay_ms=3000)
    first, second = Client(group), Client(group)
    assert first.join() is None
    clock.advance(2)
    second.join()
    clock.advance(2)
    group.expire()
    assert first.joined is None
    clock.advance(1)
    group.expire()
    assert first.joined is not None
    assert first.joined.generation == 1
    assert len(group.members) == 2


# --- unknown and stale


def test_an_unknown_member_is_refused(group: Group) -> None:
    stable_pair(group)
    stranger = Client(group)
    stranger.member_id = "nobody"
    for call in (stranger.join, stranger.heartbeat, stranger.commit):
        assert refusal(call) is ErrorCode.UNKNOWN_MEMBER_ID
    assert refusal(lambda: group.leave("nobody", None)) is ErrorCode.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize("shift", [-1, 1])
def test_another_generation_is_refused(group: Group, shift: int) -> None:
    first, _ = stable_pair(group)
    generation = group.generation + shift
    assert refusal(lambda: first.heartbeat(generation)) is ErrorCode.ILLEGAL_GENERATION
    assert refusal(lambda: first.commit(generation)) is ErrorCode.ILLEGAL_GENERATION
    assert refusal(lambda: first.commit(generation, transactional=True)) is ErrorCode.ILLEGAL_GENERATION


def test_members_may_commit_until_the_next_generation_begins(group: Group) -> None:
    first, second = stable_pair(group)
    Client(group).join()
    first.commit()
    first.join()
    second.join()
    assert group.state is GroupState.COMPLETING
    assert refusal(first.commit) is ErrorCode.REBALANCE_IN_PROGRESS
    first.commit(transactional=True)


def test_outsiders_may_commit_only_while_nobody_is_in(group: Group) -> None:
    group.check_commit("", None, -1, transactional=False)
    first, _ = stable_pair(group)
    outside = lambda: group.check_commit("", None, -1, transactional=False)  # noqa: E731
    assert refusal(outside) is ErrorCode.UNKNOWN_MEMBER_ID
    group.check_commit("", None, -1, transactional=True)
    assert refusal(lambda: first.commit(-1)) is ErrorCode.ILLEGAL_GENERATION


# --- leaving and dying


def test_the_last_member_leaves_an_empty_group_with_a_new_generation(group: Group) -> None:
    client = Client(group)
    client.join()
    settle(client)
    group.leave(client.member_id, None)
    assert group.state is GroupState.EMPTY
    assert group.generation == 2
    assert group.leader is None


def test_a_leaving_member_starts_a_rebalance_and_hands_on_the_lead(group: Group) -> None:
    first, second = stable_pair(group)
    group.leave(first.member_id, None)
    assert refusal(second.heartbeat) is ErrorCode.REBALANCE_IN_PROGRESS
    second.join()
    assert second.joined is not None
    assert second.joined.leader == second.member_id


def test_a_leaving_newcomer_holds_nobody_up(group: Group) -> None:
    first, _ = stable_pair(group)
    announced: list[JoinResult] = []
    group.join(Client(group)._request(), announced.append)
    group.leave(announced[0].member_id, None)
    assert group.state is GroupState.STABLE
    first.heartbeat()


def test_a_silent_member_is_evicted_after_its_session(group: Group, clock: ManualClock) -> None:
    first, second = stable_pair(group)
    clock.advance(SESSION_S - 1)
    first.heartbeat()
    group.expire()
    assert len(group.members) == 2
    clock.advance(2)
    group.expire()
    assert list(group.members) == [first.member_id]
    assert refusal(second.heartbeat) is ErrorCode.UNKNOWN_MEMBER_ID
    assert refusal(first.heartbeat) is ErrorCode.REBALANCE_IN_PROGRESS


def test_commits_show_life_but_transactional_ones_do_not(group: Group, clock: ManualClock) -> None:
    first, second = stable_pair(group)
    clock.advance(SESSION_S - 1)
    first.commit()
    second.commit(transactional=True)
    clock.advance(2)
    group.expire()
    assert list(group.members) == [first.member_id]


def test_a_member_that_waits_for_the_others_is_not_evicted(group: Group, clock: ManualClock) -> None:
    first, second = stable_pair(group)
    first.join()
    clock.advance(SESSION_S - 1)
    assert refusal(second.heartbeat) is ErrorCode.REBALANCE_IN_PROGRESS
    clock.advance(SESSION_S - 1)
    group.expire()
    assert set(group.members) == {first.member_id, second.member_id}


def test_a_member_that_does_not_rejoin_in_time_is_left_behind(group: Group, clock: ManualClock) -> None:
    first, second = stable_pair(group)
    first.join()
    for _ in range(4):
        clock.advance(REBALANCE_S / 4)
        if clock.monotonic_s() < REBALANCE_S:
            assert refusal(second.heartbeat) is ErrorCode.REBALANCE_IN_PROGRESS
    group.expire()
    assert first.joined is not None
    assert first.joined.generation == 3
    assert list(group.members) == [first.member_id]
    assert refusal(second.heartbeat) is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_member_that_never_syncs_is_left_behind(group: Group, clock: ManualClock) -> None:
    first, second = Client(group), Client(group)
    first.join()
    settle(first)
    second.join()
    first.join()
    first.sync({})
    for _ in range(4):
        clock.advance(REBALANCE_S / 4)
        for client in (first, second):
            client.heartbeat()
    group.expire()
    assert list(group.members) == [first.member_id]
    assert group.state is GroupState.PREPARING


def test_an_announced_id_does_not_hold_up_the_first_rebalance(group: Group) -> None:
    group.join(Client(group)._request(), lambda _: None)
    assert Client(group).join() is not None


def test_an_announced_id_holds_up_a_later_rebalance_until_it_expires(group: Group, clock: ManualClock) -> None:
    first, second = stable_pair(group)
    group.join(Client(group)._request(), lambda _: None)
    assert first.join() is None
    second.join()
    assert first.joined is None
    clock.advance(SESSION_S + 1)
    group.expire()
    assert first.joined is not None
    assert first.joined.generation == 3


def test_nobody_is_late_after_the_broker_was_away(group: Group, clock: ManualClock) -> None:
    first, second = stable_pair(group)
    clock.advance(1000)
    group.resume()
    group.expire()
    assert len(group.members) == 2
    first.heartbeat()
    second.heartbeat()


# --- static members


def test_a_returning_static_member_keeps_its_assignment_without_a_rebalance(group: Group) -> None:
    first, second = stable_pair(group, first="one", second="two")
    back = Client(group, instance_id="two")
    result = back.join()
    assert result is not None
    assert result.generation == group.generation
    assert group.state is GroupState.STABLE
    synced = back.sync()
    assert synced is not None
    assert synced.assignment == second.member_id.encode()
    first.heartbeat()


def test_the_predecessor_of_a_static_member_is_fenced(group: Group) -> None:
    _, second = stable_pair(group, first="one", second="two")
    Client(group, instance_id="two").join()
    for call in (second.heartbeat, second.commit, second.sync, second.join):
        assert refusal(call) is ErrorCode.FENCED_INSTANCE_ID
    assert refusal(lambda: second.commit(transactional=True)) is ErrorCode.FENCED_INSTANCE_ID
    assert refusal(lambda: group.leave(second.member_id, "two")) is ErrorCode.FENCED_INSTANCE_ID


def test_a_returning_static_leader_does_not_assign_anew_but_leads_the_next_generation(group: Group) -> None:
    first, second = stable_pair(group, first="one", second="two")
    back = Client(group, instance_id="one")
    result = back.join()
    assert result is not None
    assert result.leader != back.member_id
    assert list(result.members) == []
    assert group.leader == back.member_id
    assert first.member_id not in group.members
    second.heartbeat()


def test_a_static_member_that_returns_during_a_rebalance_takes_over_the_pending_join(group: Group) -> None:
    _, second = stable_pair(group, first="one", second="two")
    second.metadata = b"other"
    second.join()
    back = Client(group, instance_id="two")
    assert back.join() is None
    assert second.joined is not None
    assert second.joined.error is ErrorCode.FENCED_INSTANCE_ID


def test_a_static_member_that_returns_while_others_sync_starts_over(group: Group) -> None:
    first, second = Client(group, instance_id="one"), Client(group, instance_id="two")
    first.join()
    settle(first)
    second.join()
    first.join()
    second.sync()
    Client(group, instance_id="two").join()
    assert second.synced is not None
    assert second.synced.error is ErrorCode.FENCED_INSTANCE_ID
    assert group.state is GroupState.PREPARING


def test_a_static_member_that_is_away_keeps_its_place_until_its_session_ends(group: Group, clock: ManualClock) -> None:
    _, second = stable_pair(group, first="one", second="two")
    clock.advance(SESSION_S - 1)
    second.heartbeat()
    clock.advance(2)
    group.expire()
    assert list(group.members) == [second.member_id]


def test_a_static_member_can_be_removed_by_its_instance_id(group: Group) -> None:
    _, second = stable_pair(group, first="one", second="two")
    group.leave("", "two")
    assert second.member_id not in group.members
    assert refusal(lambda: group.leave("", "two")) is ErrorCode.UNKNOWN_MEMBER_ID


def test_an_unknown_instance_id_is_an_unknown_member(group: Group) -> None:
    stable_pair(group)
    assert refusal(lambda: group.heartbeat("x", "nobody", 2)) is ErrorCode.UNKNOWN_MEMBER_ID
