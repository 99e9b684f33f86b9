"""A static member hears that another one has taken its name."""

from __future__ import annotations

from typing import Any

from kafka.errors import FencedInstanceIdError

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from tests.support.members import subscribed
from tests.support.streams import commit_beginning, poll, settled, wait_until


def test_a_static_member_whose_name_was_taken_over_is_told_at_a_poll() -> None:
    with EmbeddedBroker() as broker:
        config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers, instance_id="one")
        create_topics(config, 1)
        commit_beginning(config)

        def fenced(member: Any) -> bool:
            try:
                poll(member)
            except FencedInstanceIdError:
                return True
            return False

        with subscribed(config, "one") as first, subscribed(config, "one") as twin:
            wait_until(lambda: settled(first), what="the first")
            wait_until(lambda: settled(twin), what="its twin")
            wait_until(lambda: fenced(first), 60.0, "the first to be told")
