"""The state machine of one consumer group (the "classic" protocol). It does no IO.

    EMPTY ──join──> PREPARING ──all joined, or time is up──> COMPLETING ──the leader assigns──> STABLE
      ^                ^ │                                        │                               │
      └──all left──────┼─┘                                        │                               │
                       └──a member joins, leaves, changes or dies─┴───────────────────────────────┘

Requests that must wait (join, sync) are answered through a callback; whatever is wrong at once is raised as
`RequestRefusedError`. The behaviour follows Apache Kafka's `GroupMetadataManager`.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from functools import reduce

from prefstream.consumer.broker.node.clock import Clock
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.members import (
    JoinedMember,
    JoinReply,
    JoinRequest,
    JoinResult,
    Member,
    SyncReply,
    SyncResult,
)
from prefstream.consumer.broker.node.offsets import GroupOffsets


class GroupState(StrEnum):
    """Names as DescribeGroups shows them."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"


class Group:
    """Members, generation and offsets of one group. Belongs to one thread, the broker's event loop."""

    def __init__(self, group_id: str, clock: Clock, *, initial_delay_ms: int = 0) -> None:
        self.group_id = group_id
        self.state = GroupState.EMPTY
        self.generation = 0
        self.protocol_type = ""
        self.protocol: str | None = None
        self.leader: str | None = None
        self.members: dict[str, Member] = {}
        self.offsets = GroupOffsets()
        self._clock = clock
        self._initial_delay_s = initial_delay_ms / 1000
        # Ids handed out to newcomers that have not come back with them yet, and until when they may.
        self._announced: dict[str, float] = {}
        self._unsynced: set[str] = set()
        # Whether the rebalance under way is the first one of a group that was empty.
        self._initial = False
        self._join_deadline_s = 0.0
        self._join_not_before_s = 0.0
        self._sync_deadline_s = 0.0
        # When the last member left; None as long as there was none.
        self._empty_since_s: float | None = None

    # --- requests

    def join(self, request: JoinRequest, reply: JoinReply) -> None:
        """Take part in the next generation; `reply` is called once it begins."""
        if not self._can_agree(request):
            raise RequestRefusedError(
                ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
                f"group {self.group_id}: no assignor in common with the other members",
            )
        if not request.member_id:
            self._join_newcomer(request, reply)
        elif self._announced.pop(request.member_id, None) is not None:
            self._add(Member(request.member_id, request, self._now(), joining=reply))
        else:
            self._rejoin(self._known(request.member_id, request.instance_id), request, reply)

    def sync(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        *,
        assignments: Mapping[str, bytes],
        protocol_type: str | None,
        protocol: str | None,
        reply: SyncReply,
    ) -> None:
        """Hand over (leader) and receive one's assignment of a generation."""
        member = self._known(member_id, instance_id)
        self._check_generation(generation)
        if protocol_type not in {None, self.protocol_type} or protocol not in {None, self.protocol}:
            raise RequestRefusedError(
                ErrorCode.INCONSISTENT_GROUP_PROTOCOL, f"group {self.group_id} uses assignor {self.protocol}"
            )
        member.seen_s = self._now()
        if self.state is GroupState.PREPARING:
            raise self._rebalancing()
        self._unsynced.discard(member_id)
        if self.state is GroupState.STABLE:
            reply(self._sync_result(member))
            return
        member.answer_sync(SyncResult(error=ErrorCode.REBALANCE_IN_PROGRESS))
        member.syncing = reply
        if member_id == self.leader:
            self._assign(assignments)

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int) -> None:
        """Show that a member is alive; raises REBALANCE_IN_PROGRESS when it should join again."""
        member = self._known(member_id, instance_id)
        self._check_generation(generation)
        member.seen_s = self._now()
        if self.state is GroupState.PREPARING:
            raise self._rebalancing()

    def leave(self, member_id: str, instance_id: str | None) -> None:
        """Remove a member; a static one may be named by its instance id alone."""
        if self._announced.pop(member_id, None) is not None:
            self._complete_join_if_ready()
            return
        if not member_id and instance_id is not None:
            member_id = self._static_id(instance_id) or ""
        self._remove(self._known(member_id, instance_id))
        self._after_removal()

    def check_commit(self, member_id: str, instance_id: str | None, generation: int, *, transactional: bool) -> None:
        """Allow offsets only from a member of the current generation, or from outside while nobody is in."""
        if generation < 0 and self.state is GroupState.EMPTY:
            return
        if generation >= 0 or member_id or instance_id is not None:
            member = self._known(member_id, instance_id)
            self._check_generation(generation)
            if not transactional:
                member.seen_s = self._now()
        elif not transactional:
            raise RequestRefusedError(
                ErrorCode.UNKNOWN_MEMBER_ID, f"group {self.group_id} has members: others can't commit for it"
            )
        if not transactional and self.state is GroupState.COMPLETING:
            raise self._rebalancing()

    # --- time

    def expire(self) -> None:
        """Act on every time-out that has passed: sessions, announced ids, joins, syncs."""
        now = self._now()
        for member_id in [member_id for member_id, until in self._announced.items() if now > until]:
            del self._announced[member_id]
        self._evict([member for member in self.members.values() if member.expired(now)])
        if self.state is GroupState.PREPARING and now >= self._join_deadline_s:
            self._complete_join()
        elif self._unsynced and now >= self._sync_deadline_s:
            self._evict([self.members[member_id] for member_id in self._unsynced])
        self._complete_join_if_ready()

    def expire_offsets(self, retention_s: float) -> bool:
        """Forget offsets that nobody has used for longer than this; whether nothing is left of the group then."""
        if self.state is not GroupState.EMPTY or self._announced:
            return False
        return self.offsets.expire(not_used_since_s=self._empty_since_s, before_s=self._now() - retention_s)

    def subscribed_topics(self) -> set[str]:
        """What its members read."""
        return {topic for member in self.members.values() for topic in member.topics}

    def resume(self) -> None:
        """Give every member a fresh session, after a time in which the broker could not hear them."""
        for member in self.members.values():
            member.seen_s = self._now()

    # --- joining

    def _join_newcomer(self, request: JoinRequest, reply: JoinReply) -> None:
        prefix = request.instance_id if request.instance_id is not None else request.client_id
        member_id = f"{prefix}-{uuid.uuid4()}"
        if request.instance_id is not None:
            old_id = self._static_id(request.instance_id)
            if old_id is None:
                self._add(Member(member_id, request, self._now(), joining=reply))
            else:
                self._replace_static(self.members[old_id], member_id, request, reply)
        elif request.gets_id_first:
            self._announced[member_id] = self._now() + request.session_timeout_ms / 1000
            reply(JoinResult(error=ErrorCode.MEMBER_ID_REQUIRED, member_id=member_id))
        else:
            self._add(Member(member_id, request, self._now(), joining=reply))

    def _add(self, member: Member) -> None:
        self.members[member.member_id] = member
        self.protocol_type = member.request.protocol_type
        if self.leader is None:
            self.leader = member.member_id
        now = self._now()
        if now < self._join_not_before_s:
            # Members that start together come one after the other: wait on, but not for ever.
            self._join_not_before_s = min(now + self._initial_delay_s, self._join_deadline_s)
        self._rebalance()

    def _rejoin(self, member: Member, request: JoinRequest, reply: JoinReply) -> None:
        unchanged = list(member.request.protocols) == list(request.protocols)
        wants_rebalance = self.state is GroupState.STABLE and member.member_id == self.leader
        if self.state is not GroupState.PREPARING and unchanged and not wants_rebalance:
            # It has joined this generation before, but the response was lost.
            member.seen_s = self._now()
            reply(self._join_result(member))
            return
        member.answer_join(JoinResult(error=ErrorCode.REBALANCE_IN_PROGRESS, member_id=member.member_id))
        member.request = request
        member.joining = reply
        self._rebalance()

    def _replace_static(self, member: Member, new_id: str, request: JoinRequest, reply: JoinReply) -> None:
        """A static member is back: it takes over its predecessor's place, who is fenced."""
        old_id, leader_before = member.member_id, self.leader
        member.answer_join(JoinResult(error=ErrorCode.FENCED_INSTANCE_ID, member_id=old_id))
        member.answer_sync(SyncResult(error=ErrorCode.FENCED_INSTANCE_ID))
        del self.members[old_id]
        self.members[new_id] = member
        if leader_before == old_id:
            self.leader = new_id
        if old_id in self._unsynced:
            self._unsynced.remove(old_id)
            self._unsynced.add(new_id)
        member.member_id, member.request, member.seen_s = new_id, request, self._now()
        if self.state is GroupState.STABLE and self._vote() == self.protocol:
            # No rebalance: it gets its old assignment. A returning leader is told its old id as the leader's,
            # so that it doesn't assign anew.
            reply(
                JoinResult(
                    member_id=new_id,
                    generation=self.generation,
                    protocol_type=self.protocol_type,
                    protocol=self.protocol,
                    leader=leader_before or "",
                )
            )
            return
        member.joining = reply
        self._rebalance()

    def _rebalance(self) -> None:
        """Begin a rebalance unless one is under way, and complete it if everybody is there."""
        if self.state is not GroupState.PREPARING:
            for member in self.members.values():
                member.answer_sync(SyncResult(error=ErrorCode.REBALANCE_IN_PROGRESS))
            self._unsynced.clear()
            now = self._now()
            self._join_deadline_s = now + self._longest_rebalance_s()
            self._initial = self.state is GroupState.EMPTY
            if self._initial:
                self._join_not_before_s = min(now + self._initial_delay_s, self._join_deadline_s)
            self.state = GroupState.PREPARING
        self._complete_join_if_ready()

    def _complete_join_if_ready(self) -> None:
        # An id that was handed out holds up a rebalance until it comes back or expires, but not the first one.
        expected_back = bool(self._announced) and not self._initial
        everybody = not expected_back and all(member.joining for member in self.members.values())
        if self.state is GroupState.PREPARING and everybody and self._now() >= self._join_not_before_s:
            self._complete_join()

    def _complete_join(self) -> None:
        """Begin the next generation with the members that joined."""
        for member in list(self.members.values()):
            # A static member that is away keeps its place until its session ends.
            if member.joining is None and member.instance_id is None:
                self._remove(member)
        joined = [member for member in self.members.values() if member.joining is not None]
        if self.members and not joined:
            self._join_deadline_s = self._now() + self._longest_rebalance_s()
            return
        self.generation += 1
        if not self.members:
            self.state, self.protocol, self.leader = GroupState.EMPTY, None, None
            self._empty_since_s = self._now()
            return
        if self.leader not in {member.member_id for member in joined}:
            self.leader = joined[0].member_id
        self.protocol = self._vote()
        self.state = GroupState.COMPLETING
        self._sync_deadline_s = self._now() + self._longest_rebalance_s()
        self._unsynced = set(self.members)
        for member in self.members.values():
            member.seen_s = self._now()
            member.assignment = b""
            member.answer_join(self._join_result(member))

    def _assign(self, assignments: Mapping[str, bytes]) -> None:
        self.state = GroupState.STABLE
        for member in self.members.values():
            member.assignment = assignments.get(member.member_id, b"")
            member.seen_s = self._now()
            member.answer_sync(self._sync_result(member))

    # --- leaving

    def _remove(self, member: Member) -> None:
        del self.members[member.member_id]
        self._unsynced.discard(member.member_id)
        member.answer_join(JoinResult(error=ErrorCode.UNKNOWN_MEMBER_ID))
        member.answer_sync(SyncResult(error=ErrorCode.UNKNOWN_MEMBER_ID))
        if self.leader == member.member_id:
            self.leader = next(iter(self.members), None)

    def _evict(self, members: list[Member]) -> None:
        for member in members:
            self._remove(member)
        if members:
            self._after_removal()

    def _after_removal(self) -> None:
        if self.state is not GroupState.EMPTY:
            self._rebalance()

    # --- checks and answers

    def _known(self, member_id: str, instance_id: str | None) -> Member:
        """The member of this id, unless another one has taken over its instance id."""
        if instance_id is not None:
            current_id = self._static_id(instance_id)
            if current_id is not None and current_id != member_id:
                raise RequestRefusedError(
                    ErrorCode.FENCED_INSTANCE_ID,
                    f"group {self.group_id}: another member took over instance id {instance_id}",
                )
        member = self.members.get(member_id)
        if member is None or (instance_id is not None and member.instance_id != instance_id):
            raise RequestRefusedError(ErrorCode.UNKNOWN_MEMBER_ID, f"group {self.group_id} has no member {member_id!r}")
        return member

    def _static_id(self, instance_id: str) -> str | None:
        ids = (key for key, member in self.members.items() if member.instance_id == instance_id)
        return next(ids, None)

    def _check_generation(self, generation: int) -> None:
        if generation != self.generation:
            raise RequestRefusedError(
                ErrorCode.ILLEGAL_GENERATION,
                f"group {self.group_id} is at generation {self.generation}, not {generation}",
            )

    def _can_agree(self, request: JoinRequest) -> bool:
        """Whether some assignor would be common to all members after this join."""
        if not request.protocols or not request.protocol_type:
            return False
        others = [member for member in self.members.values() if member.member_id != request.member_id]
        if not others:
            return True
        if request.instance_id is not None:
            others = [member for member in others if member.instance_id != request.instance_id]
        names = {name for name, _ in request.protocols}
        shared = reduce(lambda common, member: common & set(member.protocol_names), others, names)
        return request.protocol_type == self.protocol_type and bool(shared)

    def _vote(self) -> str:
        """The assignor that most members like best among those that all of them know."""
        candidates = set.intersection(*(set(member.protocol_names) for member in self.members.values()))
        votes = Counter(
            next(name for name in member.protocol_names if name in candidates) for member in self.members.values()
        )
        return votes.most_common(1)[0][0]

    def _join_result(self, member: Member) -> JoinResult:
        leads = member.member_id == self.leader
        return JoinResult(
            member_id=member.member_id,
            generation=self.generation,
            protocol_type=self.protocol_type,
            protocol=self.protocol,
            leader=self.leader or "",
            members=[
                JoinedMember(other.member_id, other.instance_id, other.metadata(self.protocol))
                for other in self.members.values()
            ]
            if leads
            else (),
        )

    def _sync_result(self, member: Member) -> SyncResult:
        return SyncResult(protocol_type=self.protocol_type, protocol=self.protocol, assignment=member.assignment)

    def _rebalancing(self) -> RequestRefusedError:
        return RequestRefusedError(ErrorCode.REBALANCE_IN_PROGRESS, f"group {self.group_id} is rebalancing")

    def _longest_rebalance_s(self) -> float:
        return max((member.rebalance_timeout_s for member in self.members.values()), default=0.0)

    def _now(self) -> float:
        return self._clock.monotonic_s()
