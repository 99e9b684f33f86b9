"""Fetching records, at once or as soon as there are enough."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from kafka.protocol.consumer import FetchResponse

from prefstream.consumer.broker.node.call import Call, Message
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.log import PartitionLog

_Topic = FetchResponse.FetchableTopicResponse
_Partition = _Topic.PartitionData

_READ_COMMITTED = 1


@dataclass(slots=True)
class _Round:
    """One look at all partitions of a fetch."""

    topics: list[Message]
    size_bytes: int = 0
    failed: bool = False


async def fetch(call: Call) -> Message:
    """Read all partitions named; wait up to `max_wait_ms` until there are `min_bytes`.

    Fetch sessions are declined (session id 0), which every client understands as "name all partitions again".
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + call.request.max_wait_ms / 1000
    while True:
        look = _read(call)
        left_s = deadline - loop.time()
        if look.failed or look.size_bytes >= call.request.min_bytes or left_s <= 0:
            return FetchResponse(throttle_time_ms=0, error_code=ErrorCode.NONE, session_id=0, responses=look.topics)
        await _wait_for_more(call, left_s)


def _read(call: Call) -> _Round:
    look = _Round([])
    for topic in call.request.topics:
        partitions = [_read_partition(call, topic.topic, part, look) for part in topic.partitions]
        look.topics.append(_Topic(topic=topic.topic, partitions=partitions))
    return look


def _read_partition(call: Call, name: str, part: Message, look: _Round) -> Message:
    read_committed = call.request.isolation_level == _READ_COMMITTED
    try:
        log = call.state.topics.log(name, part.partition)
    except RequestRefusedError as refusal:
        look.failed = True
        return _refused(part.partition, refusal.code)
    try:
        found = log.read(
            part.fetch_offset,
            max_bytes=min(part.partition_max_bytes, call.request.max_bytes - look.size_bytes),
            read_committed=read_committed,
            at_least_one=look.size_bytes == 0,
        )
    except RequestRefusedError as refusal:
        look.failed = True
        return _refused(part.partition, refusal.code, log)
    look.size_bytes += found.size_bytes
    aborted = [
        _Partition.AbortedTransaction(producer_id=entry.producer_id, first_offset=entry.first_offset)
        for entry in found.aborted
    ]
    return _Partition(
        partition_index=part.partition,
        error_code=ErrorCode.NONE,
        high_watermark=log.end_offset,
        last_stable_offset=log.last_stable_offset,
        log_start_offset=log.start_offset,
        aborted_transactions=aborted if read_committed else None,
        preferred_read_replica=-1,
        records=b"".join(found.batches),
    )


def _refused(index: int, code: ErrorCode, log: PartitionLog | None = None) -> Message:
    return _Partition(
        partition_index=index,
        error_code=code,
        high_watermark=-1 if log is None else log.end_offset,
        last_stable_offset=-1 if log is None else log.last_stable_offset,
        log_start_offset=-1 if log is None else log.start_offset,
        aborted_transactions=None,
        preferred_read_replica=-1,
        records=b"",
    )


async def _wait_for_more(call: Call, timeout_s: float) -> None:
    """Return when one of the partitions has something new for this reader, or when time is up."""
    woken = asyncio.Event()
    with _subscribed(call, woken), suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await woken.wait()


@contextmanager
def _subscribed(call: Call, woken: asyncio.Event) -> Iterator[None]:
    read_committed = call.request.isolation_level == _READ_COMMITTED
    logs = [
        call.state.topics.log(topic.topic, part.partition) for topic in call.request.topics for part in topic.partitions
    ]
    for log in logs:
        log.subscribe(woken.set, read_committed=read_committed)
    try:
        yield
    finally:
        for log in logs:
            log.unsubscribe(woken.set, read_committed=read_committed)
