"""A member hears only what is said of the generation that it is in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kafka.structs import MemberState

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from tests.support.members import subscribed
from tests.support.streams import commit_beginning, poll, settled, wait_until

LATE_S = 1.0
"""So much later comes the answer to a heartbeat: after that to JoinGroup, which takes milliseconds."""


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def member(broker: EmbeddedBroker) -> Iterator[Any]:
    config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers)
    create_topics(config, 1)
    commit_beginning(config)
    with subscribed(config, "one") as consumer:
        wait_until(lambda: settled(consumer), what="the member")
        yield consumer


def test_a_heartbeat_of_the_generation_before_ends_no_member(broker: EmbeddedBroker, member: Any) -> None:
    """Its answer comes while that to SyncGroup is awaited."""
    before = member.group_metadata().generation_id
    broker.faults.delay("Heartbeat", seconds=LATE_S)
    wait_until(lambda: poll(member) or broker.faults.pending() == 0, what="a heartbeat on its way")
    member._coordinator.request_rejoin()
    wait_until(lambda: poll(member) or settled(member), what="the next generation")
    metadata = member.group_metadata()
    assert (metadata.state, metadata.generation_id) == (MemberState.STABLE, before + 1)


def test_a_generation_that_is_forgotten_while_it_begins_is_joined_again(broker: EmbeddedBroker, member: Any) -> None:
    before = member.group_metadata().generation_id
    broker.faults.delay("SyncGroup", seconds=LATE_S)
    member._coordinator.request_rejoin()
    wait_until(lambda: poll(member) or broker.faults.pending() == 0, what="the next generation to begin")
    member._coordinator.reset_generation(member_id=member.group_metadata().member_id)
    wait_until(lambda: poll(member) or settled(member), what="the one after that")
    assert member.group_metadata().generation_id > before + 1
