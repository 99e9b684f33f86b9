"""Partitions that move between processes while their battles are scored: dropped here, scored there, seen once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import closing

import pytest
from kafka.errors import RebalanceInProgressError
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import admin_client
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import FencedError
from prefstream.consumer.stream import telemetry
from prefstream.scoring.panel.panel import Panel
from tests.support.priors import HeldJudge, prior_panel
from tests.support.streams import (
    Running,
    assert_exactly_once,
    battle_events,
    committed_offsets,
    end_offsets,
    produce,
    running,
    visible_count,
    wait_until,
)
from tests.support.wire import Member, Wire

MakeConfig = Callable[..., StreamConfig]


def named(config: StreamConfig, name: str) -> StreamConfig:
    """A process that the operator gave a name: a static member."""
    return config.model_copy(update={"instance_id": name})


def leaving(config: StreamConfig, name: str) -> StreamConfig:
    """The same, which gives its partitions up when it stops."""
    return named(config, name).model_copy(update={"leave_on_stop": True})


def stale_records(service: Running) -> float:
    return service.service.metrics.registry.get_sample_value("prefstream_stale_records_dropped_total") or 0.0


def owned_partitions(service: Running) -> int:
    """Partitions whose lag the service reports: those that it owns."""
    (metric,) = [m for m in service.service.metrics.registry.collect() if m.name == "prefstream_consumer_lag_records"]
    return len(metric.samples)


def consumed(service: Running) -> float:
    return service.service.metrics.registry.get_sample_value("prefstream_battles_consumed_total") or 0.0


def test_a_second_process_takes_partitions_over_in_the_middle_of_a_batch(
    stream_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results for partitions that moved meanwhile are dropped, and their new owner's are the only ones."""
    monkeypatch.setattr(telemetry, "REPORT_EVERY_S", 0.1)
    config = stream_config(max_batch_battles=8, linger_ms=1_000, session_timeout_ms=6_000)
    sent = [at for partition in range(4) for at in produce(config, battle_events(2), partition=partition)]
    judge = HeldJudge()
    with running(leaving(config, "one"), lambda: Panel([judge])) as first:
        wait_until(lambda: consumed(first) == 8, what="one batch of all partitions")
        eager = leaving(config, "two").model_copy(update={"linger_ms": 1})
        with running(eager, prior_panel) as second:
            wait_until(lambda: second.published == 4, what="the second's share")
            judge.let()
            wait_until(lambda: first.published + second.published >= 8, what="every battle")
            assert (first.published, stale_records(first), second.published) == (4, 4, 4)
            sent += produce(config, battle_events(8, first=8))
            wait_until(lambda: first.published + second.published >= 16, what="every battle")
            assert owned_partitions(first) == 2 == owned_partitions(second)
    assert_exactly_once(config, sent)
    assert committed_offsets(config) == end_offsets(config)


def test_partitions_without_a_committed_offset_come_to_a_process_that_has_not_committed_its_own_yet(
    stream_config: MakeConfig,
) -> None:
    """They start at their beginning; the positions of those that were there before stay where they are."""
    config = stream_config(partitions=2, max_batch_battles=4, max_in_flight=2, linger_ms=1, session_timeout_ms=6_000)
    sent = produce(config, battle_events(20))
    with running(leaving(config, "one"), lambda: prior_panel(1.0)) as first:
        impatient = leaving(config, "two").model_copy(update={"drain_seconds": 0.0})
        with running(impatient, lambda: prior_panel(3.0)) as second:
            wait_until(lambda: consumed(first) and consumed(second), what="both to read")
        first.wait_published(20)
    assert_exactly_once(config, sent)


def test_processes_that_come_and_go_lose_and_double_nothing(stream_config: MakeConfig, seeded: random.Random) -> None:
    """Every rebalance in the middle of work: some drain, some have to give up."""
    config = stream_config(max_batch_battles=5, linger_ms=1, session_timeout_ms=6_000)
    sent = produce(config, battle_events(300))
    with running(leaving(config, "steady"), lambda: prior_panel(0.05)):
        for number in range(4):
            guest = leaving(config, f"guest-{number}").model_copy(
                update={"drain_seconds": seeded.choice([0.0, 0.1, 5.0])}
            )
            with running(guest, lambda: prior_panel(seeded.choice([0.0, 0.05, 0.4]))):
                time.sleep(seeded.uniform(0.2, 0.8))
        wait_until(lambda: visible_count(config) >= 300, what="every battle")
    assert_exactly_once(config, sent)


