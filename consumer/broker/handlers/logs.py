"""Asking about logs, and deleting their beginning."""

from __future__ import annotations

from typing import Final

from kafka.protocol.admin import DeleteRecordsResponse
from kafka.protocol.consumer import ListOffsetsResponse, OffsetForLeaderEpochResponse

from prefstream.consumer.broker.node.call import Call, Message
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError

_LATEST: Final = -1
_EARLIEST: Final = -2
_MAX_TIMESTAMP: Final = -3
_READ_COMMITTED: Final = 1
# DeleteRecords: "up to the high watermark".
_TO_THE_END: Final = -1

_OffsetsTopic = ListOffsetsResponse.ListOffsetsTopicResponse
_OffsetsPartition = _OffsetsTopic.ListOffsetsPartitionResponse
_DeletedTopic = DeleteRecordsResponse.DeleteRecordsTopicResult
_DeletedPartition = _DeletedTopic.DeleteRecordsPartitionResult
_EpochTopic = OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult


async def list_offsets(call: Call) -> Message:
    """First, last, or by timestamp: which offset is it?"""
    topics = [
        _OffsetsTopic(name=topic.name, partitions=[_list(call, topic.name, part) for part in topic.partitions])
        for topic in call.request.topics
    ]
    return ListOffsetsResponse(throttle_time_ms=0, topics=topics)


def _list(call: Call, name: str, part: Message) -> Message:
    code, offset, timestamp_ms = ErrorCode.NONE, -1, -1
    try:
        offset, timestamp_ms = _find(call, name, part)
    except RequestRefusedError as refusal:
        code = refusal.code
    return _OffsetsPartition(
        partition_index=part.partition_index,
        error_code=code,
        timestamp=timestamp_ms,
        offset=offset,
        leader_epoch=0 if offset >= 0 else -1,
    )


def _find(call: Call, name: str, part: Message) -> tuple[int, int]:
    """Offset and timestamp; both -1 where no record is new enough."""
    log = call.state.topics.log(name, part.partition_index)
    read_committed = call.request.isolation_level == _READ_COMMITTED
    if part.timestamp == _EARLIEST:
        return log.start_offset, -1
    if part.timestamp == _LATEST:
        return log.upper_bound(read_committed=read_committed), -1
    found = log.find_newest() if part.timestamp == _MAX_TIMESTAMP else log.find_offset_at(part.timestamp)
    if found is None or found[0] >= log.upper_bound(read_committed=read_committed):
        return -1, -1
    return found


async def offset_for_leader_epoch(call: Call) -> Message:
    """There was only ever one leader, in epoch 0, so that epoch ends where the log ends."""
    topics = [
        _EpochTopic(topic=topic.topic, partitions=[_epoch_end(call, topic.topic, part) for part in topic.partitions])
        for topic in call.request.topics
    ]
    return OffsetForLeaderEpochResponse(throttle_time_ms=0, topics=topics)


def _epoch_end(call: Call, name: str, part: Message) -> Message:
    code, epoch, end_offset = ErrorCode.NONE, 0, -1
    try:
        end_offset = call.state.topics.log(name, part.partition).end_offset
    except RequestRefusedError as refusal:
        code, epoch = refusal.code, -1
    return _EpochTopic.EpochEndOffset(
        error_code=code, partition=part.partition, leader_epoch=epoch, end_offset=end_offset
    )


async def delete_records(call: Call) -> Message:
    """Delete the records before an offset; readers further back get OFFSET_OUT_OF_RANGE from then on."""
    topics = [
        _DeletedTopic(name=topic.name, partitions=[_delete(call, topic.name, part) for part in topic.partitions])
        for topic in call.request.topics
    ]
    return DeleteRecordsResponse(throttle_time_ms=0, topics=topics)


def _delete(call: Call, name: str, part: Message) -> Message:
    code, low_watermark = ErrorCode.NONE, -1
    try:
        log = call.state.topics.log(name, part.partition_index)
        log.delete_before(log.end_offset if part.offset == _TO_THE_END else part.offset)
        low_watermark = log.start_offset
    except RequestRefusedError as refusal:
        code = refusal.code
    return _DeletedPartition(partition_index=part.partition_index, low_watermark=low_watermark, error_code=code)
