"""Exactly once under random faults, by the word of a reader who shares no code with prefstream.

The short runs strike processes and the topic. The long ones strike brokers, too: `pytest -m long tests/chaos`, or with
figures and any length `python -m tests.chaos --help`.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer

from consumer.broker import EmbeddedBroker
from tests.chaos.driver import Report, plan, run_chaos
from tests.chaos.faults import FAULTS
from tests.chaos.verifier import Verdict, read
from tests.chaos.world import World
from tests.conftest import NO_APACHE, Kafka
from tests.kafka.cluster import KafkaCluster, kafka_home

SHORT_CYCLES = 2


def seed_of(generator: random.Random) -> int:
    return generator.randrange(2**32)


def assert_nothing_lost(report: Report) -> None:
    assert report.verdict.is_clean, f"{report.verdict} (seed {report.seed}, {report.cycles})"
    assert report.leaks == []


def test_a_plan_is_a_function_of_seed_and_number() -> None:
    """So that a run can go on where another one ended."""
    whole = plan(7, 20, brokers=3)
    assert plan(7, 5, brokers=3, first=15) == whole[15:]
    assert plan(8, 20, brokers=3) != whole


def test_without_brokers_of_its_own_a_plan_strikes_none() -> None:
    assert all(fault.brokers == 0 for fault in plan(7, 200, brokers=0))
    assert {fault.brokers for fault in plan(7, 200, brokers=3)} == {0, 3}


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_faults_lose_and_double_nothing(kafka: Kafka, tmp_path: Path, seeded: random.Random) -> None:
    seed = seed_of(seeded)
    with World(kafka.bootstrap_servers, tmp_path, processes=2, partitions=4, cluster=None) as world:
        report = run_chaos(world, plan(seed, SHORT_CYCLES, brokers=0), seed=seed, battles=300)
    assert_nothing_lost(report)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of which every record is answered; its processes are stopped."""
    with (
        EmbeddedBroker() as broker,
        World(
            broker.bootstrap_servers, tmp_path_factory.mktemp("clean"), processes=1, partitions=1, cluster=None
        ) as world,
    ):
        world.produce(30, random.Random(0))
        world.wait_answered()
        assert world.verify().is_clean
        yield world


def write(world: World, topic: str, record: Message | None = None, **changes: Any) -> None:
    """Write a record of an output topic once more, as it was but for the changes."""
    producer = Producer({"bootstrap.servers": world.config.bootstrap_servers})
    fields = {"value": record.value(), "key": record.key(), "headers": record.headers()} if record else {}
    producer.produce(topic, **(fields | changes))
    assert producer.flush(10) == 0


@pytest.mark.parametrize(
    ("seen", "change"),
    [
        ("duplicated", lambda preference: preference),
        ("unaccounted", lambda preference: preference | {"source": preference["source"] | {"offset": 999}}),
        ("out_of_contract", lambda preference: preference | {"probabilities": {"model_a": 1, "model_b": 1, "tie": 0}}),
        ("out_of_contract", lambda preference: preference | {"source": preference["source"] | {"topic": "other"}}),
        ("out_of_contract", lambda _: {}),
    ],
)
def test_the_verifier_sees_a_wrong_preference(clean: World, seen: str, change: Callable[[Any], Any]) -> None:
    """One that finds everything clean proves nothing."""
    config = clean.config
    record = read(config.bootstrap_servers, config.preferences_topic)[0]
    before = len(getattr(clean.verify(), seen))
    write(clean, config.preferences_topic, record, value=json.dumps(change(json.loads(record.value() or b""))))
    assert len(getattr(clean.verify(), seen)) > before


def test_the_verifier_sees_a_dead_letter_that_was_changed(clean: World) -> None:
    config = clean.config
    record = read(config.bootstrap_servers, config.dead_letters_topic)[0]
    write(clean, config.dead_letters_topic, record, value=b"changed")
    assert any("not the record as it came" in fault for fault in clean.verify().out_of_contract)


def test_the_verifier_sees_an_input_without_an_answer(clean: World) -> None:
    before = clean.verify().lost
    write(clean, clean.config.battles_topic, value=b"{}", key=b"k")
    assert len(clean.verify().lost) == len(before) + 1


def test_nothing_read_is_nothing_proven() -> None:
    assert not Verdict().is_clean


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("brokers", [0, 3])
def test_two_hundred_faults(brokers: int, tmp_path: Path, seeded: random.Random) -> None:
    """With three brokers of Apache Kafka these are struck, too; 0 is the embedded one."""
    seed = seed_of(seeded)
    cycles = int(os.environ.get("PREFSTREAM_TEST_CYCLES", "200"))
    with ExitStack() as stack:
        cluster = None
        if brokers:
            home = kafka_home() or pytest.skip(NO_APACHE)
            cluster = stack.enter_context(KafkaCluster(home, tmp_path / "kafka", brokers=brokers))
        servers = cluster.bootstrap_servers if cluster else stack.enter_context(EmbeddedBroker()).bootstrap_servers
        world = stack.enter_context(World(servers, tmp_path, processes=3, partitions=6, cluster=cluster))
        report = run_chaos(world, plan(seed, cycles, brokers=brokers), seed=seed, battles=250 * cycles)
    assert_nothing_lost(report)
