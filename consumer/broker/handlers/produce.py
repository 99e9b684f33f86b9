"""Producing records."""

from __future__ import annotations

from kafka.protocol.producer import ProduceResponse

from prefstream.consumer.broker.node.batch import RecordBatch, parse_produced
from prefstream.consumer.broker.node.call import Call, Message
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.topics import Topic
from prefstream.consumer.broker.node.transactions import ProducerIdentity

_Topic = ProduceResponse.TopicProduceResponse
_Partition = _Topic.PartitionProduceResponse


async def produce(call: Call) -> Message | None:
    """Append one batch to each partition named; with acks=0 nobody hears of the outcome."""
    responses = [
        _Topic(
            name=topic.name,
            partition_responses=[_append(call, topic.name, part) for part in topic.partition_data],
        )
        for topic in call.request.topic_data
    ]
    if call.request.acks == 0:
        return None
    return ProduceResponse(responses=responses, throttle_time_ms=0)


def _append(call: Call, name: str, part: Message) -> Message:
    code, message, base_offset, start_offset = ErrorCode.NONE, None, -1, -1
    try:
        log = call.state.topics.log(name, part.index)
        start_offset = log.start_offset
        base_offset = log.append(_checked(call, call.state.topics.require(name), part))
    except RequestRefusedError as refusal:
        code, message = refusal.code, str(refusal)
    return _Partition(
        index=part.index,
        error_code=code,
        base_offset=base_offset,
        log_append_time_ms=-1,
        log_start_offset=start_offset,
        record_errors=[],
        error_message=message,
    )


def _checked(call: Call, topic: Topic, part: Message) -> RecordBatch:
    """The batch for a partition, if it may be appended there."""
    _check_size(call, topic, 0 if part.records is None else len(part.records))
    batch = parse_produced(part.records)
    newest_allowed_ms = call.state.clock.wall_ms() + topic.max_ahead_ms
    if batch.max_timestamp_ms > newest_allowed_ms:
        raise RequestRefusedError(
            ErrorCode.INVALID_TIMESTAMP, f"a timestamp is more than {topic.max_ahead_ms} ms in the future"
        )
    if batch.transactional:
        identity = ProducerIdentity(batch.producer_id, batch.producer_epoch)
        call.state.transactions.check_write(call.request.transactional_id or "", identity, (topic.name, part.index))
    return batch


def _check_size(call: Call, topic: Topic, size: int) -> None:
    limit = call.state.topics.max_message_bytes(topic)
    if size > limit:
        raise RequestRefusedError(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"record batch of {size} bytes: topic {topic.name} takes at most {limit} (max.message.bytes)",
        )
