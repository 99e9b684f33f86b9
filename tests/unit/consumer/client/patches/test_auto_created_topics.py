"""Asking for a topic never creates it, where brokers would."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import admin_client, make_consumer, make_producer
from prefstream.consumer.connection import KafkaConnection
from tests.support.streams import wait_until


def ask_for_battles(consumer: Any) -> None:
    """By its name: to ask for all topics creates none."""
    consumer.assign([TopicPartition("battles", 0)])
    asked = consumer._cluster.request_update()
    wait_until(lambda: asked.is_done, what="the brokers' answer")


def read(connection: KafkaConnection) -> None:
    with closing(make_consumer(connection)) as consumer:
        ask_for_battles(consumer)


def write(connection: KafkaConnection) -> None:
    with closing(make_producer(connection, max_block_ms=300)) as producer, pytest.raises(KafkaTimeoutError):
        producer.send("battles", b"value").get(10)


@pytest.mark.parametrize("ask", [read, write])
def test_a_client_of_ours_creates_no_topic(ask: Callable[[KafkaConnection], None]) -> None:
    with EmbeddedBroker() as broker:
        connection = KafkaConnection.load(bootstrap_servers=broker.bootstrap_servers)
        ask(connection)
        with admin_client(connection) as admin:
            assert admin.list_topics() == []


@pytest.mark.parametrize(("settings", "created"), [({}, True), ({"allow_auto_create_topics": False}, False)])
def test_kafka_pythons_own_clients_do_what_they_are_told(settings: dict[str, Any], created: bool) -> None:
    with EmbeddedBroker() as broker:
        connection = KafkaConnection.load(bootstrap_servers=broker.bootstrap_servers)
        with admin_client(connection) as admin:  # patches kafka-python
            with closing(KafkaConsumer(bootstrap_servers=broker.bootstrap_servers, **settings)) as consumer:
                ask_for_battles(consumer)
            assert (admin.list_topics() == ["battles"]) is created
