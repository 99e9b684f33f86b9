"""A transaction whose topic is gone fails; one whose topic is only not known yet goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kafka.errors import UnknownTopicOrPartitionError

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import make_transactional_producer
from prefstream.consumer.client.patches import unknown_topics
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig

CONFIG = StreamConfig.load()
UNKNOWN = UnknownTopicOrPartitionError.errno


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def producer(broker: EmbeddedBroker) -> Iterator[Any]:
    """In a transaction."""
    config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers)
    create_topics(config, 1)
    producer = make_transactional_producer(config, "one")
    producer.init_transactions()
    producer.begin_transaction()
    yield producer
    producer.close(timeout=0)


def commit(producer: Any) -> None:
    """As `commit_transaction` does, which would wait for ever where the test fails."""
    ended = producer._transaction_manager.begin_commit()
    producer._sender.wakeup()
    assert ended.wait(timeout_ms=5_000)


def test_a_topic_that_stays_unknown_fails_its_transaction_by_name(
    broker: EmbeddedBroker, producer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unknown_topics, "UNKNOWN_TOPIC_S", 0.2)
    broker.faults.fail("AddPartitionsToTxn", error_code=UNKNOWN, times=1_000_000)
    producer.send(CONFIG.preferences_topic, b"value")
    with pytest.raises(UnknownTopicOrPartitionError, match=CONFIG.preferences_topic):
        commit(producer)
    producer.abort_transaction()


def test_a_broker_that_does_not_know_its_topics_yet_is_waited_for(broker: EmbeddedBroker, producer: Any) -> None:
    broker.faults.fail("AddPartitionsToTxn", error_code=UNKNOWN, times=3)
    sent = producer.send(CONFIG.preferences_topic, b"value")
    commit(producer)
    assert sent.get(10).topic == CONFIG.preferences_topic
