"""Whether a topic exists, whether we may use it, and which partitions it has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client import topics
from prefstream.consumer.client.clients import admin_client, make_consumer
from prefstream.consumer.client.topics import (
    DescribedTopic,
    create_topics,
    describe_topics,
    find_partitions,
    require_topic,
    require_topics,
)
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import BrokerUnreachableError, NotAuthorizedError, TopicMissingError


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def config(broker: EmbeddedBroker) -> StreamConfig:
    """Of a stream whose topics exist, with two partitions each."""
    config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers)
    create_topics(config, 2)
    return config


def test_topics_are_described_in_the_order_of_the_question(config: StreamConfig) -> None:
    with admin_client(config) as admin:
        described = describe_topics(admin, [config.preferences_topic, "nowhere", config.battles_topic])
    assert [(topic.name, topic.absent) for topic in described] == [
        (config.preferences_topic, False),
        ("nowhere", True),
        (config.battles_topic, False),
    ]
    assert described[-1].topic_partitions() == [TopicPartition(config.battles_topic, number) for number in range(2)]


def test_topics_that_are_all_there_are_enough(config: StreamConfig) -> None:
    require_topics(config)


def test_topics_that_are_missing_are_named(config: StreamConfig) -> None:
    with admin_client(config) as admin:
        admin.delete_topics([config.preferences_topic])
    with pytest.raises(TopicMissingError, match=f"^no topic {config.preferences_topic} at {config.bootstrap_servers}"):
        require_topics(config)


def test_a_broker_that_does_not_answer_is_named(
    broker: EmbeddedBroker, config: StreamConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefstream.consumer.client.clients.PATIENCE_S", 0)
    with admin_client(config) as admin:
        broker.faults.fail(
            "Metadata", error_code=5, times=1_000
        )  # LEADER_NOT_AVAILABLE is no answer, but it is retried
        broker.stop()
        with pytest.raises(BrokerUnreachableError, match=f"^asking {config.bootstrap_servers} for the topics failed"):
            require_topic(config, admin, config.battles_topic, "READ")


@pytest.mark.parametrize(
    ("described", "missing"),
    [
        ([("battles", None, ["READ"]), ("preferences", None, ["WRITE", "DESCRIBE"])], None),
        ([("battles", None, ["READ"]), ("preferences", None, ["DESCRIBE"])], "Write on topic preferences"),
        ([("battles", TopicAuthorizationFailedError, None), ("preferences", None, None)], "Read on topic battles"),
        ([("battles", None, None), ("preferences", None, None)], None),
    ],
    ids=["all are told", "seeing is not writing", "what may not be seen may not be read", "a broker that tells none"],
)
def test_a_right_that_is_missing_is_named(
    config: StreamConfig,
    monkeypatch: pytest.MonkeyPatch,
    described: list[tuple[str, type[Exception] | None, list[str] | None]],
    missing: str | None,
) -> None:
    def told(*_: Any) -> list[DescribedTopic]:
        return [
            DescribedTopic(name=name, error=error, operations=None if operations is None else frozenset(operations))
            for name, error, operations in described
        ]

    monkeypatch.setattr(topics, "describe_topics", told)
    if missing is None:
        require_topics(config)
    else:
        with pytest.raises(NotAuthorizedError, match=f"^the broker denies {missing}: grant that"):
            require_topics(config)


@pytest.mark.parametrize(
    ("error", "becomes", "told"),
    [
        (UnknownTopicOrPartitionError, TopicMissingError, r"create it \(prefstream topics create "),
        (TopicAuthorizationFailedError, NotAuthorizedError, "the broker denies Write on topic .*: grant that"),
    ],
)
def test_one_topic_that_is_missing_or_hidden_is_named(
    broker: EmbeddedBroker, config: StreamConfig, error: Any, becomes: type[Exception], told: str
) -> None:
    with admin_client(config) as admin:
        require_topic(config, admin, config.battles_topic, "WRITE")
        broker.faults.fail("Metadata", error_code=error.errno)
        with pytest.raises(becomes, match=told):
            require_topic(config, admin, config.battles_topic, "WRITE")


def test_a_consumer_tells_the_partitions_of_a_topic(config: StreamConfig) -> None:
    with closing(make_consumer(config)) as consumer:
        assert find_partitions(consumer, config.battles_topic) == [
            TopicPartition(config.battles_topic, number) for number in range(2)
        ]
        with pytest.raises(TopicMissingError, match="there is no topic nowhere, or it may not be seen"):
            find_partitions(consumer, "nowhere")
