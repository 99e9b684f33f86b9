"""Finding one's way: metadata of topics and of the cluster, coordinators."""

from __future__ import annotations

from kafka.protocol.admin import DescribeClusterResponse
from kafka.protocol.metadata import FindCoordinatorResponse, MetadataResponse

from prefstream.consumer.broker.node.call import Call, Message
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.state import CLUSTER_ID, NODE_ID
from prefstream.consumer.broker.node.topics import Topic

_Topic = MetadataResponse.MetadataResponseTopic
_Partition = _Topic.MetadataResponsePartition


async def metadata(call: Call) -> Message:
    """Which topics there are, and that this broker leads all of their partitions."""
    wanted = call.request.topics
    if wanted is None:
        topics = [_describe(topic) for topic in call.state.topics]
    else:
        topics = [_look_up(call, topic) for topic in wanted]
    return MetadataResponse(
        throttle_time_ms=0,
        brokers=[
            MetadataResponse.MetadataResponseBroker(
                node_id=NODE_ID, host=call.node_host, port=call.node_port, rack=None
            )
        ],
        cluster_id=CLUSTER_ID,
        controller_id=NODE_ID,
        topics=topics,
    )


async def find_coordinator(call: Call) -> Message:
    """This broker coordinates every group and every transaction."""
    node = {"node_id": NODE_ID, "host": call.node_host, "port": call.node_port}
    success = {"error_code": ErrorCode.NONE, "error_message": None}
    if call.version >= 4:
        coordinators = [
            FindCoordinatorResponse.Coordinator(key=key, **node, **success) for key in call.request.coordinator_keys
        ]
        return FindCoordinatorResponse(throttle_time_ms=0, coordinators=coordinators)
    return FindCoordinatorResponse(throttle_time_ms=0, **node, **success)


async def describe_cluster(call: Call) -> Message:
    """One node, which is the controller, too."""
    return DescribeClusterResponse(
        throttle_time_ms=0,
        error_code=ErrorCode.NONE,
        error_message=None,
        endpoint_type=1,
        cluster_id=CLUSTER_ID,
        controller_id=NODE_ID,
        brokers=[
            DescribeClusterResponse.DescribeClusterBroker(
                broker_id=NODE_ID, host=call.node_host, port=call.node_port, rack=None
            )
        ],
    )


def _look_up(call: Call, wanted: Message) -> Message:
    """The topic of this name or id; a missing one is created where both sides agree to that."""
    topics = call.state.topics
    if wanted.name is None:
        topic = topics.find_id(wanted.topic_id)
        if topic is None:
            return _missing(ErrorCode.UNKNOWN_TOPIC_ID, None, wanted.topic_id)
        return _describe(topic)
    topic = topics.get(wanted.name)
    if topic is None and call.state.settings.auto_create_topics and call.request.allow_auto_topic_creation:
        try:
            topic = topics.create(wanted.name)
        except RequestRefusedError as refusal:
            return _missing(refusal.code, wanted.name)
    if topic is None:
        return _missing(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, wanted.name)
    return _describe(topic)


def _missing(code: ErrorCode, name: str | None, topic_id: object = None) -> Message:
    return _Topic(error_code=code, name=name, topic_id=topic_id, is_internal=False, partitions=[])


def _describe(topic: Topic) -> Message:
    partitions = [
        _Partition(
            error_code=ErrorCode.NONE,
            partition_index=index,
            leader_id=NODE_ID,
            leader_epoch=0,
            replica_nodes=[NODE_ID],
            isr_nodes=[NODE_ID],
            offline_replicas=[],
        )
        for index in range(len(topic.partitions))
    ]
    return _Topic(
        error_code=ErrorCode.NONE,
        name=topic.name,
        topic_id=topic.id,
        is_internal=False,
        partitions=partitions,
    )
