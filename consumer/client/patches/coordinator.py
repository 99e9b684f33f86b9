"""What kafka-python 3.0.12 does wrong with a group's coordinator.

It asks for one that is down thousands of times a second. Until a failover has found another broker, which takes about
9 s, the others go on naming the one that is down. kafka-python knows that it can't be reached, asks again without a
pause, and logs a line each time: 2,900 requests and lines a second from a group of three members (measured on three
brokers of Apache Kafka 4.3.1).

It keeps the answer to a question for committed offsets that took too long, and gives it to whoever asks for the same
partitions next. If they were away meanwhile, others have read on, and their records would be answered a second time.
"""

from __future__ import annotations

import time
from typing import Any

from kafka.consumer import group
from kafka.coordinator.consumer import ConsumerCoordinator


class MendedCoordinator(ConsumerCoordinator):  # type: ignore[misc]  # kafka-python has no types
    """Pauses for `retry_backoff_ms` between two questions for the coordinator; forgets answers after a rebalance."""

    _asked_at = float("-inf")
    _asked_in: Any = None

    async def fetch_committed_offsets_async(self, partitions: Any, timeout_ms: float | None = None) -> Any:
        """Ask for committed offsets; what was asked before a rebalance is asked again."""
        if self._asked_in is not self._generation:
            self._asked_in = self._generation
            self._offset_fetch_futures.clear()
        return await super().fetch_committed_offsets_async(partitions, timeout_ms)

    async def _send_group_coordinator_request(self) -> Any:
        pause_s = self._asked_at + self.config["retry_backoff_ms"] / 1000 - time.monotonic()
        if pause_s > 0:
            await self._manager._net.sleep(pause_s)  # noqa: SLF001 - as kafka-python's own coordinator does
        self._asked_at = time.monotonic()
        return await super()._send_group_coordinator_request()


def mend_coordinators() -> None:
    """Make kafka-python's consumers use the mended one."""
    group.ConsumerCoordinator = MendedCoordinator
