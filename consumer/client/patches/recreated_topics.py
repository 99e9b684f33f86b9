"""Records of a topic that was deleted come out as those of its successor.

What goes wrong: what was fetched and not handed out yet is compared with the partition's position alone. When the topic
was deleted and created again meanwhile, its old records come out at the same offsets of the new one. kafka-python can't
be told to drop them; here it gets `Fetcher.forget`, which does.

Versions: 3.0.0 to 3.0.12, and master.

Upstream: no issue known.

Remove when: kafka-python drops what it has fetched once a topic's id has changed.
"""

from __future__ import annotations

from typing import Any

from kafka.consumer.fetcher import Fetcher

from prefstream.consumer.client.patches.patch import Method, Patch


def _forgetful(_: Method) -> Method:
    def forget(self: Any) -> None:
        """Drop everything that was fetched and not handed out yet; it is fetched again from where positions are."""
        self._completed_fetches.clear()
        self._paused_completed_fetches.clear()
        self._paused_partition_records.clear()
        self._next_partition_records = self._next_in_line_exception_metadata = None

    return forget


PATCHES = (
    Patch(
        Fetcher,
        "forget",
        None,
        _forgetful,
        needs=(
            "_completed_fetches",
            "_paused_completed_fetches",
            "_paused_partition_records",
            "_next_partition_records",
            "_next_in_line_exception_metadata",
        ),
    ),
)
