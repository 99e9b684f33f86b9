"""Members of consumer groups, and what they ask for and get."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from kafka.protocol.consumer.metadata import ConsumerProtocolSubscription

from prefstream.consumer.broker.node.errors import ErrorCode

# Name of an assignor and the member's subscription: topics, then what the assignor itself wants to know.
MemberProtocol = tuple[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """A wish to be part of the group's next generation.

    Attributes:
        member_id: empty for a newcomer.
        instance_id: name of a static member.
        client_id: the client's name for itself.
        client_host: where it runs.
        session_timeout_ms: after how long without a heartbeat it counts as dead.
        rebalance_timeout_ms: how long a rebalance waits for it.
        protocol_type: `consumer` for consumers.
        protocols: assignors it could use, best first.
        gets_id_first: whether a newcomer is sent back to ask again with the id it is given (KIP-394), so that
            a lost response leaves no ghost member behind.
    """

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: Sequence[MemberProtocol]
    gets_id_first: bool = True


@dataclass(frozen=True, slots=True)
class JoinedMember:
    """A member as the leader sees it."""

    member_id: str
    instance_id: str | None
    metadata: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinResult:
    """Answer to a `JoinRequest`: the new generation. Only the leader gets to see the members."""

    error: ErrorCode = ErrorCode.NONE
    member_id: str = ""
    generation: int = -1
    protocol_type: str | None = None
    protocol: str | None = None
    leader: str = ""
    members: Sequence[JoinedMember] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """Answer to a member that asks for its assignment."""

    error: ErrorCode = ErrorCode.NONE
    protocol_type: str | None = None
    protocol: str | None = None
    assignment: bytes = b""


JoinReply = Callable[[JoinResult], None]
SyncReply = Callable[[SyncResult], None]


@dataclass(slots=True)
class Member:
    """A member of a group, as the coordinator knows it.

    Attributes:
        member_id: the id the coordinator gave it.
        request: how it joined last.
        seen_s: when it was last heard of.
        assignment: what the leader assigned to it.
        joining: answers its pending join.
        syncing: answers its pending sync.
    """

    member_id: str
    request: JoinRequest
    seen_s: float
    assignment: bytes = b""
    joining: JoinReply | None = field(default=None, repr=False)
    syncing: SyncReply | None = field(default=None, repr=False)

    @property
    def instance_id(self) -> str | None:
        """Its name if it is a static member."""
        return self.request.instance_id

    @property
    def rebalance_timeout_s(self) -> float:
        """How long a rebalance waits for it."""
        return self.request.rebalance_timeout_ms / 1000

    @property
    def protocol_names(self) -> list[str]:
        """Names of the assignors it could use, best first."""
        return [name for name, _ in self.request.protocols]

    def metadata(self, protocol: str | None) -> bytes:
        """Its subscription for an assignor."""
        return dict(self.request.protocols).get(protocol or "", b"")

    @property
    def topics(self) -> set[str]:
        """What it reads, by its subscription; nothing where that is not in the consumers' format."""
        for _, subscription in self.request.protocols:
            with suppress(ValueError, struct.error):
                # Later versions only add to what version 0 has.
                return set(ConsumerProtocolSubscription.decode(subscription, version=0).topics)
        return set()

    def expired(self, now_s: float) -> bool:
        """Whether it counts as dead. While it waits for the coordinator it can't send heartbeats."""
        waiting = self.joining is not None or self.syncing is not None
        return not waiting and now_s - self.seen_s > self.request.session_timeout_ms / 1000

    def answer_join(self, result: JoinResult) -> None:
        """Answer its pending join, if there is one."""
        reply, self.joining = self.joining, None
        if reply is not None:
            reply(result)

    def answer_sync(self, result: SyncResult) -> None:
        """Answer its pending sync, if there is one."""
        reply, self.syncing = self.syncing, None
        if reply is not None:
            reply(result)
