"""A static member whose instance id was taken over goes on as if nothing had happened.

What goes wrong: the answer to a heartbeat says so, and kafka-python writes a line to its log, sends no more heartbeats
and tells nobody. Who polls it gets records until a commit is refused. Here the next poll raises it.

Versions: 3.0.0 to 3.0.12, and master.

Upstream: no issue known. The Java client raises it at the next poll.

Remove when: kafka-python's `poll` raises FencedInstanceIdError after a heartbeat was answered by it.
"""

from __future__ import annotations

from typing import Any

from kafka.coordinator.base import BaseCoordinator
from kafka.errors import FencedInstanceIdError

from prefstream.consumer.client.patches.patch import Method, Patch


def _noting(send: Method) -> Method:
    async def _send_heartbeat_request(self: Any) -> Any:
        try:
            return await send(self)
        except FencedInstanceIdError as error:
            self._prefstream_fenced = error
            raise

    return _send_heartbeat_request


def _telling(poll: Method) -> Method:
    def poll_heartbeat(self: Any) -> None:
        if fenced := getattr(self, "_prefstream_fenced", None):
            raise fenced
        poll(self)

    return poll_heartbeat


PATCHES = (
    Patch(BaseCoordinator, "_send_heartbeat_request", (), _noting),
    Patch(BaseCoordinator, "poll_heartbeat", (), _telling),
)
