"""A join that is pending stops its member, for as long as any other member is silent.

What goes wrong: a join is pending until every member has joined, or the session of one that died is over. A member of a
cooperative group keeps its partitions meanwhile, but kafka-python

* hands out none of their records, so that one process that is killed and started again stops all others for the session
  of its former life; here `poll` goes on,
* throws a join away that ends between two polls, and begins anew or not at all, so that a member which is polled for
  moments never gets in, or drops out; here it is taken up by the next poll,
* sends JoinGroup on the connection on which it asks for committed offsets and says that it leaves; a broker answers the
  requests of a connection one after the other, so they time out; here JoinGroup has a connection of its own,
* does not tell whether the partitions of a member are those of its generation. It may be stable in one and join the
  next within one poll, and while it joins the number is of either. Offsets that are committed with the number of a
  generation whose partitions are not known are taken by the coordinator, although the leader may have given them to
  somebody else; here `assigned_generation` tells.

What is read meanwhile may be committed, because the coordinator takes offsets of the current generation until the next
one begins, and refuses them from then on.

Versions: 3.0.0 to 3.0.12, and master.

Upstream: no issue known. The Java client goes on fetching since 2.4 (KIP-429), and keeps a join that has ended.

Remove when: kafka-python does none of the four.
"""

from __future__ import annotations

from typing import Any

from kafka.cluster import ClusterMetadata
from kafka.coordinator.assignors.abstract import RebalanceProtocol
from kafka.coordinator.base import BaseCoordinator
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.errors import KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError
from kafka.net.manager import KafkaConnectionManager
from kafka.protocol.consumer import JoinGroupRequest
from kafka.protocol.metadata import MetadataResponse

from prefstream.consumer.client.patches.patch import Method, Patch

# --- it goes on reading


def _reading_on(poll: Method) -> Method:
    def poll_coordinator(self: Any, timeout_ms: float | None = None) -> Any:
        if not _keeps_partitions(self):
            return poll(self, timeout_ms)
        if poll(self, 0):
            return True
        if self._join_task is not None and not self._join_task.is_done:
            return True
        return poll(self, timeout_ms)  # the coordinator is away: it is waited for as ever

    return poll_coordinator


def _keeps_partitions(self: Any) -> bool:
    """Whether a coordinator is to join, and has partitions that stay its own until it has."""
    return bool(
        self._rebalance_protocol == RebalanceProtocol.COOPERATIVE
        and self.group_id is not None
        and not self._generation.is_lost()
        and self._subscription.partitions_auto_assigned()
        and self._subscription.assigned_partitions()
        and self.need_rejoin()
    )


def _without_heartbeats(time_to_next: Method) -> Method:
    """None is due while a join is pending: the coordinator waits with us. Else a poll would not wait for records."""

    def time_to_next_heartbeat(self: Any) -> float:
        return float("inf") if self.rebalance_in_progress() else float(time_to_next(self))

    return time_to_next_heartbeat


# --- it keeps a join that has ended


class _Unclaimed:
    """A join that ended between two polls; kafka-python begins anew where it finds one that `is_done`."""

    is_done = False

    def __init__(self, ended: Any) -> None:
        self.add_callback = ended.add_callback
        self.add_errback = ended.add_errback
        self._ended = ended

    def __await__(self) -> Any:
        return self._ended.__await__()


def _keeping_the_outcome(join: Method) -> Method:
    async def join_group_async(self: Any, timeout_ms: float | None = None) -> Any:
        task = self._join_task
        if task is not None and task.is_done and _is_of_use(self, task):
            self._join_task = _Unclaimed(task)
        return await join(self, timeout_ms)

    return join_group_async


def _until_it_is_taken_up(need: Method) -> Method:
    """A leader that joins for partitions that are new has no reason any more once it has shared them out."""

    def need_rejoin(self: Any) -> bool:
        return self._join_task is not None or bool(need(self))

    return need_rejoin


def _is_of_use(self: Any, ended: Any) -> bool:
    """Whether the outcome of a join counts for a coordinator."""
    if ended.succeeded():
        return bool(self.rebalance_in_progress())  # else we have lost what was joined
    # A time-out of its own would be taken for one of the wait, and found again by each poll.
    return not isinstance(ended.exception, KafkaTimeoutError)


# --- it joins on a connection of its own


def _apart(send: Method) -> Method:
    def send_request(self: Any, request: Any, node_id: Any = None, request_timeout_ms: float | None = None) -> Any:
        if isinstance(request, JoinGroupRequest):
            node_id = self.cluster.connection_for_joins(node_id)
        return send(self, request, node_id, request_timeout_ms)

    return send_request


def _naming(_: Method) -> Method:
    def connection_for_joins(self: Any, node_id: Any) -> Any:
        """A second name of a broker; kafka-python has a connection for each name."""
        broker = self.broker_metadata(node_id)
        if broker is None:
            return node_id
        own = f"joins-{node_id}"
        self._coordinator_brokers[own] = MetadataResponse.MetadataResponseBroker(own, broker.host, broker.port, None)
        return own

    return connection_for_joins


def _noticing(join: Method) -> Method:
    """A coordinator that went away is known by the connection on which it is asked, and that is another one now."""

    async def _do_join_and_sync_async(self: Any) -> Any:
        try:
            return await join(self)
        except (KafkaConnectionError, NodeNotReadyError) as error:
            self.coordinator_dead(error)
            raise

    return _do_join_and_sync_async


# --- it knows of which generation its partitions are


def _noting_the_generation(complete: Method) -> Method:
    async def _on_join_complete_async(
        self: Any, generation: int, member_id: str, protocol: str, member_assignment_bytes: bytes
    ) -> Any:
        joined = self._generation
        outcome = await complete(self, generation, member_id, protocol, member_assignment_bytes)
        self._prefstream_assigned_in = joined
        return outcome

    return _on_join_complete_async


def _telling_the_generation(_: Method) -> Method:
    def assigned_generation(self: Any) -> int:
        """The member's generation if its partitions are those that it has in it, else -1."""
        current = self._generation
        is_known = getattr(self, "_prefstream_assigned_in", None) is current
        return int(current.generation_id) if is_known else -1

    return assigned_generation


PATCHES = (
    Patch(
        ConsumerCoordinator,
        "poll",
        ("timeout_ms",),
        _reading_on,
        needs=("_rebalance_protocol", "_generation", "_subscription", "_join_task", "need_rejoin"),
    ),
    Patch(BaseCoordinator, "time_to_next_heartbeat", (), _without_heartbeats, needs=("rebalance_in_progress",)),
    Patch(BaseCoordinator, "join_group_async", ("timeout_ms",), _keeping_the_outcome, needs=("_join_task",)),
    Patch(ConsumerCoordinator, "need_rejoin", (), _until_it_is_taken_up, needs=("_join_task",)),
    Patch(KafkaConnectionManager, "send", ("request", "node_id", "request_timeout_ms"), _apart, needs=("cluster",)),
    Patch(ClusterMetadata, "connection_for_joins", None, _naming, needs=("_coordinator_brokers", "broker_metadata")),
    Patch(BaseCoordinator, "_do_join_and_sync_async", (), _noticing, needs=("coordinator_dead",)),
    Patch(
        ConsumerCoordinator,
        "_on_join_complete_async",
        ("generation", "member_id", "protocol", "member_assignment_bytes"),
        _noting_the_generation,
        needs=("_generation",),
    ),
    Patch(BaseCoordinator, "assigned_generation", None, _telling_the_generation, needs=("_generation",)),
)
