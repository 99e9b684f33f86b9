"""Creating, deleting, growing and configuring topics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kafka.protocol.admin import (
    CreatePartitionsResponse,
    CreateTopicsResponse,
    DeleteTopicsResponse,
    DescribeConfigsResponse,
    IncrementalAlterConfigsResponse,
)

from prefstream.consumer.broker.node.call import Call, Message
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.topics import CONFIG_DEFAULTS, Topic

_CreatedTopic = CreateTopicsResponse.CreatableTopicResult
_DeletedTopic = DeleteTopicsResponse.DeletableTopicResult
_GrownTopic = CreatePartitionsResponse.CreatePartitionsTopicResult
_ConfigResult = DescribeConfigsResponse.DescribeConfigsResult
_Config = _ConfigResult.DescribeConfigsResourceResult
_AlterResult = IncrementalAlterConfigsResponse.AlterConfigsResourceResponse

_TOPIC: Final = 2
_BROKER: Final = 4
_SOURCE_TOPIC: Final = 1
_SOURCE_STATIC_BROKER: Final = 4
_SOURCE_DEFAULT: Final = 5
_SET: Final = 0
_RESET: Final = 1


async def create_topics(call: Call) -> Message:
    """Create topics, each on its own."""
    return CreateTopicsResponse(throttle_time_ms=0, topics=[_create(call, wanted) for wanted in call.request.topics])


def _create(call: Call, wanted: Message) -> Message:
    try:
        _check_unassigned(wanted)
        topic = call.state.topics.create(
            wanted.name,
            partitions=wanted.num_partitions,
            replication_factor=wanted.replication_factor,
            overrides={config.name: config.value for config in wanted.configs},
            validate_only=bool(call.request.validate_only),
        )
    except RequestRefusedError as refusal:
        return _CreatedTopic(
            name=wanted.name,
            error_code=refusal.code,
            error_message=str(refusal),
            num_partitions=-1,
            replication_factor=-1,
            configs=None,
        )
    return _CreatedTopic(
        name=topic.name,
        topic_id=topic.id,
        error_code=ErrorCode.NONE,
        error_message=None,
        num_partitions=len(topic.partitions),
        replication_factor=1,
        configs=[
            _CreatedTopic.CreatableTopicConfigs(
                name=name, value=value, read_only=False, config_source=source, is_sensitive=False
            )
            for name, value, source in _topic_configs(call, topic)
        ],
    )


def _check_unassigned(wanted: Message) -> None:
    if wanted.assignments:
        raise RequestRefusedError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT, "replicas can't be assigned: there is only one broker"
        )


async def delete_topics(call: Call) -> Message:
    """Delete topics by name, or by id from version 6 on."""
    if call.version >= 6:
        responses = [_delete(call, wanted.name, wanted.topic_id) for wanted in call.request.topics]
    else:
        responses = [_delete(call, name, None) for name in call.request.topic_names]
    return DeleteTopicsResponse(throttle_time_ms=0, responses=responses)


def _delete(call: Call, name: str | None, topic_id: Message) -> Message:
    topic = call.state.topics.find_id(topic_id) if name is None else call.state.topics.get(name)
    if topic is None:
        code = ErrorCode.UNKNOWN_TOPIC_ID if name is None else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return _DeletedTopic(name=name, topic_id=topic_id, error_code=code, error_message="no such topic")
    call.state.delete_topic(topic)
    return _DeletedTopic(name=topic.name, topic_id=topic.id, error_code=ErrorCode.NONE, error_message=None)


async def create_partitions(call: Call) -> Message:
    """Give topics more partitions."""
    return CreatePartitionsResponse(throttle_time_ms=0, results=[_grow(call, wanted) for wanted in call.request.topics])


def _grow(call: Call, wanted: Message) -> Message:
    code, message = ErrorCode.NONE, None
    try:
        call.state.topics.grow(wanted.name, wanted.count, validate_only=bool(call.request.validate_only))
    except RequestRefusedError as refusal:
        code, message = refusal.code, str(refusal)
    return _GrownTopic(name=wanted.name, error_code=code, error_message=message)


async def describe_configs(call: Call) -> Message:
    """Settings of topics, and those of the broker that clients ask for."""
    return DescribeConfigsResponse(
        throttle_time_ms=0, results=[_describe(call, wanted) for wanted in call.request.resources]
    )


def _describe(call: Call, wanted: Message) -> Message:
    code, message = ErrorCode.NONE, None
    settings: list[tuple[str, str, int]] = []
    try:
        settings = _configs_of(call, wanted)
    except RequestRefusedError as refusal:
        code, message = refusal.code, str(refusal)
    keys = wanted.configuration_keys
    return _ConfigResult(
        error_code=code,
        error_message=message,
        resource_type=wanted.resource_type,
        resource_name=wanted.resource_name,
        configs=[
            _Config(
                name=name,
                value=value,
                read_only=source == _SOURCE_STATIC_BROKER,
                config_source=source,
                is_default=source == _SOURCE_DEFAULT,
                is_sensitive=False,
                synonyms=[],
                documentation=None,
            )
            for name, value, source in settings
            if keys is None or name in keys
        ],
    )


def _configs_of(call: Call, wanted: Message) -> list[tuple[str, str, int]]:
    """Name, value and source of each setting of a resource."""
    if wanted.resource_type == _BROKER:
        settings = call.state.settings
        values = {
            "auto.create.topics.enable": str(settings.auto_create_topics).lower(),
            "message.max.bytes": str(settings.max_message_bytes),
            "log.retention.check.interval.ms": str(settings.log_retention_check_interval_ms),
            "num.partitions": str(settings.default_partitions),
            "offsets.retention.check.interval.ms": str(settings.offsets_retention_check_interval_ms),
            "offsets.retention.minutes": str(settings.offsets_retention_ms // 60_000),
            "group.max.session.timeout.ms": str(settings.group_max_session_timeout_ms),
            "group.min.session.timeout.ms": str(settings.group_min_session_timeout_ms),
            "transaction.max.timeout.ms": str(settings.transaction_max_timeout_ms),
        }
        return [(name, value, _SOURCE_STATIC_BROKER) for name, value in values.items()]
    if wanted.resource_type != _TOPIC:
        raise RequestRefusedError(
            ErrorCode.INVALID_REQUEST, f"resource type {wanted.resource_type} has no settings here"
        )
    return _topic_configs(call, call.state.topics.require(wanted.resource_name))


def _topic_configs(call: Call, topic: Topic) -> list[tuple[str, str, int]]:
    defaults = {**CONFIG_DEFAULTS, "max.message.bytes": str(call.state.settings.max_message_bytes)}
    return [
        (name, topic.overrides.get(name, value), _SOURCE_TOPIC if name in topic.overrides else _SOURCE_DEFAULT)
        for name, value in defaults.items()
    ]


async def incremental_alter_configs(call: Call) -> Message:
    """Change settings of topics."""
    return IncrementalAlterConfigsResponse(
        throttle_time_ms=0, responses=[_alter(call, wanted) for wanted in call.request.resources]
    )


def _alter(call: Call, wanted: Message) -> Message:
    code, message = ErrorCode.NONE, None
    try:
        call.state.topics.configure(
            _alterable_topic(wanted),
            _changes(wanted),
            validate_only=bool(call.request.validate_only),
        )
    except RequestRefusedError as refusal:
        code, message = refusal.code, str(refusal)
    return _AlterResult(
        error_code=code,
        error_message=message,
        resource_type=wanted.resource_type,
        resource_name=wanted.resource_name,
    )


def _alterable_topic(wanted: Message) -> str:
    if wanted.resource_type != _TOPIC:
        raise RequestRefusedError(ErrorCode.INVALID_REQUEST, "only settings of topics can be changed here")
    return str(wanted.resource_name)


def _changes(wanted: Message) -> Mapping[str, str | None]:
    """What a request wants changed; None stands for "back to the default"."""
    changes: dict[str, str | None] = {}
    for config in wanted.configs:
        if config.config_operation not in {_SET, _RESET}:
            raise RequestRefusedError(
                ErrorCode.INVALID_CONFIG, f"{config.name} is no list: it can only be set or deleted"
            )
        changes[config.name] = config.value if config.config_operation == _SET else None
    return changes
