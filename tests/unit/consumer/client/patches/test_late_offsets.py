"""What a coordinator said of committed offsets before a rebalance counts no more."""

from __future__ import annotations

from contextlib import closing

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaTimeoutError

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import make_consumer
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from tests.support.members import subscribed
from tests.support.streams import poll_at_once, settled, wait_until


def test_committed_offsets_that_were_told_too_late_are_forgotten_in_a_rebalance() -> None:
    with EmbeddedBroker() as broker:
        # Members hear of a rebalance with their next heartbeat, of which a session has fifteen.
        config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers, session_timeout_ms=6_000)
        create_topics(config, 1)
        partition = TopicPartition(config.battles_topic, 0)
        with closing(make_consumer(config, group_id=config.group_id)) as before:
            before.commit({partition: OffsetAndMetadata(0, "", -1)})
        with subscribed(config, "one") as consumer, subscribed(config, "two") as other:
            wait_until(lambda: settled(consumer), what="the first member")
            broker.faults.delay("OffsetFetch", seconds=0.3, client_id=consumer.config["client_id"], after_apply=True)
            with pytest.raises(KafkaTimeoutError):
                consumer.committed(partition, timeout_ms=50)
            (late,) = consumer._coordinator._offset_fetch_futures.values()
            consumer.commit({partition: OffsetAndMetadata(50, "", -1)})
            generation = consumer.group_metadata().generation_id

            def has_rebalanced() -> bool:
                poll_at_once(consumer, other)
                return bool(consumer.group_metadata().generation_id > generation)

            wait_until(has_rebalanced, what="the second member")
            wait_until(lambda: late.is_done, what="the late answer")
            assert consumer.committed(partition, timeout_ms=5_000) == 50
