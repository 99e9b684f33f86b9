"""An answer to a member of a generation past is taken for one to the member of the present.

What goes wrong: a heartbeat is on its way when its member joins the next generation. Its answer says that the
generation is over, or that the member is unknown, and kafka-python forgets the generation that has just begun. The
answer to SyncGroup, where it comes next, is compared with what was forgotten, and the member ends with
InconsistentGroupProtocolError. For the answers to come in this order it takes a JoinGroup on a connection of its own
(`pending_joins`), or a coordinator that moves. Here such an answer to a heartbeat counts for nothing, and one to
SyncGroup that comes after its generation was forgotten has the member join again.

Versions: 3.0.12; others were not read for this.

Upstream: no issue known. The Java client compares the generation that an answer is for with its own.

Remove when: kafka-python does, too.
"""

from __future__ import annotations

from typing import Any, Final

from kafka.coordinator.base import BaseCoordinator
from kafka.errors import (
    FencedInstanceIdError,
    IllegalGenerationError,
    NoError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from prefstream.consumer.client.patches.patch import Method, Patch

OF_ITS_GENERATION: Final = frozenset(
    error.errno
    for error in (IllegalGenerationError, UnknownMemberIdError, FencedInstanceIdError, RebalanceInProgressError)
)
"""What the coordinator says of the member and the generation that a heartbeat names."""


def _noting_the_generation(send: Method) -> Method:
    async def _send_heartbeat_request(self: Any) -> Any:
        self._prefstream_heartbeat_of = self._generation  # one is on its way at a time
        return await send(self)

    return _send_heartbeat_request


def _of_the_present(handle: Method) -> Method:
    def _handle_heartbeat_response(self: Any, response: Any, send_time: float) -> Any:
        is_past = self._prefstream_heartbeat_of is not self._generation
        if is_past and response.error_code in OF_ITS_GENERATION:
            return None
        return handle(self, response, send_time)

    return _handle_heartbeat_response


def _unless_forgotten(process: Method) -> Method:
    def _process_sync_group_response(self: Any, response: Any, send_time: float) -> Any:
        if response.error_code == NoError.errno and self._generation.protocol is None:
            self.request_rejoin()
            raise IllegalGenerationError
        return process(self, response, send_time)

    return _process_sync_group_response


PATCHES = (
    Patch(BaseCoordinator, "_send_heartbeat_request", (), _noting_the_generation, needs=("_generation",)),
    Patch(BaseCoordinator, "_handle_heartbeat_response", ("response", "send_time"), _of_the_present),
    Patch(
        BaseCoordinator,
        "_process_sync_group_response",
        ("response", "send_time"),
        _unless_forgotten,
        needs=("request_rejoin",),
    ),
)
