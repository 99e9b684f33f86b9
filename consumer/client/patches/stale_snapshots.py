"""A leader shares partitions out a second time, a moment after it has joined: a rebalance for nothing.

What goes wrong: the leader notes of which metadata it shared out, and joins again once that changes. What it notes was
put down when the brokers told something last. Where they had told of the topic before the consumer subscribed to it,
that is nothing, and their next answer, some 100 ms later, looks like a change. The second join takes away the
generation under which the group's first transaction commits its offsets: it is aborted, and scored again. Here the
leader notes what it does share out.

Versions: 2.3.3 and 3.0.0 to 3.0.12, where the consumer knows the topic before it subscribes.

Upstream: no issue known. The Java client renews what it notes before it shares out.

Remove when: `_perform_assignment` notes the metadata that it gives to the assignor.
"""

from __future__ import annotations

from typing import Any

from kafka.coordinator.consumer import ConsumerCoordinator

from prefstream.consumer.client.patches.patch import Method, Patch


def _noting_what_is_shared_out(perform: Method) -> Method:
    def _perform_assignment(self: Any, leader_id: str, protocol_name: str, members: Any) -> Any:
        assignments = perform(self, leader_id, protocol_name, members)
        # Nothing is heard from brokers in between: both run in one turn of the client's loop.
        self._metadata_snapshot = self._build_metadata_snapshot(self._subscription, self._cluster)
        self._assignment_snapshot = self._metadata_snapshot
        return assignments

    return _perform_assignment


PATCHES = (
    Patch(
        ConsumerCoordinator,
        "_perform_assignment",
        ("leader_id", "protocol_name", "members"),
        _noting_what_is_shared_out,
        needs=("_assignment_snapshot", "_build_metadata_snapshot", "_cluster", "_metadata_snapshot", "_subscription"),
    ),
)
