"""Each fault by its name, alone: nothing lost, nothing doubled, and how long it took to recover from.

The three that hold the most are part of plain pytest; the others are for `pytest -m long tests/chaos`. Each reports
its figures (`tests/support/figures.py`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from prefstream.consumer.broker import BrokerSettings, EmbeddedBroker
from tests.chaos.driver import run_chaos
from tests.chaos.faults import on_group
from tests.chaos.faults.catalogue import FAULTS, SIGTERM_DURING_EACH
from tests.chaos.faults.fault import APACHE_SETTINGS, EMBEDDED_SETTINGS, Fault
from tests.chaos.faults.on_brokers import kill_all_brokers
from tests.chaos.world.world import World
from tests.conftest import NO_APACHE, Kafka
from tests.support import figures
from tests.support.kafka.cluster import KafkaCluster, kafka_home

PLAIN: Final = {"SIGKILL before commit", "SIGKILL after commit", "SIGSTOP before commit"}
"""On either side of the commit, and the zombie: what exactly-once stands or falls by."""

BATTLES: Final = 120
"""Several batches for each process, before the fault and after it."""

EMBEDDED: Final = "the embedded broker"

JUDGES: Final = [fault for fault in FAULTS if fault.name.startswith("a judge")]

ALL_GONE: Final = Fault("all brokers gone for a minute", kill_all_brokers(60.0, 60.0), brokers=1)


def cases(faults: Iterable[Fault]) -> list[Any]:
    return [
        pytest.param(fault, id=fault.name, marks=() if fault.name in PLAIN else pytest.mark.long) for fault in faults
    ]


def without_brokers(faults: Iterable[Fault]) -> list[Any]:
    return cases(fault for fault in faults if not (fault.brokers or fault.embedded or fault.short_retention))


def of_answers(faults: Iterable[Fault]) -> list[Any]:
    return cases(fault for fault in faults if fault.embedded)


def of_retention(faults: Iterable[Fault]) -> list[Any]:
    return cases(fault for fault in faults if fault.short_retention)


EXPIRED: Final = Fault("offsets expired", on_group.expire_offsets)


def of_brokers(faults: Iterable[Fault]) -> list[Any]:
    return cases(fault for fault in faults if fault.brokers)


@pytest.fixture
def survive(tmp_path: Path, seeded: random.Random) -> Callable[..., None]:
    """Strikes once with a fault, and asserts that every record has one answer."""

    def strike(fault: Fault, broker: str, bootstrap_servers: str, **world_settings: Any) -> None:
        settings = {"processes": 2, "partitions": 4, **world_settings}
        seed = seeded.randrange(2**32)
        with World(bootstrap_servers, tmp_path, **settings) as world:
            report = run_chaos(world, [fault], seed=seed, battles=BATTLES)
        (cycle,) = report.cycles
        exits = ", ".join(f"{code} ({count})" for code, count in sorted(report.exits.items()))
        figures.record(
            f"{fault.name}, on {broker}",
            cycle.recovery_s,
            f"nothing new for {cycle.silence_s:.1f} s at most; processes ended with {exits}",
        )
        assert report.is_clean, f"{report.verdict}; {report.sight} {report.leaks} (seed {seed}, {cycle})"

    return strike


@pytest.fixture(scope="module")
def three_brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    with cluster(tmp_path_factory, 3) as brokers:
        yield brokers


@pytest.fixture(scope="module")
def one_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    with cluster(tmp_path_factory, 1) as brokers:
        yield brokers


def cluster(
    folders: pytest.TempPathFactory, brokers: int, settings: Mapping[str, object] = APACHE_SETTINGS
) -> KafkaCluster:
    home = kafka_home() or pytest.skip(NO_APACHE)
    return KafkaCluster(home, folders.mktemp("cluster"), brokers=brokers, settings=settings)


@pytest.mark.parametrize("fault", without_brokers(FAULTS))
def test_a_fault_loses_and_doubles_nothing(fault: Fault, kafka: Kafka, survive: Callable[..., None]) -> None:
    survive(fault, kafka.name, kafka.bootstrap_servers)


@pytest.mark.parametrize("fault", of_answers(FAULTS))
def test_an_answer_of_a_broker_loses_and_doubles_nothing(fault: Fault, survive: Callable[..., None]) -> None:
    with EmbeddedBroker() as broker:
        survive(fault, EMBEDDED, broker.bootstrap_servers, embedded=broker)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", of_brokers(FAULTS))
def test_a_fault_of_brokers_loses_and_doubles_nothing(
    fault: Fault, three_brokers: KafkaCluster, survive: Callable[..., None]
) -> None:
    survive(fault, "three brokers", three_brokers.bootstrap_servers, cluster=three_brokers)


@pytest.mark.long
@pytest.mark.parametrize("fault", of_retention(FAULTS))
def test_retention_loses_and_doubles_nothing(
    fault: Fault, one_broker: KafkaCluster, survive: Callable[..., None]
) -> None:
    survive(fault, "one broker", one_broker.bootstrap_servers, cluster=one_broker)


@pytest.mark.long
@pytest.mark.parametrize("fault", of_retention(FAULTS))
def test_retention_of_the_embedded_broker_loses_and_doubles_nothing(fault: Fault, survive: Callable[..., None]) -> None:
    with EmbeddedBroker(EMBEDDED_SETTINGS) as broker:
        survive(fault, EMBEDDED, broker.bootstrap_servers, embedded=broker)


@pytest.mark.long
def test_expired_offsets_lose_and_double_nothing_on_the_embedded_broker(survive: Callable[..., None]) -> None:
    settings = BrokerSettings(offsets_retention_ms=1_000, offsets_retention_check_interval_ms=500)
    with EmbeddedBroker(settings) as broker:
        survive(EXPIRED, EMBEDDED, broker.bootstrap_servers)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_expired_offsets_lose_and_double_nothing_on_apache_kafka(
    tmp_path_factory: pytest.TempPathFactory, survive: Callable[..., None]
) -> None:
    settings = {"offsets.retention.minutes": 1, "offsets.retention.check.interval.ms": 1_000}
    with cluster(tmp_path_factory, 1, settings) as broker:
        survive(EXPIRED, "one broker", broker.bootstrap_servers)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_minute_without_any_broker_loses_and_doubles_nothing(
    one_broker: KafkaCluster, survive: Callable[..., None]
) -> None:
    survive(ALL_GONE, "one broker", one_broker.bootstrap_servers, cluster=one_broker)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", cases(JUDGES))
def test_a_fault_of_a_judge_with_weights_loses_and_doubles_nothing(
    fault: Fault, embedded_kafka: Kafka, survive: Callable[..., None]
) -> None:
    survive(fault, EMBEDDED, embedded_kafka.bootstrap_servers, processes=1, models=True)


@pytest.mark.parametrize("fault", without_brokers(SIGTERM_DURING_EACH))
def test_sigterm_during_a_fault_loses_and_doubles_nothing(
    fault: Fault, embedded_kafka: Kafka, survive: Callable[..., None]
) -> None:
    survive(fault, EMBEDDED, embedded_kafka.bootstrap_servers)


@pytest.mark.parametrize("fault", of_answers(SIGTERM_DURING_EACH))
def test_sigterm_during_an_answer_loses_and_doubles_nothing(fault: Fault, survive: Callable[..., None]) -> None:
    with EmbeddedBroker() as broker:
        survive(fault, EMBEDDED, broker.bootstrap_servers, embedded=broker)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", of_brokers(SIGTERM_DURING_EACH))
def test_sigterm_during_a_fault_of_brokers_loses_and_doubles_nothing(
    fault: Fault, three_brokers: KafkaCluster, survive: Callable[..., None]
) -> None:
    survive(fault, "three brokers", three_brokers.bootstrap_servers, cluster=three_brokers)
