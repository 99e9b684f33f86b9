"""Transactions of producers."""

from __future__ import annotations

from kafka.protocol.producer import (
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnResponse,
    EndTxnResponse,
    InitProducerIdResponse,
    TxnOffsetCommitResponse,
)

from prefstream.consumer.broker.handlers.offsets import collect_offsets
from prefstream.consumer.broker.node.call import Call, Message
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.transactions import NO_IDENTITY, ProducerIdentity

_AddedTopic = AddPartitionsToTxnResponse.AddPartitionsToTxnTopicResult
_CommittedTopic = TxnOffsetCommitResponse.TxnOffsetCommitResponseTopic


async def init_producer_id(call: Call) -> Message:
    """Hand out a producer id and epoch; under a transactional id this ends the predecessor."""
    code, identity = ErrorCode.NONE, NO_IDENTITY
    try:
        identity = _new_identity(call)
    except RequestRefusedError as refusal:
        code = _known_to(call, refusal.code, since=4)
    return InitProducerIdResponse(
        throttle_time_ms=0,
        error_code=code,
        producer_id=identity.producer_id,
        producer_epoch=identity.epoch,
    )


def _new_identity(call: Call) -> ProducerIdentity:
    request = call.request
    known = ProducerIdentity(request.producer_id, request.producer_epoch)
    if (known.producer_id < 0) != (known.epoch < 0):
        raise RequestRefusedError(ErrorCode.INVALID_REQUEST, "producer id and epoch only go together")
    if request.transactional_id is None:
        return call.state.transactions.init_idempotent()
    return call.state.transactions.init_producer(request.transactional_id, request.transaction_timeout_ms, known)


async def add_partitions_to_txn(call: Call) -> Message:
    """Make partitions part of a transaction, all or none."""
    request = call.request
    identity = ProducerIdentity(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch)
    partitions = [(topic.name, index) for topic in request.v3_and_below_topics for index in topic.partitions]
    missing = {partition for partition in partitions if not call.state.topics.has(*partition)}
    code = ErrorCode.OPERATION_NOT_ATTEMPTED
    if not missing:
        try:
            call.state.transactions.add_partitions(request.v3_and_below_transactional_id, identity, partitions)
            code = ErrorCode.NONE
        except RequestRefusedError as refusal:
            code = _known_to(call, refusal.code, since=2)
    results = [
        _AddedTopic(
            name=topic.name,
            results_by_partition=[
                _AddedTopic.AddPartitionsToTxnPartitionResult(
                    partition_index=index,
                    partition_error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                    if (topic.name, index) in missing
                    else code,
                )
                for index in topic.partitions
            ],
        )
        for topic in request.v3_and_below_topics
    ]
    return AddPartitionsToTxnResponse(throttle_time_ms=0, results_by_topic_v3_and_below=results)


async def add_offsets_to_txn(call: Call) -> Message:
    """Make a group's offsets part of a transaction."""
    request = call.request
    code = ErrorCode.NONE
    try:
        call.state.transactions.add_group(
            request.transactional_id,
            ProducerIdentity(request.producer_id, request.producer_epoch),
            request.group_id,
        )
    except RequestRefusedError as refusal:
        code = _known_to(call, refusal.code, since=2)
    return AddOffsetsToTxnResponse(throttle_time_ms=0, error_code=code)


async def txn_offset_commit(call: Call) -> Message:
    """Commit offsets with the transaction, unless the group has moved on (KIP-447)."""
    request = call.request
    identity = ProducerIdentity(request.producer_id, request.producer_epoch)
    failed: ErrorCode | None = None
    offsets, errors = collect_offsets(call)
    try:
        call.state.transactions.check_offsets(request.transactional_id, identity, request.group_id)
        group = call.state.groups.of_commit(request.group_id, request.generation_id)
        group.check_commit(request.member_id, request.group_instance_id, request.generation_id, transactional=True)
        group.offsets.commit_pending(identity.producer_id, offsets)
    except RequestRefusedError as refusal:
        failed = refusal.code
    topics = [
        _CommittedTopic(
            name=topic.name,
            partitions=[
                _CommittedTopic.TxnOffsetCommitResponsePartition(
                    partition_index=part.partition_index,
                    error_code=errors[topic.name, part.partition_index] if failed is None else failed,
                )
                for part in topic.partitions
            ],
        )
        for topic in request.topics
    ]
    return TxnOffsetCommitResponse(throttle_time_ms=0, topics=topics)


async def end_txn(call: Call) -> Message:
    """Commit or abort."""
    request = call.request
    code = ErrorCode.NONE
    try:
        call.state.transactions.end(
            request.transactional_id,
            ProducerIdentity(request.producer_id, request.producer_epoch),
            commit=request.committed,
        )
    except RequestRefusedError as refusal:
        code = _known_to(call, refusal.code, since=2)
    return EndTxnResponse(throttle_time_ms=0, error_code=code)


def _known_to(call: Call, code: ErrorCode, *, since: int) -> ErrorCode:
    """Clients that speak older versions of an API don't know PRODUCER_FENCED yet."""
    if code is ErrorCode.PRODUCER_FENCED and call.version < since:
        return ErrorCode.INVALID_PRODUCER_EPOCH
    return code
