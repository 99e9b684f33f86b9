"""A coordinator that is down is asked for now and then, and what one said before a rebalance counts no more."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaTimeoutError

from prefstream.consumer.broker import EmbeddedBroker, apis
from prefstream.consumer.broker.node.call import Call
from prefstream.consumer.client.clients import create_topics, make_consumer, make_group_consumer
from prefstream.consumer.config import StreamConfig
from tests.support.streams import poll, poll_at_once, produce, wait_until

FIND_COORDINATOR = 10


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the broker was asked for a coordinator. It names one that nobody reaches, as brokers do until a failover."""
    moments: list[float] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed_port = taken.getsockname()[1]
    api = apis.APIS[FIND_COORDINATOR]

    async def name_the_dead(call: Call) -> Any:
        moments.append(time.monotonic())
        return await api.handle(replace(call, node_port=closed_port))

    monkeypatch.setattr(apis, "APIS", {**apis.APIS, FIND_COORDINATOR: replace(api, handle=name_the_dead)})
    monkeypatch.setattr("prefstream.consumer.broker.server.APIS", apis.APIS)
    return moments


@pytest.fixture
def config(asked: list[float]) -> Iterator[StreamConfig]:
    with EmbeddedBroker() as broker:
        config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers, group_id="g")
        create_topics(config, 1)
        yield config


def test_a_coordinator_that_is_down_is_asked_for_with_pauses(config: StreamConfig, asked: list[float]) -> None:
    with closing(make_group_consumer(config, "one")) as consumer:
        consumer.partitions_for_topic(config.battles_topic)
        consumer.subscribe([config.battles_topic])
        consumer.poll(timeout_ms=2_000)
    pauses = sorted(later - earlier for earlier, later in itertools.pairwise(asked))
    assert len(asked) > 3  # it goes on asking
    assert pauses[0] > 0.05


def test_committed_offsets_that_were_told_too_late_are_forgotten_in_a_rebalance() -> None:
    with EmbeddedBroker() as broker:
        config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers, group_id="g")
        create_topics(config, 1)
        partition = TopicPartition(config.battles_topic, 0)
        produce(config, [b"a record"] * 60)
        with closing(make_consumer(config, group_id="g")) as before:
            before.commit({partition: OffsetAndMetadata(5, "", -1)})
        with (
            closing(make_group_consumer(config, "one")) as consumer,
            closing(make_group_consumer(config, "two")) as other,
        ):
            for member in (consumer, other):
                member.partitions_for_topic(config.battles_topic)
                member.subscribe([config.battles_topic])
            wait_until(lambda: poll(consumer) or consumer.assignment(), what="the first member")
            broker.faults.delay("OffsetFetch", seconds=0.5, client_id="g-one", after_apply=True)
            with pytest.raises(KafkaTimeoutError):
                consumer.committed(partition, timeout_ms=100)
            consumer.commit({partition: OffsetAndMetadata(50, "", -1)})
            generation = consumer.group_metadata().generation_id

            def has_rebalanced() -> bool:
                poll_at_once(consumer, other)
                return bool(consumer.group_metadata().generation_id > generation)

            wait_until(has_rebalanced, what="the second member")
            time.sleep(0.5)  # the late answer is there
            assert consumer.committed(partition, timeout_ms=100_000) == 50
