"""A broker's client without a client: any request in any version, and a group member made of them."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka.errors import (
    ConcurrentTransactionsError,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    MemberIdRequiredError,
    NotCoordinatorError,
    RebalanceInProgressError,
)
from kafka.protocol.consumer import (
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    OffsetCommitRequest,
    OffsetCommitResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)
from kafka.protocol.metadata import FindCoordinatorRequest, FindCoordinatorResponse

# A real broker elects coordinators and looks for time-outs at its leisure.
PATIENCE_S = 100.0

NOT_YET = {
    CoordinatorLoadInProgressError.errno,
    CoordinatorNotAvailableError.errno,
    NotCoordinatorError.errno,
    ConcurrentTransactionsError.errno,
}
"""Error codes by which a broker asks for patience."""

# Version 0, the one topic "t", no user data. Apache Kafka looks into it, and hangs if it finds something else.
SUBSCRIPTION = struct.pack(">hih1si", 0, 1, 1, b"t", -1)


def patiently(ask: Callable[[], int]) -> int:
    """The error code once the broker has made up its mind."""
    deadline = time.monotonic() + PATIENCE_S
    while (code := ask()) in NOT_YET and time.monotonic() < deadline:
        time.sleep(0.05)
    return code


class Wire:
    """One connection that sends any request in any version: what clients hide shows here."""

    def __init__(self, bootstrap_servers: str, client_id: str = "wire") -> None:
        host, port = bootstrap_servers.split(",", maxsplit=1)[0].rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        self._client_id = client_id
        self._correlation_id = 0

    def send(self, request: Any, version: int) -> None:
        self._correlation_id += 1
        request.API_VERSION = version
        request.with_header(correlation_id=self._correlation_id, client_id=self._client_id)
        self.socket.sendall(request.encode(header=True, framed=True))

    def receive(self, response_class: Any, version: int) -> Any:
        (length,) = struct.unpack(">i", self._read(4))
        response = response_class.decode(self._read(length), version=version, header=True)
        assert response.header.correlation_id == self._correlation_id
        return response

    def call(self, request: Any, response_class: Any, version: int) -> Any:
        self.send(request, version)
        return self.receive(response_class, version)

    def close(self) -> None:
        self.socket.close()

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionError("the broker hung up")
            data += more
        return data


@dataclass
class Member:
    """A group member in its bare requests."""

    wire: Any
    group_id: str
    session_timeout_ms: int
    instance_id: str | None = None
    protocols: tuple[str, ...] = ("range",)
    metadata: bytes = SUBSCRIPTION
    rebalance_timeout_ms: int = 10_000
    member_id: str = ""
    generation: int = -1
    joined: Any = None

    def find(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        request = FindCoordinatorRequest(key=self.group_id, key_type=0, coordinator_keys=[])
        while self.wire.call(request, FindCoordinatorResponse, 2).error_code and time.monotonic() < deadline:
            time.sleep(0.1)

    def join(self) -> int:
        """Join, with the id the broker insists on."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            code = self._join_once()
            if code == MemberIdRequiredError.errno:
                self.member_id = self.joined.member_id
            elif code not in NOT_YET or time.monotonic() > deadline:
                break
        if code == 0:
            self.member_id, self.generation = self.joined.member_id, self.joined.generation_id
        return code

    def _join_once(self) -> int:
        protocol_class = JoinGroupRequest.JoinGroupRequestProtocol
        request = JoinGroupRequest(
            group_id=self.group_id,
            session_timeout_ms=self.session_timeout_ms,
            rebalance_timeout_ms=self.rebalance_timeout_ms,
            member_id=self.member_id,
            group_instance_id=self.instance_id,
            protocol_type="consumer",
            protocols=[protocol_class(name=name, metadata=self.metadata) for name in self.protocols],
        )
        self.joined = self.wire.call(request, JoinGroupResponse, 7)
        return int(self.joined.error_code)

    def rejoin(self) -> int:
        """Send heartbeats until the broker asks to join again, then join."""
        while (code := self.heartbeat()) == 0:
            time.sleep(0.02)
        return self.join() if code == RebalanceInProgressError.errno else code

    @property
    def leads(self) -> bool:
        return bool(self.joined.leader == self.member_id)

    def sync(self, assignments: Mapping[str, bytes] | None = None) -> tuple[int, bytes]:
        """Error code and assignment; a leader assigns to each member what is given, or its member id."""
        if assignments is None:
            assignments = {member.member_id: str(member.member_id).encode() for member in self.joined.members}
        assignment_class = SyncGroupRequest.SyncGroupRequestAssignment
        request = SyncGroupRequest(
            group_id=self.group_id,
            generation_id=self.generation,
            member_id=self.member_id,
            group_instance_id=self.instance_id,
            protocol_type="consumer",
            protocol_name=self.joined.protocol_name or self.protocols[0],
            assignments=[
                assignment_class(member_id=member_id, assignment=assignment)
                for member_id, assignment in assignments.items()
            ],
        )
        response = self.wire.call(request, SyncGroupResponse, 5)
        return response.error_code, bytes(response.assignment)

    def heartbeat(self) -> int:
        request = HeartbeatRequest(
            group_id=self.group_id,
            generation_id=self.generation,
            member_id=self.member_id,
            group_instance_id=self.instance_id,
        )
        return int(self.wire.call(request, HeartbeatResponse, 4).error_code)

    def leave(self) -> int:
        entry = LeaveGroupRequest.MemberIdentity(
            member_id=self.member_id, group_instance_id=self.instance_id, reason=None
        )
        response = self.wire.call(LeaveGroupRequest(group_id=self.group_id, members=[entry]), LeaveGroupResponse, 4)
        return int(response.error_code or response.members[0].error_code)

    def commit(self, topic: str, offset: int, metadata: str = "") -> int:
        topic_class = OffsetCommitRequest.OffsetCommitRequestTopic
        part = topic_class.OffsetCommitRequestPartition(
            partition_index=0, committed_offset=offset, committed_leader_epoch=-1, committed_metadata=metadata
        )
        request = OffsetCommitRequest(
            group_id=self.group_id,
            generation_id_or_member_epoch=self.generation,
            member_id=self.member_id,
            group_instance_id=self.instance_id,
            topics=[topic_class(name=topic, partitions=[part])],
        )
        return patiently(
            lambda: int(self.wire.call(request, OffsetCommitResponse, 8).topics[0].partitions[0].error_code)
        )
