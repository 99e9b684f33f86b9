"""A producer that was closed sends nothing any more."""

from __future__ import annotations

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import make_producer
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from tests.support.streams import read_topic, wait_until


def test_what_a_producer_gave_up_is_not_written_later() -> None:
    broker = EmbeddedBroker()
    with broker:
        config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers)
        create_topics(config, 1)
        producer = make_producer(config, linger_ms=0)
        producer.send(config.battles_topic, value=b"known").get(100)
    given_up = producer.send(config.battles_topic, value=b"given up")
    producer.close(timeout=0.2)
    wait_until(lambda: given_up.is_done, what="that its sender is told")
    assert given_up.failed()
    assert not producer._sender.is_alive()
    with broker:
        with make_producer(config) as another:
            another.send(config.battles_topic, value=b"later").get(100)
        found = [record.value for record in read_topic(broker.bootstrap_servers, config.battles_topic)]
    assert found == [b"known", b"later"]
