"""A static leader that was away shares out what its topic has by now."""

from __future__ import annotations

import pytest

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import admin_client
from prefstream.consumer.client.patches.returning_leaders import _is_id_of
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from tests.support.members import owned, subscribed
from tests.support.streams import commit_beginning, settled, wait_until


def test_partitions_that_were_added_while_it_was_away_are_its_own() -> None:
    with EmbeddedBroker() as broker:
        config = StreamConfig.load(
            bootstrap_servers=broker.bootstrap_servers, instance_id="one", session_timeout_ms=60_000
        )
        create_topics(config, 1)
        commit_beginning(config)
        with subscribed(config, "one") as leader:
            wait_until(lambda: settled(leader), what="the leader")
        with admin_client(config) as admin:
            admin.create_partitions({config.battles_topic: 3})
        with subscribed(config, "one") as back:
            wait_until(lambda: owned(back) == 3, what="the new partitions")


@pytest.mark.parametrize(
    ("member_id", "is_ours"),
    [
        ("one-29ef6327-5cd5-40ba-9889-efe649082d3f", True),
        ("one-more-29ef6327-5cd5-40ba-9889-efe649082d3f", False),
        ("two-29ef6327-5cd5-40ba-9889-efe649082d3f", False),
        ("one-", False),
        ("", False),
    ],
)
def test_a_former_life_is_told_from_other_members(member_id: str, *, is_ours: bool) -> None:
    assert _is_id_of(member_id, "one") is is_ours
