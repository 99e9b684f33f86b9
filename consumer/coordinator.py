"""A group's coordinator that is down: kafka-python asks for it thousands of times a second.

Until a failover has found another broker, which takes about 9 s, the others go on naming the one that is down.
kafka-python 3.0.12 knows that it can't be reached, asks again without a pause, and logs a line each time: 2,900
requests and lines a second from a group of three members (measured on three brokers of Apache Kafka 4.3.1).
"""

from __future__ import annotations

import time
from typing import Any

from kafka.consumer import group
from kafka.coordinator.consumer import ConsumerCoordinator


class PatientCoordinator(ConsumerCoordinator):  # type: ignore[misc]  # kafka-python has no types
    """Pauses for `retry_backoff_ms` between two questions for the coordinator."""

    _asked_at = float("-inf")

    async def _send_group_coordinator_request(self) -> Any:
        pause_s = self._asked_at + self.config["retry_backoff_ms"] / 1000 - time.monotonic()
        if pause_s > 0:
            await self._manager._net.sleep(pause_s)  # noqa: SLF001 - as kafka-python's own coordinator does
        self._asked_at = time.monotonic()
        return await super()._send_group_coordinator_request()


def ask_patiently_for_coordinators() -> None:
    """Make kafka-python's consumers pause between two questions for their coordinator."""
    group.ConsumerCoordinator = PatientCoordinator
