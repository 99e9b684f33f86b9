"""Committing, fetching and deleting the offsets of groups."""

from __future__ import annotations

from kafka.protocol.consumer import OffsetCommitResponse, OffsetDeleteResponse, OffsetFetchResponse

from prefstream.consumer.broker.node.call import Call, Message
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.offsets import CommittedOffset, GroupOffsets, TopicPartition

_CommittedTopic = OffsetCommitResponse.OffsetCommitResponseTopic
_DeletedTopic = OffsetDeleteResponse.OffsetDeleteResponseTopic
_FetchedTopic = OffsetFetchResponse.OffsetFetchResponseTopic
_FetchedGroup = OffsetFetchResponse.OffsetFetchResponseGroup
_GroupTopic = _FetchedGroup.OffsetFetchResponseTopics

_NOTHING = CommittedOffset(-1)


async def offset_commit(call: Call) -> Message:
    """Commit offsets of a group, unless the committer is no longer part of it."""
    request = call.request
    generation = request.generation_id_or_member_epoch
    failed: ErrorCode | None = None
    offsets, errors = collect_offsets(call)
    try:
        group = call.state.groups.of_commit(request.group_id, generation)
        group.check_commit(request.member_id, request.group_instance_id, generation, transactional=False)
        group.offsets.commit(offsets, call.state.clock.monotonic_s())
    except RequestRefusedError as refusal:
        failed = refusal.code
    topics = [
        _CommittedTopic(
            name=topic.name,
            partitions=[
                _CommittedTopic.OffsetCommitResponsePartition(
                    partition_index=part.partition_index,
                    error_code=errors[topic.name, part.partition_index] if failed is None else failed,
                )
                for part in topic.partitions
            ],
        )
        for topic in request.topics
    ]
    return OffsetCommitResponse(throttle_time_ms=0, topics=topics)


def collect_offsets(call: Call) -> tuple[dict[TopicPartition, CommittedOffset], dict[TopicPartition, ErrorCode]]:
    """The offsets of a commit request that can be kept, and the verdict on each of them."""
    offsets: dict[TopicPartition, CommittedOffset] = {}
    errors: dict[TopicPartition, ErrorCode] = {}
    for topic in call.request.topics:
        for part in topic.partitions:
            partition = (topic.name, part.partition_index)
            metadata = part.committed_metadata or ""
            if not call.state.topics.has(*partition):
                errors[partition] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            elif len(metadata.encode()) > call.state.settings.offset_metadata_max_bytes:
                errors[partition] = ErrorCode.OFFSET_METADATA_TOO_LARGE
            else:
                errors[partition] = ErrorCode.NONE
                offsets[partition] = CommittedOffset(part.committed_offset, part.committed_leader_epoch, metadata)
    return offsets, errors


async def offset_fetch(call: Call) -> Message:
    """Tell committed offsets; with `require_stable`, not those that an open transaction may still change."""
    request = call.request
    if call.version >= 8:
        groups = [
            _FetchedGroup(
                group_id=wanted.group_id,
                topics=_fetched(call, wanted.group_id, wanted.topics, _GroupTopic),
                error_code=ErrorCode.NONE,
            )
            for wanted in request.groups
        ]
        return OffsetFetchResponse(throttle_time_ms=0, groups=groups)
    topics = _fetched(call, request.group_id, request.topics, _FetchedTopic)
    return OffsetFetchResponse(throttle_time_ms=0, error_code=ErrorCode.NONE, topics=topics)


def _fetched(call: Call, group_id: str, topics: list[Message] | None, topic_class: Message) -> list[Message]:
    group = call.state.groups.get(group_id)
    offsets = GroupOffsets() if group is None else group.offsets
    if topics is None:
        wanted: dict[str, list[int]] = {}
        for name, index in offsets.partitions():
            wanted.setdefault(name, []).append(index)
    else:
        wanted = {topic.name: topic.partition_indexes for topic in topics}
    partition_class = next(
        getattr(topic_class, name)
        for name in ("OffsetFetchResponsePartitions", "OffsetFetchResponsePartition")
        if hasattr(topic_class, name)
    )
    return [
        topic_class(
            name=name,
            partitions=[_fetched_partition(call, offsets, (name, index), partition_class) for index in indexes],
        )
        for name, indexes in wanted.items()
    ]


def _fetched_partition(
    call: Call, offsets: GroupOffsets, partition: TopicPartition, partition_class: Message
) -> Message:
    unstable = bool(call.request.require_stable) and offsets.is_pending(partition)
    found = _NOTHING if unstable else offsets.get(partition) or _NOTHING
    return partition_class(
        partition_index=partition[1],
        committed_offset=found.offset,
        committed_leader_epoch=found.leader_epoch,
        metadata=found.metadata,
        error_code=ErrorCode.UNSTABLE_OFFSET_COMMIT if unstable else ErrorCode.NONE,
    )


async def offset_delete(call: Call) -> Message:
    """Forget offsets of a group, but not of a topic that its members read."""
    request = call.request
    group = call.state.groups.get(request.group_id)
    if group is None:
        return OffsetDeleteResponse(throttle_time_ms=0, error_code=ErrorCode.GROUP_ID_NOT_FOUND, topics=[])
    subscribed = group.subscribed_topics()
    topics = []
    for topic in request.topics:
        indexes = [part.partition_index for part in topic.partitions]
        code = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC if topic.name in subscribed else ErrorCode.NONE
        if code is ErrorCode.NONE:
            group.offsets.delete([(topic.name, index) for index in indexes])
        partitions = [
            _DeletedTopic.OffsetDeleteResponsePartition(partition_index=index, error_code=code) for index in indexes
        ]
        topics.append(_DeletedTopic(name=topic.name, partitions=partitions))
    return OffsetDeleteResponse(throttle_time_ms=0, error_code=ErrorCode.NONE, topics=topics)
