"""A start with settings that the brokers do not take ends before judges are loaded, with the setting and its bound."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import NoReturn

import pytest
from kafka import KafkaConsumer

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import UsageError
from prefstream.consumer.stream.service import Service
from tests.conftest import Kafka
from tests.support.streams import wait_until

MakeConfig = Callable[..., StreamConfig]


def refusal(config: StreamConfig) -> str:
    def load() -> NoReturn:
        raise AssertionError("judges are loaded")

    with pytest.raises(UsageError) as refused:
        Service(config, load).run()
    return str(refused.value)


def test_time_outs_outside_the_brokers_bounds_are_told_together(stream_config: MakeConfig, kafka: Kafka) -> None:
    told = refusal(stream_config(http=False, session_timeout_ms=1_000, transaction_timeout_ms=10_000_000)).split("; ")
    assert "transaction_timeout_ms 10000000 is above transaction.max.timeout.ms 900000 of the brokers" in told
    if kafka.min_session_timeout_ms == 6_000:
        assert "session_timeout_ms 1000 is below group.min.session.timeout.ms 6000 of the brokers" in told


def test_a_group_that_shares_partitions_in_another_way_is_told(stream_config: MakeConfig) -> None:
    config = stream_config(http=False)
    member = KafkaConsumer(config.battles_topic, bootstrap_servers=config.bootstrap_servers, group_id=config.group_id)
    with closing(member):
        wait_until(lambda: member.poll(timeout_ms=500) or member.assignment(), what="the other member")
        told = refusal(config)
    assert f"the members of group {config.group_id} share partitions by range, ours by cooperative-sticky" in told
