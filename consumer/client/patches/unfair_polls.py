"""A poll hands out one partition's fetch to its end before any other's, and counts records, not bytes.

What goes wrong: what a fetch has brought of a partition, a megabyte or more, is handed out poll by poll until nothing
is left of it; a lone record of another partition waits meanwhile. And `max_records` bounds a poll by number alone:
five hundred records may be gigabytes. Besides, what was set aside while its partition was paused is forgotten, or
stands still until the next pause, where two partitions are affected at once. Here each poll goes round: every
partition that has something gets an equal share of it. It ends when the records in hand weigh `max_poll_bytes`, one
record at least. Two bounds hold meanwhile: a batch is unpacked only while those of the other partitions that are
unpacked take no more than the bound of one (see `unbounded_unpacking`), and nothing more is fetched while
`MAX_FETCHED_BYTES` wait.

Versions: 3.0.0 to 3.0.12, and master. 2.3.3 parks nothing, and is unfair in the same way.

Upstream: no issue known. Pull request 2981 of dpkp/kafka-python brought the parking (Apache Kafka's KAFKA-7548). Apache
Kafka's own consumer drains a fetch before the next, too.

Remove when: kafka-python's poll takes a bound in bytes and shares it between partitions.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import Any, Final

from kafka.consumer.fetcher import ExceptionMetadata, Fetcher

from prefstream.consumer.client.patches.patch import Method, Patch
from prefstream.consumer.client.patches.unbounded_unpacking import MAX_UNPACKED_BYTES

MAX_POLL_BYTES: Final = 16 * 1024 * 1024
"""Weight of a poll where the consumer has no bound of its own: some records of any size, with memory in hand."""

MAX_FETCHED_BYTES: Final = 64 * 1024 * 1024
"""Packed bytes that wait to be handed out: a megabyte of each of 64 partitions, which are more than one process has
cores for."""

HEADER_BYTES: Final = 128
"""What the objects of a header take beside its bytes."""


def _weighing(_: Method) -> Method:
    def take(self: Any, n: int | None = None) -> list[Any]:
        """As many records as are asked for, while their weight has room in `room_bytes`."""
        self._maybe_raise_next_inline_exception()
        records: list[Any] = []
        room_bytes = self.room_bytes
        try:
            for record in islice(self.record_iterator, n):
                records.append(record)
                # What is missing has a size of -1, which is as good as 0.
                room_bytes -= record.serialized_key_size + record.serialized_value_size + record.serialized_header_size
                room_bytes -= HEADER_BYTES * len(record.headers)
                if room_bytes <= 0:
                    break
        except Exception as error:
            if not records:
                raise
            self._next_inline_exception = error  # raised by the next call
        self.room_bytes = room_bytes
        return records

    return take


def _sharing(_: Method) -> Method:
    def fetched_records(self: Any, max_records: int | None = None, update_offsets: bool = True) -> Any:  # noqa: FBT001, FBT002 - as kafka-python calls it
        """Records by partition, and whether enough waits already, so that nothing more need be fetched."""
        if max_records is None:
            max_records = self.config["max_poll_records"]
        if max_records <= 0:
            raise ValueError("max_records must be > 0")
        put_off, self._next_in_line_exception_metadata = self._next_in_line_exception_metadata, None
        if put_off is not None and _is_of_our_position(self._subscriptions, put_off):
            raise put_off.exception
        _take_up(self)
        drained: defaultdict[Any, list[Any]] = defaultdict(list)
        _go_round(self, drained, max_records, update_offsets)
        return dict(drained), _waiting_bytes(self) >= MAX_FETCHED_BYTES

    return fetched_records


def _is_of_our_position(subscriptions: Any, put_off: ExceptionMetadata) -> bool:
    partition = put_off.partition
    return bool(
        subscriptions.is_fetchable(partition) and subscriptions.position(partition).offset == put_off.fetched_offset
    )


def _take_up(fetcher: Any) -> None:
    """Have what was fetched of each partition ready to be read, but for those that are paused."""
    is_paused = fetcher._subscriptions.is_paused
    paused, completed = fetcher._paused_completed_fetches, fetcher._completed_fetches
    for partition in [partition for partition in paused if not is_paused(partition)]:
        completed.append(paused.pop(partition))
    while completed:
        fetch = completed.popleft()
        if is_paused(fetch.topic_partition):
            paused[fetch.topic_partition] = fetch
        elif reading := fetcher._parse_fetched_data(fetch):
            reading.unpacked_bytes = 0
            reading.fetched_bytes = len(fetch.partition_data.records or b"")
            fetcher._paused_partition_records[fetch.topic_partition] = reading


def _go_round(fetcher: Any, drained: Any, max_records: int, update_offsets: bool) -> None:  # noqa: FBT001
    """Hand out records of every partition in turn, until there are enough of them or none is left."""
    ring, is_paused = fetcher._paused_partition_records, fetcher._subscriptions.is_paused
    unpacked_bound = getattr(fetcher, "max_unpacked_bytes", MAX_UNPACKED_BYTES)
    room_bytes = getattr(fetcher, "max_poll_bytes", MAX_POLL_BYTES)
    left = max_records
    while ready := [partition for partition in ring if not is_paused(partition)]:
        share = -(-left // len(ready))
        before = left
        for partition in ready:
            reading = ring.pop(partition)
            unpacked = sum(other.unpacked_bytes for other in ring.values())
            if unpacked > unpacked_bound and not (left == before and partition == ready[-1]):
                ring[partition] = reading  # waits until another one's batch is at its end
                continue
            offset, reading.room_bytes = reading.next_fetch_offset, room_bytes
            try:
                taken = fetcher._append(drained, reading, min(share, left), update_offsets)
            except Exception as error:
                if not drained:
                    raise
                fetcher._next_in_line_exception_metadata = ExceptionMetadata(partition, offset, error)
                return
            if reading and taken:
                ring[partition] = reading  # behind all others
            elif reading:
                reading.drain()  # it has failed before: fetched again, it fails again
            left -= taken
            room_bytes = reading.room_bytes
            if left == 0 or room_bytes <= 0:
                return


def _waiting_bytes(fetcher: Any) -> int:
    """Packed bytes that were fetched and are not handed out, or not all of them."""
    parked: int = sum(len(fetch.partition_data.records or b"") for fetch in fetcher._paused_completed_fetches.values())
    for reading in fetcher._paused_partition_records.values():
        parked += reading.fetched_bytes
    return parked


PATCHES = (
    Patch(
        Fetcher,
        "fetched_records",
        ("max_records", "update_offsets"),
        _sharing,
        needs=(
            "_completed_fetches",
            "_paused_completed_fetches",
            "_paused_partition_records",
            "_next_in_line_exception_metadata",
            "_append",
            "_parse_fetched_data",
        ),
    ),
    Patch(
        Fetcher.PartitionRecords,
        "take",
        ("n",),
        _weighing,
        needs=("record_iterator", "_maybe_raise_next_inline_exception"),
    ),
)
