"""Members of a group, without a stream around them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from kafka.errors import NoOffsetForPartitionError

from prefstream.consumer.client.clients import make_group_consumer
from prefstream.consumer.config import StreamConfig
from tests.support.streams import poll


@contextmanager
def subscribed(config: StreamConfig, instance: str) -> Iterator[Any]:
    """A member that knew the topic before it subscribed to it; without, it may join and be left without partitions."""
    with closing(make_group_consumer(config, instance)) as member:
        member.partitions_for_topic(config.battles_topic)
        member.subscribe([config.battles_topic])
        yield member


def owned(member: Any) -> int:
    """Poll a member; how many partitions it has, also where it does not know yet from where to read."""
    with suppress(NoOffsetForPartitionError):
        poll(member)
    return len(member.assignment())
