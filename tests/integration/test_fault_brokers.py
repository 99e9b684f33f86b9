"""Faults of a broker that need one of their own: a full disk, and a commit that outlives its time-out."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from prefstream.consumer.client import clients as kafka_client
from prefstream.consumer.config import StreamConfig
from prefstream.schemas import PrefstreamError
from tests.chaos.inside.clock import ENV_CLOCK
from tests.chaos.inside.trap import ENV_TRAP, Trap
from tests.conftest import NO_APACHE, Kafka
from tests.support.figures import record
from tests.support.kafka.cluster import KafkaCluster, kafka_home
from tests.support.priors import prior_panel, write_prior_panel
from tests.support.processes import START_S, Prefstream, run_arguments
from tests.support.streams import (
    Running,
    assert_exactly_once,
    battle_events,
    committed_offsets,
    end_offsets,
    fresh_config,
    produce,
    read_outcome,
    running,
    wait_until,
)

MakeConfig = Callable[..., StreamConfig]

POINTS = "from tests.chaos.inside.points import main; main()"
TRANSACTION_MS = 2_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """A broker of Apache Kafka that may be struck."""
    home = kafka_home()
    if home is None:
        pytest.skip(NO_APACHE)
    with KafkaCluster(home, tmp_path_factory.mktemp("struck")) as cluster:
        yield cluster


@pytest.fixture
def own_config(cluster: KafkaCluster) -> StreamConfig:
    """One partition on the broker that may be struck."""
    return fresh_config(cluster.bootstrap_servers, max_batch_battles=10, transaction_timeout_ms=TRANSACTION_MS)


def serve_on(config: StreamConfig, service: Running, count: int) -> list[str]:
    """Wait until so many are out, by successors where the service ended; what ended each."""
    ended: list[str] = []
    error = service.wait_ended_or_published(count, 120)
    while error is not None:
        assert isinstance(error, PrefstreamError), f"a supervisor would see a crash: {error!r}"
        ended.append(type(error).__name__)
        left = count - len(read_outcome(config).positions)
        with running(config) as successor:
            error = successor.wait_ended_or_published(left, 120)
    return ended


def freeze_at_first_commit(
    cluster: KafkaCluster, monkeypatch: pytest.MonkeyPatch, *, seconds: float
) -> threading.Event:
    """Freeze the broker for a while as the first commit is asked for; the event says that it is."""
    (broker,) = cluster.brokers.values()
    commit = KafkaProducer.commit_transaction
    frozen = threading.Event()

    def freeze_and_commit(producer: Any) -> None:
        if not frozen.is_set():
            frozen.set()
            broker.pause()
            threading.Timer(seconds, broker.resume).start()
        commit(producer)

    monkeypatch.setattr(KafkaProducer, "commit_transaction", freeze_and_commit)
    return frozen


@pytest.mark.long  # the broker ends, and starts again
def test_a_disk_that_is_full_is_waited_for(cluster: KafkaCluster, own_config: StreamConfig) -> None:
    """The broker takes no write and ends; once there is room again, everything is answered, once."""
    sent = produce(own_config, battle_events(200))
    with running(own_config, lambda: prior_panel(seconds_per_batch=0.1)) as service:
        service.wait_published(50)
        (broker,) = cluster.brokers.values()
        broker.fill_disk()
        wait_until(lambda: not broker.alive, what="the broker's end")
        time.sleep(2)
        seen = service.published
        assert seen < 200
        assert service.alive
        broker.start()
        cluster.wait_ready()
        started = time.monotonic()
        ended = serve_on(own_config, service, 200)
        record(
            "disk full at the only broker", time.monotonic() - started, f"nothing new; processes ended: {len(ended)}"
        )
    assert_exactly_once(own_config, sent)
    assert committed_offsets(own_config, 1) == end_offsets(own_config, 1)


def test_a_commit_that_outlives_its_time_out_at_a_frozen_broker_doubles_nothing(
    cluster: KafkaCluster, own_config: StreamConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker is frozen as the commit is asked for, and awakes to a transaction whose time is over."""
    frozen = freeze_at_first_commit(cluster, monkeypatch, seconds=2 * TRANSACTION_MS / 1000)
    sent = produce(own_config, battle_events(50))
    with running(own_config) as service:
        wait_until(frozen.is_set, what="the first commit")
        started = time.monotonic()
        ended = serve_on(own_config, service, 50)
        took_s = time.monotonic() - started - 2 * TRANSACTION_MS / 1000
        record("broker frozen over the transaction time-out", took_s, f"nothing new; processes ended: {len(ended)}")
    assert_exactly_once(own_config, sent)


def test_a_broker_that_is_frozen_for_longer_than_a_request_may_take_is_waited_for(
    cluster: KafkaCluster, own_config: StreamConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither commit nor abort is answered: once it is awake, the same process finds out which it was, and goes on."""
    monkeypatch.setattr(kafka_client, "REQUEST_TIMEOUT_MS", 1_000)
    frozen = freeze_at_first_commit(cluster, monkeypatch, seconds=6.0)
    sent = produce(own_config, battle_events(50))
    with running(own_config.model_copy(update={"transaction_timeout_ms": 60_000})) as service:
        wait_until(frozen.is_set, what="the first commit")
        assert serve_on(own_config, service, 50) == []
    assert_exactly_once(own_config, sent)


@pytest.mark.parametrize("point", ["before commit", pytest.param("after send_offsets", marks=pytest.mark.long)])
def test_a_process_frozen_over_the_time_out_of_its_transaction_doubles_nothing(
    stream_config: MakeConfig, tmp_path: Path, kafka: Kafka, point: str
) -> None:
    """The broker aborts the transaction; the process awakes, commits it, and is told that it is too late."""
    config = stream_config(partitions=1)
    sent = produce(config, battle_events(20))
    trap = Trap(tmp_path / "trap")
    arguments = run_arguments(
        config,
        write_prior_panel(tmp_path),
        instance_id="one",
        max_batch_battles=10,
        transaction_timeout_ms=TRANSACTION_MS,
        session_timeout_ms=10_000,
    )

    def start() -> Prefstream:
        environment = {ENV_TRAP: str(tmp_path / "trap"), ENV_CLOCK: str(tmp_path / "clock")}
        return Prefstream(*arguments, log=tmp_path / "log", program=POINTS, environment=environment)

    trap.set(point, "SIGSTOP")
    run = start()
    try:
        wait_until(lambda: not trap.is_set, START_S, "the process to freeze")
        time.sleep(2 * TRANSACTION_MS / 1000)
        run.signal(signal.SIGCONT)
        started = time.monotonic()
        ended = 0
        while len(read_outcome(config).positions) < 20:
            assert time.monotonic() - started < 150, run.log
            if run.ended:
                assert run.wait() in {1, 70}, run.log
                run.kill()
                ended += 1
                run = start()
            time.sleep(0.1)
        record(
            f"process frozen {point}, over the transaction time-out, {kafka.name}",
            time.monotonic() - started,
            f"nothing new; processes ended: {ended}",
        )
    finally:
        run.kill()
    assert_exactly_once(config, sent)
