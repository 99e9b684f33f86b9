"""Every request of a transaction is answered, also when the network has nothing more to say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import MessageSizeTooLargeError

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import make_transactional_producer
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


def test_every_request_of_a_transaction_is_answered_when_a_message_fails(broker: EmbeddedBroker) -> None:
    """The thread answers one of them each time that it is woken, and nothing wakes it six times."""
    config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers)
    create_topics(config, 1)
    offsets = {TopicPartition(config.battles_topic, 0): OffsetAndMetadata(1, "", -1)}
    producer = make_transactional_producer(config, "one")
    try:
        producer.init_transactions()
        producer.begin_transaction()
        manager = producer._transaction_manager
        with manager._lock:  # the producer's thread finds all of it done at once
            for number in range(5):
                manager.maybe_add_partition_to_transaction(TopicPartition(config.preferences_topic, number))
                manager._enqueue_request(manager._add_partitions_to_transaction_handler())
            answer = manager.send_offsets_to_transaction(offsets, config.group_id)
            manager.transition_to_abortable_error(MessageSizeTooLargeError())
        producer._sender.wakeup()
        with pytest.raises(MessageSizeTooLargeError):
            answer.wait(timeout_ms=5_000)
        producer.abort_transaction()
    finally:
        producer.close(timeout=0)
