"""A coordinator that is down is asked for now and then."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from prefstream.consumer.broker import EmbeddedBroker, apis
from prefstream.consumer.broker.node.call import Call
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from tests.support.members import subscribed

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
    with subscribed(config, "one") as consumer:
        consumer.poll(timeout_ms=2_000)
    pauses = sorted(later - earlier for earlier, later in itertools.pairwise(asked))
    assert len(asked) > 3  # it goes on asking
    assert pauses[0] > 0.05
