"""Responses that say nothing but an error, for faults: the same shape as a real answer, all codes set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kafka.protocol import admin, consumer, metadata, producer

from prefstream.consumer.broker.faults import ApiName
from prefstream.consumer.broker.node.call import Call, Message

Rejection = Callable[[Call, int], Message]


def reject(api: ApiName, call: Call, error_code: int) -> Message:
    """The response to a request that fails with this code."""
    build = _BY_ITEM.get(api)
    if build is not None:
        return build(call, error_code)
    return _TOP_LEVEL[api](throttle_time_ms=0, error_code=error_code)


def _produce(call: Call, code: int) -> Message:
    topic_class = producer.ProduceResponse.TopicProduceResponse
    topics = [
        topic_class(
            name=topic.name,
            partition_responses=[
                topic_class.PartitionProduceResponse(
                    index=part.index, error_code=code, base_offset=-1, record_errors=[]
                )
                for part in topic.partition_data
            ],
        )
        for topic in call.request.topic_data
    ]
    return producer.ProduceResponse(responses=topics, throttle_time_ms=0)


def _fetch(call: Call, code: int) -> Message:
    topic_class = consumer.FetchResponse.FetchableTopicResponse
    topics = [
        topic_class(
            topic=topic.topic,
            partitions=[
                topic_class.PartitionData(
                    partition_index=part.partition,
                    error_code=code,
                    high_watermark=-1,
                    aborted_transactions=None,
                    records=b"",
                )
                for part in topic.partitions
            ],
        )
        for topic in call.request.topics
    ]
    return consumer.FetchResponse(throttle_time_ms=0, error_code=0, session_id=0, responses=topics)


def _list_offsets(call: Call, code: int) -> Message:
    topic_class = consumer.ListOffsetsResponse.ListOffsetsTopicResponse
    topics = [
        topic_class(
            name=topic.name,
            partitions=[
                topic_class.ListOffsetsPartitionResponse(partition_index=part.partition_index, error_code=code)
                for part in topic.partitions
            ],
        )
        for topic in call.request.topics
    ]
    return consumer.ListOffsetsResponse(throttle_time_ms=0, topics=topics)


def _offset_for_leader_epoch(call: Call, code: int) -> Message:
    topic_class = consumer.OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult
    topics = [
        topic_class(
            topic=topic.topic,
            partitions=[
                topic_class.EpochEndOffset(partition=part.partition, error_code=code) for part in topic.partitions
            ],
        )
        for topic in call.request.topics
    ]
    return consumer.OffsetForLeaderEpochResponse(throttle_time_ms=0, topics=topics)


def _offset_commit(call: Call, code: int) -> Message:
    topic_class = consumer.OffsetCommitResponse.OffsetCommitResponseTopic
    topics = [
        topic_class(
            name=topic.name,
            partitions=[
                topic_class.OffsetCommitResponsePartition(partition_index=part.partition_index, error_code=code)
                for part in topic.partitions
            ],
        )
        for topic in call.request.topics
    ]
    return consumer.OffsetCommitResponse(throttle_time_ms=0, topics=topics)


def _offset_delete(call: Call, code: int) -> Message:  # noqa: ARG001 - the whole request fails
    return consumer.OffsetDeleteResponse(throttle_time_ms=0, error_code=code, topics=[])


def _txn_offset_commit(call: Call, code: int) -> Message:
    topic_class = producer.TxnOffsetCommitResponse.TxnOffsetCommitResponseTopic
    topics = [
        topic_class(
            name=topic.name,
            partitions=[
                topic_class.TxnOffsetCommitResponsePartition(partition_index=part.partition_index, error_code=code)
                for part in topic.partitions
            ],
        )
        for topic in call.request.topics
    ]
    return producer.TxnOffsetCommitResponse(throttle_time_ms=0, topics=topics)


def _offset_fetch(call: Call, code: int) -> Message:
    response_class = consumer.OffsetFetchResponse
    if call.version < 8:
        return response_class(throttle_time_ms=0, error_code=code, topics=[])
    groups = [
        response_class.OffsetFetchResponseGroup(group_id=wanted.group_id, topics=[], error_code=code)
        for wanted in call.request.groups
    ]
    return response_class(throttle_time_ms=0, groups=groups)


def _add_partitions(call: Call, code: int) -> Message:
    topic_class = producer.AddPartitionsToTxnResponse.AddPartitionsToTxnTopicResult
    topics = [
        topic_class(
            name=topic.name,
            results_by_partition=[
                topic_class.AddPartitionsToTxnPartitionResult(partition_index=index, partition_error_code=code)
                for index in topic.partitions
            ],
        )
        for topic in call.request.v3_and_below_topics
    ]
    return producer.AddPartitionsToTxnResponse(throttle_time_ms=0, results_by_topic_v3_and_below=topics)


def _metadata(call: Call, code: int) -> Message:
    node = metadata.MetadataResponse.MetadataResponseBroker(
        node_id=0, host=call.node_host, port=call.node_port, rack=None
    )
    topics = [
        metadata.MetadataResponse.MetadataResponseTopic(
            error_code=code, name=topic.name, topic_id=topic.topic_id, is_internal=False, partitions=[]
        )
        for topic in call.request.topics or []
    ]
    return metadata.MetadataResponse(throttle_time_ms=0, brokers=[node], controller_id=0, topics=topics)


def _find_coordinator(call: Call, code: int) -> Message:
    nowhere = {"error_code": code, "error_message": None, "node_id": -1, "host": "", "port": -1}
    if call.version < 4:
        return metadata.FindCoordinatorResponse(throttle_time_ms=0, **nowhere)
    coordinators = [
        metadata.FindCoordinatorResponse.Coordinator(key=key, **nowhere) for key in call.request.coordinator_keys
    ]
    return metadata.FindCoordinatorResponse(throttle_time_ms=0, coordinators=coordinators)


def _join_group(call: Call, code: int) -> Message:
    return consumer.JoinGroupResponse(
        throttle_time_ms=0,
        error_code=code,
        protocol_name=None if call.version >= 7 else "",
        leader="",
        member_id=call.request.member_id,
        members=[],
    )


def _create_topics(call: Call, code: int) -> Message:
    topics = [
        admin.CreateTopicsResponse.CreatableTopicResult(
            name=topic.name, error_code=code, error_message=None, configs=None
        )
        for topic in call.request.topics
    ]
    return admin.CreateTopicsResponse(throttle_time_ms=0, topics=topics)


def _delete_topics(call: Call, code: int) -> Message:
    names = [topic.name for topic in call.request.topics] if call.version >= 6 else call.request.topic_names
    responses = [admin.DeleteTopicsResponse.DeletableTopicResult(name=name, error_code=code) for name in names]
    return admin.DeleteTopicsResponse(throttle_time_ms=0, responses=responses)


def _delete_records(call: Call, code: int) -> Message:
    topic_class = admin.DeleteRecordsResponse.DeleteRecordsTopicResult
    topics = [
        topic_class(
            name=topic.name,
            partitions=[
                topic_class.DeleteRecordsPartitionResult(
                    partition_index=part.partition_index, low_watermark=-1, error_code=code
                )
                for part in topic.partitions
            ],
        )
        for topic in call.request.topics
    ]
    return admin.DeleteRecordsResponse(throttle_time_ms=0, topics=topics)


def _create_partitions(call: Call, code: int) -> Message:
    results = [
        admin.CreatePartitionsResponse.CreatePartitionsTopicResult(name=topic.name, error_code=code)
        for topic in call.request.topics
    ]
    return admin.CreatePartitionsResponse(throttle_time_ms=0, results=results)


def _describe_configs(call: Call, code: int) -> Message:
    results = [
        admin.DescribeConfigsResponse.DescribeConfigsResult(
            error_code=code,
            error_message=None,
            resource_type=resource.resource_type,
            resource_name=resource.resource_name,
            configs=[],
        )
        for resource in call.request.resources
    ]
    return admin.DescribeConfigsResponse(throttle_time_ms=0, results=results)


def _alter_configs(call: Call, code: int) -> Message:
    responses = [
        admin.IncrementalAlterConfigsResponse.AlterConfigsResourceResponse(
            error_code=code,
            error_message=None,
            resource_type=resource.resource_type,
            resource_name=resource.resource_name,
        )
        for resource in call.request.resources
    ]
    return admin.IncrementalAlterConfigsResponse(throttle_time_ms=0, responses=responses)


def _describe_groups(call: Call, code: int) -> Message:
    groups = [
        admin.DescribeGroupsResponse.DescribedGroup(
            error_code=code, group_id=group_id, group_state="", protocol_type="", protocol_data="", members=[]
        )
        for group_id in call.request.groups
    ]
    return admin.DescribeGroupsResponse(throttle_time_ms=0, groups=groups)


def _delete_groups(call: Call, code: int) -> Message:
    results = [
        admin.DeleteGroupsResponse.DeletableGroupResult(group_id=group_id, error_code=code)
        for group_id in call.request.groups_names
    ]
    return admin.DeleteGroupsResponse(throttle_time_ms=0, results=results)


_TOP_LEVEL: Final[Mapping[ApiName, Message]] = {
    "AddOffsetsToTxn": producer.AddOffsetsToTxnResponse,
    "ApiVersions": metadata.ApiVersionsResponse,
    "DescribeCluster": admin.DescribeClusterResponse,
    "EndTxn": producer.EndTxnResponse,
    "Heartbeat": consumer.HeartbeatResponse,
    "InitProducerId": producer.InitProducerIdResponse,
    "LeaveGroup": consumer.LeaveGroupResponse,
    "ListGroups": admin.ListGroupsResponse,
    "SyncGroup": consumer.SyncGroupResponse,
}
_BY_ITEM: Final[Mapping[ApiName, Rejection]] = {
    "AddPartitionsToTxn": _add_partitions,
    "CreatePartitions": _create_partitions,
    "CreateTopics": _create_topics,
    "DeleteGroups": _delete_groups,
    "DeleteRecords": _delete_records,
    "DeleteTopics": _delete_topics,
    "DescribeConfigs": _describe_configs,
    "DescribeGroups": _describe_groups,
    "Fetch": _fetch,
    "FindCoordinator": _find_coordinator,
    "IncrementalAlterConfigs": _alter_configs,
    "JoinGroup": _join_group,
    "ListOffsets": _list_offsets,
    "Metadata": _metadata,
    "OffsetCommit": _offset_commit,
    "OffsetFetch": _offset_fetch,
    "OffsetDelete": _offset_delete,
    "OffsetForLeaderEpoch": _offset_for_leader_epoch,
    "Produce": _produce,
    "TxnOffsetCommit": _txn_offset_commit,
}
