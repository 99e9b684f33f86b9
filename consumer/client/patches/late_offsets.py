"""Committed offsets that were told too late are taken for today's.

What goes wrong: the answer to a question for committed offsets that took too long is kept, and given to whoever asks
for the same partitions next. If they were away meanwhile, others have read on, and their records would be answered a
second time. Here the answer is forgotten once the group has rebalanced.

Versions: 3.0.0 to 3.0.12, and master.

Upstream: no issue known.

Remove when: kafka-python drops unfinished questions for committed offsets when the member's generation changes.
"""

from __future__ import annotations

from typing import Any

from kafka.coordinator.consumer import ConsumerCoordinator

from prefstream.consumer.client.patches.patch import Method, Patch


def _forgetting(fetch: Method) -> Method:
    async def fetch_committed_offsets_async(self: Any, partitions: Any, timeout_ms: float | None = None) -> Any:
        if getattr(self, "_prefstream_asked_in", None) is not self._generation:
            self._prefstream_asked_in = self._generation
            self._offset_fetch_futures.clear()
        return await fetch(self, partitions, timeout_ms)

    return fetch_committed_offsets_async


PATCHES = (
    Patch(
        ConsumerCoordinator,
        "fetch_committed_offsets_async",
        ("partitions", "timeout_ms"),
        _forgetting,
        needs=("_generation", "_offset_fetch_futures"),
    ),
)
