"""Which offsets a topic and a group have, and the records between offsets; for who reads without joining a group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kafka.admin import OffsetSpec

from prefstream.consumer.client.clients import patiently
from prefstream.consumer.client.kafka_errors import KafkaError, KafkaTimeoutError, Meaning, meaning_of
from prefstream.consumer.client.protocols import Consumer, ConsumerRecord, TopicPartition
from prefstream.consumer.errors import DataLossError

POLL_MS: Final = 100
"""A poll that passes nothing but transaction markers returns no sooner than this."""

OFFSETS_TIMEOUT_MS: Final = 15_000

SILENCE_S: Final = 30.0
"""A read that gets no further for so long is given up: a coordinator or leader fails over in about 9 s."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where partitions begin and end.

    Attributes:
        begins: the first offset that is still there.
        ends: the offset behind the last record, committed or not.
    """

    begins: Mapping[TopicPartition, int]
    ends: Mapping[TopicPartition, int]

    def empty(self, partition: TopicPartition) -> bool:
        """Whether nothing stands there."""
        return self.begins[partition] >= self.ends[partition]


def read_bounds(admin: Any, partitions: Iterable[TopicPartition]) -> Bounds:
    """Where partitions begin and end now.

    Args:
        admin: a KafkaAdminClient.
        partitions: of any topics.

    Raises:
        KafkaError: the brokers do not tell.
    """
    wanted = list(partitions)

    def ask(spec: OffsetSpec) -> dict[TopicPartition, int]:
        found = patiently(lambda: admin.list_partition_offsets(dict.fromkeys(wanted, spec)))
        return {partition: int(at.offset) for partition, at in found.items()}

    return Bounds(ask(OffsetSpec.EARLIEST), ask(OffsetSpec.LATEST))


def read_committed_offsets(admin: Any, group_id: str, topic: str) -> dict[TopicPartition, int]:
    """What a group has committed of a topic; partitions of which it has committed nothing are left out.

    Args:
        admin: a KafkaAdminClient.
        group_id: of the group, whether it exists or not.
        topic: the topic.

    Raises:
        KafkaError: the coordinator does not tell.
    """
    return {
        partition: int(committed.offset)
        for partition, committed in patiently(lambda: admin.list_group_offsets({group_id: None}))[group_id].items()
        if partition.topic == topic and committed.offset >= 0
    }


def lag_by_partition(known: Mapping[TopicPartition, int], bounds: Bounds) -> dict[TopicPartition, int]:
    """What other tools call the lag: offsets from where a group is to each partition's end.

    What was deleted unread is in it. Where nothing is committed, it counts from the first record that is there.

    Args:
        known: where the group is, such as what it has committed.
        bounds: of the partitions.
    """
    return {one: max(0, end - known.get(one, bounds.begins[one])) for one, end in bounds.ends.items()}


def spans_since(
    consumer: Consumer, spans: Mapping[TopicPartition, range], since_ms: int, *, timeout_ms: int
) -> dict[TopicPartition, range]:
    """Of each partition's offsets those from its first record of then or later on.

    Args:
        consumer: asks.
        spans: offsets by partition.
        since_ms: milliseconds since the epoch.
        timeout_ms: for the answer.

    Raises:
        KafkaError: the brokers do not tell.
    """
    found = consumer.offsets_for_times(dict.fromkeys(spans, max(0, since_ms)), timeout_ms=timeout_ms)
    starts = {one: max(span.start, at.offset) if (at := found.get(one)) else span.stop for one, span in spans.items()}
    return {one: range(starts[one], span.stop) for one, span in spans.items()}


def refuse_shorter(partition: TopicPartition, offsets: range) -> None:
    """For `read_ranges`: refuse to go on where a topic is shorter than it was.

    Args:
        partition: of the topic.
        offsets: that were deleted; none where it is shorter.

    Raises:
        DataLossError: it is.
    """
    if not offsets:
        raise DataLossError(
            f"{partition.topic} has other records now: it was deleted and made anew, or cut off, while it was read"
        )


def read_ranges(
    consumer: Consumer,
    ranges: Mapping[TopicPartition, range],
    *,
    silence_s: float = SILENCE_S,
    on_deleted: Callable[[TopicPartition, range], None] = lambda *_: None,
) -> Iterator[ConsumerRecord]:
    """The records of some offsets of each partition. Ends although offsets are missing or hold no record.

    Args:
        consumer: without a group; it is told what to read.
        ranges: offsets by partition.
        silence_s: a read that gets no further for so long, in seconds, is given up.
        on_deleted: told which of the offsets were deleted before they were read; an empty range where the topic is
            shorter than it was.

    Raises:
        KafkaError: reading failed; KafkaTimeoutError where it got no further for `silence_s`.
    """
    left = {partition: offsets for partition, offsets in ranges.items() if offsets}
    consumer.assign(list(left))
    consumer.resume(*left)  # paused at the end of an earlier read
    for partition, offsets in left.items():
        consumer.seek(partition, offsets.start)
    moved_at = time.monotonic()
    while left:
        try:
            polled = consumer.poll(timeout_ms=POLL_MS)
        except KafkaError as error:
            if meaning_of(error) is not Meaning.OFFSET_OUT_OF_RANGE:
                raise
            # Retention was faster than we were: go on with what is left.
            begins = consumer.beginning_offsets(error.args[0], timeout_ms=OFFSETS_TIMEOUT_MS)
            for partition, offset in error.args[0].items():
                on_deleted(partition, range(offset, min(begins[partition], ranges[partition].stop)))
            consumer.seek_to_beginning(*error.args[0])
            continue
        for partition, records in polled.items():
            yield from (record for record in records if record.offset in ranges[partition])
        # Transaction markers and aborted records are no records, but the position passes them.
        passed = [
            partition for partition, offsets in left.items() if (consumer.position(partition) or 0) >= offsets.stop
        ]
        for partition in passed:
            del left[partition]
            consumer.pause(partition)
        if polled or passed:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > silence_s:
            raise KafkaTimeoutError
