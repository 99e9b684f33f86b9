"""The group coordinator: all groups of a broker."""

from __future__ import annotations

from collections.abc import Iterator

from prefstream.consumer.broker.node.clock import Clock
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.group import Group, GroupState
from prefstream.consumer.broker.node.members import JoinReply, JoinRequest
from prefstream.consumer.broker.node.settings import BrokerSettings


class GroupCoordinator:
    """Finds, creates and deletes groups. Raises `RequestRefusedError` with the code that the client gets."""

    def __init__(self, clock: Clock, settings: BrokerSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._groups: dict[str, Group] = {}
        self._offsets_due_s = clock.monotonic_s() + settings.offsets_retention_check_interval_ms / 1000

    def __iter__(self) -> Iterator[Group]:
        return iter(list(self._groups.values()))

    def get(self, group_id: str) -> Group | None:
        """The group of this id, if there is one."""
        return self._groups.get(group_id)

    def of_member(self, group_id: str) -> Group:
        """The group that a member speaks to; without a group there is no such member."""
        _check_id(group_id)
        group = self._groups.get(group_id)
        if group is None:
            raise RequestRefusedError(ErrorCode.UNKNOWN_MEMBER_ID, f"there is no group {group_id}")
        return group

    def of_commit(self, group_id: str, generation: int) -> Group:
        """The group that offsets are committed for; committing from outside creates it."""
        group = self._groups.get(group_id)
        if group is None:
            if generation >= 0:
                raise RequestRefusedError(ErrorCode.ILLEGAL_GENERATION, f"there is no group {group_id}")
            group = self._create(group_id)
        return group

    def join(self, group_id: str, request: JoinRequest, reply: JoinReply) -> None:
        """Join a group; a newcomer creates it."""
        _check_id(group_id)
        shortest = self._settings.group_min_session_timeout_ms
        longest = self._settings.group_max_session_timeout_ms
        if not shortest <= request.session_timeout_ms <= longest:
            raise RequestRefusedError(
                ErrorCode.INVALID_SESSION_TIMEOUT,
                f"session time-out of {request.session_timeout_ms} ms: must be {shortest} to {longest}",
            )
        if request.member_id:
            self.of_member(group_id).join(request, reply)
        else:
            (self._groups.get(group_id) or self._create(group_id)).join(request, reply)

    def delete(self, group_id: str) -> None:
        """Delete a group without members, and its offsets."""
        group = self._groups.get(group_id)
        if group is None:
            raise RequestRefusedError(ErrorCode.GROUP_ID_NOT_FOUND, f"there is no group {group_id}")
        if group.state is not GroupState.EMPTY:
            raise RequestRefusedError(ErrorCode.NON_EMPTY_GROUP, f"group {group_id} has members")
        del self._groups[group_id]

    def forget_topic(self, name: str) -> None:
        """Forget all offsets of a topic that was deleted."""
        for group in self._groups.values():
            group.offsets.forget_topic(name)

    def expire(self) -> None:
        """Act on every time-out that has passed."""
        for group in self._groups.values():
            group.expire()
        if self._clock.monotonic_s() >= self._offsets_due_s:
            self._offsets_due_s = self._clock.monotonic_s() + self._settings.offsets_retention_check_interval_ms / 1000
            retention_s = self._settings.offsets_retention_ms / 1000
            for group in self:
                if group.expire_offsets(retention_s):
                    del self._groups[group.group_id]

    def resume(self) -> None:
        """Give all members a fresh session, after a time in which the broker was away."""
        for group in self._groups.values():
            group.resume()

    def _create(self, group_id: str) -> Group:
        group = self._groups[group_id] = Group(
            group_id, self._clock, initial_delay_ms=self._settings.group_initial_rebalance_delay_ms
        )
        return group


def _check_id(group_id: str) -> None:
    if not group_id:
        raise RequestRefusedError(ErrorCode.INVALID_GROUP_ID, "empty group id")
