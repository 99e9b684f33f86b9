"""Records that kafka-python has set aside while their partition was paused, and forgets when it is resumed.

What a poll has not handed out yet of a paused partition is parked, and taken up again after `resume` when the place
that it was in is free. In kafka-python 3.0.12 that place counts as taken for ever once other records went through it:
when two partitions were parked, which takes a rebalance at the wrong moment, the second one is neither handed out nor
fetched again. Nothing is lost, but the partition stands still until the next pause.

What is parked is compared with the partition's position alone when it is taken up: records of a topic that was deleted
meanwhile would come out as those of its successor, at the same offsets.
"""

from __future__ import annotations

from typing import Any

from kafka.consumer import fetcher, group


class FairFetcher(fetcher.Fetcher):  # type: ignore[misc]  # kafka-python has no types
    """Hands out what was parked first, and what is in its place afterwards."""

    _next_partition_records: Any
    _next_in_line_exception_metadata: Any

    def forget(self) -> None:
        """Drop everything that was fetched and not handed out yet; it is fetched again from where positions are."""
        self._completed_fetches.clear()
        self._paused_completed_fetches.clear()
        self._paused_partition_records.clear()
        self._next_partition_records = self._next_in_line_exception_metadata = None

    def fetched_records(self, *arguments: Any, **options: Any) -> Any:
        """Called with each poll."""
        current = self._next_partition_records
        if self._paused_partition_records and current is not None:
            if current:  # something of it is left: it waits behind those that were parked
                self._paused_partition_records[current.topic_partition] = current
            self._next_partition_records = None
        return super().fetched_records(*arguments, **options)


def hand_out_what_was_parked() -> None:
    """Make kafka-python's consumers hand out what they have set aside."""
    group.Fetcher = FairFetcher
