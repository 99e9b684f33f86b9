"""While a join is pending, partitions that stay ours are read; a join that ended between two polls counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import RebalanceInProgressError
from kafka.structs import MemberState

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from tests.support.members import subscribed
from tests.support.streams import battle_events, commit_beginning, poll, produce, settled, wait_until

SOON_S = 60.0
"""Far beyond what a mended member takes; without the patch it would be never."""


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def config(broker: EmbeddedBroker) -> StreamConfig:
    config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers, session_timeout_ms=3_000)
    create_topics(config, 1)
    commit_beginning(config)
    return config


@pytest.fixture
def consumer(config: StreamConfig) -> Iterator[Any]:
    """A consumer that has subscribed."""
    produce(config, battle_events(1))
    with subscribed(config, "one") as consumer:
        yield consumer


@pytest.fixture
def rejoining(broker: EmbeddedBroker, consumer: Any) -> Any:
    """A member with a partition and a join that is pending."""
    wait_until(lambda: poll(consumer), SOON_S, "the first record")
    broker.faults.delay("JoinGroup", seconds=100, times=1_000)
    broker.faults.fail("Heartbeat", error_code=RebalanceInProgressError.errno)
    wait_until(
        lambda: not poll(consumer) and consumer.group_metadata().state == MemberState.REBALANCING,
        SOON_S,
        "a join that is pending",
    )
    return consumer


def test_a_member_whose_join_is_pending_reads_on(config: StreamConfig, rejoining: Any) -> None:
    generation = rejoining.group_metadata().generation_id
    produce(config, battle_events(1, first=1))
    wait_until(lambda: poll(rejoining), SOON_S, "the second record")
    metadata = rejoining.group_metadata()
    assert (metadata.state, metadata.generation_id) == (MemberState.REBALANCING, generation)


def test_a_poll_while_a_join_is_pending_waits_for_records(rejoining: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not go round and round, which would take a core."""
    rounds = []
    poll_once = rejoining._poll_once

    def counted(*arguments: Any, **options: Any) -> Any:
        rounds.append(1)
        return poll_once(*arguments, **options)

    monkeypatch.setattr(rejoining, "_poll_once", counted)
    time.sleep(rejoining.config["heartbeat_interval_ms"] / 1000)  # when a heartbeat would be due
    rejoining.poll(timeout_ms=500)
    assert len(rounds) < 20


def test_a_join_that_ends_between_two_polls_is_not_begun_anew(consumer: Any) -> None:
    def joined() -> bool:
        consumer.poll(timeout_ms=0)
        time.sleep(0.05)  # a join takes milliseconds
        return bool(consumer.assignment())

    wait_until(joined, SOON_S, "the member to get in")


def test_a_join_whose_reason_went_while_it_was_pending_is_taken_up_all_the_same(consumer: Any) -> None:
    """A leader joins for what it hears of its topics, and knows it as soon as it shares them out."""
    wait_until(lambda: poll(consumer), SOON_S, "the first record")
    before = consumer.group_metadata().generation_id
    consumer._coordinator._assignment_snapshot = {}

    def joined() -> bool:
        consumer.poll(timeout_ms=0)
        time.sleep(0.05)
        return bool(consumer.assigned_generation() > before)

    wait_until(joined, SOON_S, "the next generation")


def test_a_join_that_failed_between_two_polls_is_told(broker: EmbeddedBroker, consumer: Any) -> None:
    """Not to be in the group by right is no reason to ask again for ever."""
    broker.faults.fail("JoinGroup", error_code=30, times=1_000)

    def refused() -> bool:
        time.sleep(0.05)
        try:
            consumer.poll(timeout_ms=0)
        except Exception as error:  # noqa: BLE001 - named below
            return type(error).__name__ == "GroupAuthorizationFailedError"
        return False

    wait_until(refused, SOON_S, "the refusal")


def test_a_member_whose_join_is_pending_is_told_what_was_committed(config: StreamConfig, rejoining: Any) -> None:
    """A broker answers what comes on one connection in turn, and a join may stay unanswered for long."""
    partition = TopicPartition(config.battles_topic, 0)
    # Less than a request may take, which would end the join as well.
    assert rejoining.committed(partition, timeout_ms=9_000) == 0
    assert rejoining.group_metadata().state == MemberState.REBALANCING


def test_a_member_that_is_to_join_commits_once_it_has(
    broker: EmbeddedBroker, config: StreamConfig, consumer: Any
) -> None:
    """A join that has ended is not seen before the next poll, and kafka-python commits nothing until then."""
    partition = TopicPartition(config.battles_topic, 0)
    wait_until(lambda: settled(consumer), SOON_S, "the member")
    coordinator = consumer._coordinator
    broker.faults.delay("JoinGroup", seconds=0.5)  # else it may be over before it is looked at
    coordinator.request_rejoin()
    coordinator.poll(timeout_ms=0)
    assert consumer.group_metadata().state == MemberState.REBALANCING
    consumer.commit({partition: OffsetAndMetadata(1, "", -1)})
    assert consumer.committed(partition) == 1
    assert consumer.group_metadata().state == MemberState.STABLE


def test_a_member_that_has_joined_a_generation_knows_its_partitions_in_it_only_once_it_is_told(
    broker: EmbeddedBroker, consumer: Any
) -> None:
    assert consumer.assigned_generation() == -1
    wait_until(lambda: poll(consumer), SOON_S, "the first record")
    before = consumer.group_metadata().generation_id
    assert consumer.assigned_generation() == before
    broker.faults.drop("SyncGroup", times=1_000)
    broker.faults.fail("Heartbeat", error_code=RebalanceInProgressError.errno)
    wait_until(lambda: poll(consumer) or consumer.group_metadata().generation_id > before, SOON_S, "the next one")
    assert consumer.assignment()
    assert consumer.assigned_generation() == -1


def test_a_member_that_was_thrown_out_while_it_joined_reads_nothing(
    broker: EmbeddedBroker, config: StreamConfig, rejoining: Any
) -> None:
    """Somebody else may have its partition."""
    broker.faults.clear()
    rejoining._coordinator.reset_generation()
    produce(config, battle_events(1, first=1))
    assert not rejoining._coordinator.poll(timeout_ms=0)
