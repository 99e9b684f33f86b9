"""A leader shares partitions out anew when there is a reason to, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import admin_client
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from tests.support.members import owned, subscribed
from tests.support.streams import commit_beginning, poll, settled, wait_until


@pytest.fixture
def config() -> Iterator[StreamConfig]:
    with EmbeddedBroker() as broker:
        config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers)
        create_topics(config, 1)
        commit_beginning(config)
        yield config


@pytest.fixture
def leader(config: StreamConfig) -> Iterator[Any]:
    """A member alone, which knew the topic before it subscribed to it."""
    with subscribed(config, "one") as leader:
        wait_until(lambda: settled(leader), what="the leader")
        yield leader


def hear(member: Any) -> None:
    """Ask the brokers about the topic, and wait until they have told."""
    told: list[Any] = []
    member._cluster.add_listener(told.append)
    member.ask_for_topics()
    wait_until(lambda: poll(member) or told, what="the brokers to tell of the topic")
    member._cluster.remove_listener(told.append)


def test_what_was_known_before_it_subscribed_is_no_change(leader: Any) -> None:
    hear(leader)
    assert settled(leader)
    assert leader.assigned_generation() == 1


def test_partitions_that_are_added_are_shared_out(config: StreamConfig, leader: Any) -> None:
    with admin_client(config) as admin:
        admin.create_partitions({config.battles_topic: 3})
    hear(leader)
    wait_until(lambda: owned(leader) == 3, what="the new partitions")
    assert leader.assigned_generation() == 2
