"""Records that were set aside while their partition was paused are forgotten when it is resumed.

What goes wrong: what a poll has not handed out yet of a paused partition is parked, and taken up again after `resume`
when the place that it was in is free. That place counts as taken for ever once other records went through it: when two
partitions were parked, which takes a rebalance at the wrong moment, the second one is neither handed out nor fetched
again. Nothing is lost, but the partition stands still until the next pause. Here what was parked is handed out first,
and what is in its place afterwards.

Versions: 3.0.0 to 3.0.12, and master. 2.3.3 parks nothing: it fetches again.

Upstream: no issue known. Pull request 2981 of dpkp/kafka-python brought the parking (Apache Kafka's KAFKA-7548).

Remove when: kafka-python looks at what is parked although the place is taken by records that were all handed out.
"""

from __future__ import annotations

from typing import Any

from kafka.consumer.fetcher import Fetcher

from prefstream.consumer.client.patches.patch import Method, Patch


def _parked_first(hand_out: Method) -> Method:
    def fetched_records(self: Any, *arguments: Any, **options: Any) -> Any:
        current = self._next_partition_records
        if self._paused_partition_records and current is not None:
            if current:  # something of it is left: it waits behind those that were parked
                self._paused_partition_records[current.topic_partition] = current
            self._next_partition_records = None
        return hand_out(self, *arguments, **options)

    return fetched_records


PATCHES = (
    Patch(
        Fetcher,
        "fetched_records",
        ("max_records", "update_offsets"),
        _parked_first,
        needs=("_next_partition_records", "_paused_partition_records"),
    ),
)
