"""Once a static leader was away, nobody sees that a topic has got more partitions.

What goes wrong: the leader of a group watches its topics, and shares out anew what has been added. A static member that
comes back within its session gets its old partitions at once, and where it led the group it still does; but the
coordinator names the leader by the id of its former life, so that the leader itself is not asked for shares that would
be thrown away. kafka-python takes that for the id of somebody else. Partitions that are added then, or were added
meanwhile, belong to nobody until members come or go for another reason. Here a leader that comes back joins once more.
Then it is asked, and shares out what the topic has by now. Members read on meanwhile (`pending_joins`).

Versions: 3.0.0 to 3.0.12, and master: they speak JoinGroup up to version 7, and the field for it came with 9 (KIP-814).

Upstream: no issue known. The Java client speaks version 9 since 3.2.

Remove when: kafka-python knows `skip_assignment`, and compares what was shared out before with what there is.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from kafka.coordinator.base import BaseCoordinator
from kafka.coordinator.consumer import ConsumerCoordinator

from prefstream.consumer.client.patches.patch import Method, Patch


def _noting_the_leader(process: Method) -> Method:
    def _process_join_group_response(self: Any, response: Any, send_time: float) -> Any:
        joined = process(self, response, send_time)
        self._prefstream_led_before = (
            self.group_instance_id is not None
            and joined.leader != joined.member_id
            and _is_id_of(joined.leader, self.group_instance_id)
        )
        return joined

    return _process_join_group_response


def _is_id_of(member_id: str, instance_id: str) -> bool:
    """Whether a coordinator made a member's id for that instance: it appends a dash and a random UUID."""
    if not member_id.startswith(f"{instance_id}-"):
        return False
    try:
        UUID(member_id.removeprefix(f"{instance_id}-"))
    except ValueError:  # of an instance whose name begins like ours
        return False
    return True


def _leading_on(complete: Method) -> Method:
    async def _on_join_complete_async(
        self: Any, generation: int, member_id: str, protocol: str, member_assignment_bytes: bytes
    ) -> Any:
        outcome = await complete(self, generation, member_id, protocol, member_assignment_bytes)
        if self._prefstream_led_before:
            self.request_rejoin()
        return outcome

    return _on_join_complete_async


PATCHES = (
    Patch(
        BaseCoordinator,
        "_process_join_group_response",
        ("response", "send_time"),
        _noting_the_leader,
        needs=("group_instance_id", "request_rejoin"),
    ),
    Patch(
        ConsumerCoordinator,
        "_on_join_complete_async",
        ("generation", "member_id", "protocol", "member_assignment_bytes"),
        _leading_on,
    ),
)