def test_a_static_member_that_restarts_keeps_its_partitions(
    stream_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the session time-out nobody else gets them, so nothing moves."""
    monkeypatch.setattr(telemetry, "REPORT_EVERY_S", 0.1)
    config = stream_config(session_timeout_ms=6_000)
    sent = produce(config, battle_events(20))
    with running(named(config, "one")) as first:
        first.wait_published(20)
        with running(named(config, "two")) as second:
            wait_until(lambda: owned_partitions(second) == 2, what="the second's share")
            sent += produce(config, battle_events(20, first=20))
            wait_until(lambda: first.published + second.published >= 40)
        sent += produce(config, battle_events(40, first=40))
        time.sleep(1.0)  # longer than a rebalance takes
        before = first.published
        with running(named(config, "two")) as second:
            second.wait_published(1)
            wait_until(lambda: visible_count(config) >= 80)
            assert first.published == before
    assert_exactly_once(config, sent)


def test_a_static_leader_that_was_away_sees_partitions_that_were_added_meanwhile(
    stream_config: MakeConfig,
) -> None:
    """It alone watches for them, and it keeps its place in the group, so that nothing else makes members share anew."""
    config = named(stream_config(partitions=2, session_timeout_ms=60_000), "one")
    sent = produce(config, battle_events(10))
    with running(config) as leader:
        leader.wait_published(10)
    with admin_client(config) as admin:
        admin.create_partitions({config.battles_topic: 3})
    sent += produce(config, battle_events(1, first=10))
    with running(config) as leader:
        leader.wait_published(1)  # it is back, and has what it had
        sent += produce(config, battle_events(10, first=11), partition=2)
        wait_until(lambda: visible_count(config) >= 21, what="answers from the new partition")
    assert_exactly_once(config, sent)


def test_a_static_member_that_stops_for_good_gives_its_partitions_up(
    stream_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session would be over in five minutes."""
    monkeypatch.setattr(telemetry, "REPORT_EVERY_S", 0.1)
    config = stream_config(session_timeout_ms=300_000)
    sent = produce(config, battle_events(20))
    with running(leaving(config, "one")) as first:
        first.wait_published(20)
        with running(leaving(config, "two")) as second:
            wait_until(lambda: owned_partitions(second) == 2, what="the second's share")
        wait_until(lambda: owned_partitions(first) == 4, what="what the second had")
        sent += produce(config, battle_events(20, first=20))
        first.wait_published(40)
    assert_exactly_once(config, sent)


def test_a_static_member_whose_name_is_taken_ends_at_once_and_says_who_has_it(stream_config: MakeConfig) -> None:
    """Without another battle to answer, by which it would find out."""
    config = stream_config()
    produce(config, battle_events(1))
    with running(named(config, "one")) as first:
        first.wait_published(1)
        with running(named(config, "one")):
            error = first.wait_ended()
    assert isinstance(error, FencedError)
    assert "one is in the group at 127.0.0.1, too" in str(error)


@pytest.mark.parametrize("code", [22, 25], ids=["illegal generation", "unknown member"])
def test_a_process_that_fell_out_of_the_group_drops_what_it_holds_and_joins_again(code: int) -> None:
    """The coordinator forgot us while a batch was being scored: it may have given our partitions away."""
    with EmbeddedBroker() as broker:
        config = StreamConfig.load(
            bootstrap_servers=broker.bootstrap_servers,
            instance_id="one",
            http=False,
            max_batch_battles=5,
            linger_ms=1,
            session_timeout_ms=1_500,
        )
        create_topics(config, 2)
        sent = produce(config, battle_events(30))
        with running(config, lambda: prior_panel(0.4)) as service:
            service.wait_published(5)
            broker.faults.fail("Heartbeat", error_code=code, client_id="prefstream-one")
            service.wait_published(30)
            assert not broker.faults.pending()
        assert_exactly_once(config, sent)


def test_a_process_thrown_out_while_it_rejoins_publishes_nothing_of_what_others_did_meanwhile() -> None:
    """kafka-python does not tell its listener: the partition comes back with the position of long ago."""
    with EmbeddedBroker() as broker:

        def config(name: str) -> StreamConfig:
            return StreamConfig.load(
                bootstrap_servers=broker.bootstrap_servers,
                instance_id=name,
                http=False,
                max_batch_battles=4,
                max_in_flight=2,
                linger_ms=1,
                session_timeout_ms=1_000,
            )

        create_topics(config("one"), 1)
        sent = produce(config("one"), battle_events(12))
        judge = HeldJudge()
        with running(config("one"), lambda: Panel([judge])) as first:
            wait_until(lambda: consumed(first) == 8)
            broker.faults.drop("JoinGroup", client_id="prefstream-one", times=100_000)
            broker.faults.fail("Heartbeat", error_code=27, client_id="prefstream-one")
            with running(config("two")) as second:
                second.wait_published(12)
                judge.let()  # while the first is still nobody's member
                time.sleep(0.5)
            broker.faults.clear()
            sent += produce(config("one"), battle_events(4, first=12))
            first.wait_published(4)
        assert_exactly_once(config("one"), sent)


def assignment(topic: str, *partitions: int) -> bytes:
    topics = [(topic, list(partitions))] if partitions else []
    return bytes(ConsumerProtocolAssignment(1, topics, b"").encode())


def test_while_a_rebalance_waits_for_one_that_is_silent_the_others_go_on(stream_config: MakeConfig) -> None:
    """As it does for one that was killed: until its session is over nobody's join ends."""
    config = stream_config(session_timeout_ms=6_000)
    sent = produce(config, battle_events(4))
    with (
        running(named(config, "one")) as service,
        closing(Wire(config.bootstrap_servers)) as wire,
        admin_client(config) as admin,
    ):
        service.wait_published(4)
        silent = Member(
            wire,
            config.group_id,
            300_000,
            protocols=("cooperative-sticky",),
            metadata=subscription(config),
            rebalance_timeout_ms=300_000,
        )
        silent.find()
        assert silent.join() == silent.sync()[0] == 0  # from here on half of the partitions wait for it
        wait_until(lambda: silent.heartbeat() == RebalanceInProgressError.errno, what="the service to join again")
        for partition in range(4):
            sent += produce(config, battle_events(5, first=4 + 5 * partition), partition=partition)
        service.wait_published(14)
        assert admin.describe_groups([config.group_id])[config.group_id]["group_state"] == "PreparingRebalance"
        assert service.service.health.ready
        assert silent.leave() == 0
        service.wait_published(24)
    assert_exactly_once(config, sent)


def subscription(config: StreamConfig) -> bytes:
    """Of a member that has no partitions yet."""
    topics = [config.battles_topic]
    return bytes(ConsumerProtocolSubscription(version=1, topics=topics, user_data=b"", owned_partitions=[]).encode())


def test_nothing_is_committed_between_joining_a_generation_and_hearing_what_is_ours_in_it(
    stream_config: MakeConfig,
) -> None:
    """The broker would take it, though the leader may give the partition to another member just then."""
    config = stream_config(partitions=1, max_batch_battles=5, linger_ms=1, session_timeout_ms=6_000)
    sent = produce(config, battle_events(5))
    judge = HeldJudge()
    with closing(Wire(config.bootstrap_servers)) as wire:
        leader = Member(wire, config.group_id, 30_000, protocols=("cooperative-sticky",), metadata=subscription(config))
        leader.find()
        assert leader.join() == leader.sync()[0] == 0

        with running(config, lambda: Panel([judge])) as service:

            def share_out(*, to_leader: bool) -> None:
                ids = [member.member_id for member in leader.joined.members]
                assert leader.leads
                assert len(ids) == 2
                owned = {member_id: [0] if (member_id == leader.member_id) is to_leader else [] for member_id in ids}
                given = {id_: assignment(config.battles_topic, *partitions) for id_, partitions in owned.items()}
                assert leader.sync(given)[0] == 0

            assert leader.rejoin() == 0
            share_out(to_leader=False)
            wait_until(lambda: consumed(service) == 5, what="the batch")
            assert leader.join() == 0  # the next generation begins, and waits for what the leader says
            time.sleep(0.5)  # the service's client hears of it
            judge.let()
            time.sleep(0.5)  # the batch is scored, and would go out if it could
            share_out(to_leader=True)
            wait_until(lambda: stale_records(service) or service.published, what="what becomes of the batch")
            assert (stale_records(service), service.published) == (5, 0)
            assert leader.leave() == 0
            service.wait_published(5)
    assert_exactly_once(config, sent)
