"""A group's coordinator that is down is asked for thousands of times a second.

What goes wrong: until a failover has found another broker, which takes about 9 s, the others go on naming the one that
is down. kafka-python knows that it can't be reached, asks again without a pause, and logs a line each time: 2,900
requests and lines a second from a group of three members (measured on three brokers of Apache Kafka 4.3.1).

Versions: 3.0.0 to 3.0.12, and master.

Upstream: no issue known. Two pull requests of dpkp/kafka-python mend other loops of that kind: 1125, around a
coordinator that answers with an error, and 2695, around one that is known but disconnected.

Remove when: kafka-python waits for `retry_backoff_ms` after an answer that names a broker that it can't reach.
"""

from __future__ import annotations

import time
from typing import Any

from kafka.coordinator.base import BaseCoordinator

from prefstream.consumer.client.patches.patch import Method, Patch


def _pausing(ask: Method) -> Method:
    async def _send_group_coordinator_request(self: Any) -> Any:
        now = time.monotonic()
        pause_s = getattr(self, "_prefstream_asked_at", float("-inf")) + self.config["retry_backoff_ms"] / 1000 - now
        if pause_s > 0:
            await self._net.sleep(pause_s)
        self._prefstream_asked_at = time.monotonic()
        return await ask(self)

    return _send_group_coordinator_request


PATCHES = (Patch(BaseCoordinator, "_send_group_coordinator_request", (), _pausing, needs=("config", "_net")),)
