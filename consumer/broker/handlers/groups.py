"""Membership of consumer groups, and looking at groups from outside."""

from __future__ import annotations

import asyncio

from kafka.protocol.admin import DeleteGroupsResponse, DescribeGroupsResponse, ListGroupsResponse
from kafka.protocol.consumer import (
    HeartbeatResponse,
    JoinGroupResponse,
    LeaveGroupResponse,
    SyncGroupResponse,
)

from prefstream.consumer.broker.node.call import Call, Message
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.group import Group, GroupState
from prefstream.consumer.broker.node.members import JoinRequest, JoinResult, Member, SyncResult

_Described = DescribeGroupsResponse.DescribedGroup


async def join_group(call: Call) -> Message:
    """Wait for the group's next generation and be part of it."""
    request = call.request
    waiting: asyncio.Future[JoinResult] = asyncio.get_running_loop().create_future()

    def reply(result: JoinResult) -> None:
        # The future is cancelled when the client has hung up meanwhile.
        if not waiting.done():
            waiting.set_result(result)

    try:
        call.state.groups.join(request.group_id, _join_request(call), reply)
        result = await waiting
    except RequestRefusedError as refusal:
        result = JoinResult(error=refusal.code, member_id=request.member_id)
    return JoinGroupResponse(
        throttle_time_ms=0,
        error_code=result.error,
        generation_id=result.generation,
        protocol_type=result.protocol_type,
        # Not nullable before version 7.
        protocol_name=result.protocol if call.version >= 7 else result.protocol or "",
        leader=result.leader,
        member_id=result.member_id,
        members=[
            JoinGroupResponse.JoinGroupResponseMember(
                member_id=member.member_id, group_instance_id=member.instance_id, metadata=member.metadata
            )
            for member in result.members
        ],
    )


def _join_request(call: Call) -> JoinRequest:
    request = call.request
    rebalance_ms = request.rebalance_timeout_ms
    return JoinRequest(
        member_id=request.member_id,
        instance_id=request.group_instance_id,
        client_id=call.client_id,
        client_host=call.client_host,
        session_timeout_ms=request.session_timeout_ms,
        # Version 0 has no time-out of its own for rebalances.
        rebalance_timeout_ms=rebalance_ms if rebalance_ms >= 0 else request.session_timeout_ms,
        protocol_type=request.protocol_type,
        protocols=[(protocol.name, bytes(protocol.metadata)) for protocol in request.protocols],
        gets_id_first=call.version >= 4,
    )


async def sync_group(call: Call) -> Message:
    """Wait for the leader's assignment; the leader brings it."""
    request = call.request
    waiting: asyncio.Future[SyncResult] = asyncio.get_running_loop().create_future()

    def reply(result: SyncResult) -> None:
        # The future is cancelled when the client has hung up meanwhile.
        if not waiting.done():
            waiting.set_result(result)

    try:
        call.state.groups.of_member(request.group_id).sync(
            request.member_id,
            request.group_instance_id,
            request.generation_id,
            assignments={entry.member_id: bytes(entry.assignment) for entry in request.assignments},
            protocol_type=request.protocol_type,
            protocol=request.protocol_name,
            reply=reply,
        )
        result = await waiting
    except RequestRefusedError as refusal:
        result = SyncResult(error=refusal.code)
    return SyncGroupResponse(
        throttle_time_ms=0,
        error_code=result.error,
        protocol_type=result.protocol_type,
        protocol_name=result.protocol,
        assignment=result.assignment,
    )


async def heartbeat(call: Call) -> Message:
    """Hear that a member is alive, and tell it when to join again."""
    request = call.request
    code = ErrorCode.NONE
    try:
        group = call.state.groups.of_member(request.group_id)
        group.heartbeat(request.member_id, request.group_instance_id, request.generation_id)
    except RequestRefusedError as refusal:
        code = refusal.code
    return HeartbeatResponse(throttle_time_ms=0, error_code=code)


async def leave_group(call: Call) -> Message:
    """Let members go."""
    request = call.request
    if call.version < 3:
        return LeaveGroupResponse(throttle_time_ms=0, error_code=_leave(call, request.member_id, instance_id=None))
    members = [
        LeaveGroupResponse.MemberResponse(
            member_id=member.member_id,
            group_instance_id=member.group_instance_id,
            error_code=_leave(call, member.member_id, instance_id=member.group_instance_id),
        )
        for member in request.members
    ]
    return LeaveGroupResponse(throttle_time_ms=0, error_code=ErrorCode.NONE, members=members)


def _leave(call: Call, member_id: str, *, instance_id: str | None) -> ErrorCode:
    try:
        call.state.groups.of_member(call.request.group_id).leave(member_id, instance_id)
    except RequestRefusedError as refusal:
        return refusal.code
    return ErrorCode.NONE


async def describe_groups(call: Call) -> Message:
    """State and members of groups; one that doesn't exist is "Dead", as in Kafka."""
    return DescribeGroupsResponse(
        throttle_time_ms=0, groups=[_describe(call, group_id) for group_id in call.request.groups]
    )


def _describe(call: Call, group_id: str) -> Message:
    group = call.state.groups.get(group_id)
    if group is None:
        return _Described(
            error_code=ErrorCode.NONE,
            group_id=group_id,
            group_state="Dead",
            protocol_type="",
            protocol_data="",
            members=[],
        )
    return _Described(
        error_code=ErrorCode.NONE,
        group_id=group_id,
        group_state=group.state.value,
        protocol_type=group.protocol_type,
        protocol_data=(group.protocol or "") if group.state is GroupState.STABLE else "",
        members=[_described_member(group, member) for member in group.members.values()],
    )


def _described_member(group: Group, member: Member) -> Message:
    stable = group.state is GroupState.STABLE
    return _Described.DescribedGroupMember(
        member_id=member.member_id,
        group_instance_id=member.instance_id,
        client_id=member.request.client_id,
        client_host=member.request.client_host,
        member_metadata=member.metadata(group.protocol) if stable else b"",
        member_assignment=member.assignment if stable else b"",
    )


async def list_groups(call: Call) -> Message:
    """All groups, or those in certain states."""
    wanted = {state.lower() for state in call.request.states_filter or []}
    groups = [
        ListGroupsResponse.ListedGroup(
            group_id=group.group_id, protocol_type=group.protocol_type, group_state=group.state.value
        )
        for group in call.state.groups
        if not wanted or group.state.value.lower() in wanted
    ]
    return ListGroupsResponse(throttle_time_ms=0, error_code=ErrorCode.NONE, groups=groups)


async def delete_groups(call: Call) -> Message:
    """Delete groups that have no members."""
    results = [
        DeleteGroupsResponse.DeletableGroupResult(group_id=group_id, error_code=_delete(call, group_id))
        for group_id in call.request.groups_names
    ]
    return DeleteGroupsResponse(throttle_time_ms=0, results=results)


def _delete(call: Call, group_id: str) -> ErrorCode:
    try:
        call.state.groups.delete(group_id)
    except RequestRefusedError as refusal:
        return refusal.code
    return ErrorCode.NONE
