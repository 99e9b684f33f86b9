"""Topics: names, partitions and settings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefstream.consumer.broker.node.batch import RecordBatch
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.settings import BrokerSettings
from prefstream.consumer.broker.node.topics import TopicRegistry


@pytest.fixture
def topics() -> TopicRegistry:
    return TopicRegistry(BrokerSettings(default_partitions=3))


def refusal(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(RequestRefusedError) as caught:
        call()
    return caught.value.code


def test_a_topic_gets_the_default_number_of_partitions(topics: TopicRegistry) -> None:
    assert len(topics.create("t").partitions) == 3
    assert len(topics.create("u", partitions=5).partitions) == 5


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "ä", "x" * 250])
def test_illegal_names_are_refused(topics: TopicRegistry, name: str) -> None:
    assert refusal(lambda: topics.create(name)) is ErrorCode.INVALID_TOPIC_EXCEPTION


def test_a_topic_is_created_once(topics: TopicRegistry) -> None:
    topics.create("t")
    assert refusal(lambda: topics.create("t")) is ErrorCode.TOPIC_ALREADY_EXISTS


@pytest.mark.parametrize("partitions", [0, -2, 10_001])
def test_an_impossible_number_of_partitions_is_refused(topics: TopicRegistry, partitions: int) -> None:
    assert refusal(lambda: topics.create("t", partitions=partitions)) is ErrorCode.INVALID_PARTITIONS


def test_more_replicas_than_brokers_are_refused(topics: TopicRegistry) -> None:
    create = lambda: topics.create("t", replication_factor=2)  # noqa: E731
    assert refusal(create) is ErrorCode.INVALID_REPLICATION_FACTOR


def test_validating_creates_nothing(topics: TopicRegistry) -> None:
    topics.create("t", validate_only=True)
    assert topics.get("t") is None


def test_a_topic_is_found_by_its_id(topics: TopicRegistry) -> None:
    topic = topics.create("t")
    assert topics.find_id(topic.id) is topic
    assert topics.find_id(None) is None


def test_a_missing_partition_is_refused(topics: TopicRegistry) -> None:
    topics.create("t", partitions=1)
    for name, partition in (("t", 1), ("t", -1), ("u", 0)):
        code = refusal(lambda name=name, partition=partition: topics.log(name, partition))  # type: ignore[misc]
        assert code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_deleting_wakes_those_who_wait_for_records(topics: TopicRegistry) -> None:
    topic = topics.create("t", partitions=1)
    woken: list[str] = []
    topic.partitions[0].subscribe(lambda: woken.append("x"), read_committed=True)
    topics.delete(topic)
    assert woken == ["x"]
    assert topics.get("t") is None


def test_topics_only_grow(topics: TopicRegistry) -> None:
    topic = topics.create("t", partitions=2)
    assert refusal(lambda: topics.grow("t", 2)) is ErrorCode.INVALID_PARTITIONS
    topics.grow("t", 4, validate_only=True)
    assert len(topic.partitions) == 2
    topics.grow("t", 4)
    assert len(topic.partitions) == 4
    assert refusal(lambda: topics.grow("u", 2)) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_topics_own_message_limit_goes_before_the_brokers(topics: TopicRegistry) -> None:
    topic = topics.create("t")
    assert topics.max_message_bytes(topic) == BrokerSettings().max_message_bytes
    topics.configure("t", {"max.message.bytes": "100"})
    assert topics.max_message_bytes(topic) == 100
    topics.configure("t", {"max.message.bytes": None})
    assert topics.max_message_bytes(topic) == BrokerSettings().max_message_bytes


@pytest.mark.parametrize("changes", [{"no.such.setting": "1"}, {"retention.ms": "long"}])
def test_wrong_settings_are_refused_whole(topics: TopicRegistry, changes: dict[str, str]) -> None:
    topic = topics.create("t")
    wrong = lambda: topics.configure("t", {"max.message.bytes": "5", **changes})  # noqa: E731
    assert refusal(wrong) is ErrorCode.INVALID_CONFIG
    assert topic.overrides == {}


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, []),
        ({"retention.ms": "-1"}, [0, 1]),
        ({"retention.ms": "9000000000000"}, [0, 1]),
        ({"cleanup.policy": "compact"}, [0, 1]),
    ],
)
def test_records_are_kept_as_long_as_their_topic_says(
    topics: TopicRegistry, make_batch: Callable[..., RecordBatch], settings: dict[str, str | None], kept: list[int]
) -> None:
    (log,) = topics.create("t", partitions=1).partitions
    topics.configure("t", settings)
    for _ in range(2):
        log.append(make_batch())
    topics.expire(1_700_000_000_000)
    assert list(range(log.start_offset, log.end_offset)) == kept
