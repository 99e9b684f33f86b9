"""Fixtures for every test: a broker to talk to, and topics of one's own on it."""

from __future__ import annotations

import functools
import gc
import os
import random
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import hypothesis
import pytest
from kafka import KafkaAdminClient

from consumer.broker import EmbeddedBroker
from consumer.config import StreamConfig

# Before torch is imported: tiny models lose more to threads that wait for each other than they gain (5x, measured).
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Commands that tests run inside this process must not start it again.
os.environ.setdefault("PREFSTREAM_NO_REEXEC", "1")

# How long an example takes on a busy machine says nothing about the code; each test has its time-out.
hypothesis.settings.register_profile("prefstream", deadline=None)
hypothesis.settings.load_profile("prefstream")

ENV_BOOTSTRAP = "PREFSTREAM_TEST_BOOTSTRAP"
KAFKA_IMAGE = "apache/kafka:4.3.1"


@dataclass(frozen=True)
class Kafka:
    """A broker that tests share; `embedded` is None on a real cluster."""

    bootstrap_servers: str
    kind: str
    embedded: EmbeddedBroker | None = None


@functools.cache
def _docker_answers() -> bool:
    import docker

    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        try:
            with closing(docker.from_env(timeout=5)) as client:
                answers = bool(client.ping())
        except docker.errors.DockerException:
            answers = False
        gc.collect()  # docker leaves its socket open where nothing answers
    return answers


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """The broker: PREFSTREAM_TEST_BOOTSTRAP, else Apache Kafka in a container, else the embedded one."""
    if servers := os.environ.get(ENV_BOOTSTRAP):
        yield Kafka(servers, f"cluster at {servers}")
    elif _docker_answers():
        from testcontainers.kafka import KafkaContainer

        with KafkaContainer(KAFKA_IMAGE).with_kraft() as container:
            yield Kafka(container.get_bootstrap_server(), f"container {KAFKA_IMAGE}")
    else:
        with EmbeddedBroker() as broker:
            yield Kafka(broker.bootstrap_servers, "embedded broker", broker)


@pytest.fixture(autouse=True)
def _skip_what_needs_the_embedded_broker(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("embedded_only") and os.environ.get(ENV_BOOTSTRAP):
        pytest.skip("injects faults, which only the embedded broker takes")


@pytest.fixture
def stream_config(kafka: Kafka) -> Callable[..., StreamConfig]:
    """Makes a configuration with fresh topics (4 partitions each) and a fresh group; keyword arguments override."""

    def make(*, partitions: int = 4, **settings: Any) -> StreamConfig:
        name = f"t{uuid.uuid4().hex[:10]}"
        config = StreamConfig.load(
            **{
                "bootstrap_servers": kafka.bootstrap_servers,
                "group_id": name,
                "battles_topic": f"{name}.battles",
                "preferences_topic": f"{name}.preferences",
                "dead_letters_topic": f"{name}.dead-letters",
                "http": False,
                "drain_seconds": 10.0,
                **settings,
            }
        )
        create_topics(config, partitions)
        return config

    return make


def create_topics(config: StreamConfig, partitions: int) -> None:
    """Create the stream's three topics."""
    admin = KafkaAdminClient(bootstrap_servers=config.bootstrap_servers)
    try:
        admin.create_topics(
            {
                topic: {"num_partitions": partitions, "replication_factor": 1}
                for topic in (config.battles_topic, config.preferences_topic, config.dead_letters_topic)
            }
        )
    finally:
        admin.close()


@pytest.fixture
def seeded() -> random.Random:
    """A random generator whose seed is printed, and can be set with PREFSTREAM_TEST_SEED."""
    seed = int(os.environ.get("PREFSTREAM_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"PREFSTREAM_TEST_SEED={seed}")  # noqa: T201 - shown by pytest when the test fails
    return random.Random(seed)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which broker the Kafka tests talked to."""
    servers = os.environ.get(ENV_BOOTSTRAP)
    kind = f"cluster at {servers}" if servers else f"{KAFKA_IMAGE} in a container" if _docker_answers() else "embedded"
    terminalreporter.write_line(f"Kafka tests ran against: {kind}")
