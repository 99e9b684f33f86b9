"""A static member hears that another one has taken its name."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from kafka.errors import FencedInstanceIdError

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import make_group_consumer
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
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

        with closing(make_group_consumer(config, "one")) as first, closing(make_group_consumer(config, "one")) as twin:
            for member in (first, twin):
                member.partitions_for_topic(config.battles_topic)
                member.subscribe([config.battles_topic])
            wait_until(lambda: settled(first), what="the first")
            wait_until(lambda: settled(twin), what="its twin")
            wait_until(lambda: fenced(first), 60.0, "the first to be told")
