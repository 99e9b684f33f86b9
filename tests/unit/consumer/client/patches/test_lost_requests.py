"""A request of a transaction that finds the coordinator away is sent when it is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from kafka import OffsetAndMetadata, TopicPartition

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import make_transactional_producer
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.mark.parametrize("call", ["send_offsets_to_transaction", "commit_transaction", "abort_transaction"])
def test_a_request_that_finds_the_coordinator_away_is_sent_when_it_is_back(broker: EmbeddedBroker, call: str) -> None:
    config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers, broker_timeout_s=20.0)
    create_topics(config, 1)
    offsets = {TopicPartition(config.battles_topic, 0): OffsetAndMetadata(1, "", -1)}
    values = (offsets, config.group_id) if call == "send_offsets_to_transaction" else ()
    producer = make_transactional_producer(config, "one")
    answer: Future[None] = Future()
    calling = threading.Thread(target=lambda: answer.set_result(getattr(producer, call)(*values)), daemon=True)
    try:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(config.preferences_topic, b"value")
        producer.flush()
        broker.stop()
        calling.start()
        time.sleep(1)  # long enough for the client to try in vain
        assert not answer.done()
        broker.start()
        answer.result(timeout=10)
    finally:
        producer.close(timeout=0)
