"""Fixtures for every test: a broker to talk to, and topics of one's own on it."""

from __future__ import annotations

import functools
import gc
import os
import random
import signal
import socket
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import hypothesis
import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from consumer.broker import EmbeddedBroker
from consumer.config import StreamConfig
from consumer.kafka_client import create_topics

# Before torch is imported: tiny models lose more to threads that wait for each other than they gain (5x, measured).
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Commands that tests run inside this process must not start it again.
os.environ.setdefault("PREFSTREAM_NO_REEXEC", "1")

# A shell's background jobs ignore Ctrl-C, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes on a busy machine says nothing about the code; each test has its time-out.
hypothesis.settings.register_profile(
    "prefstream", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("prefstream")

ENV_BOOTSTRAP = "PREFSTREAM_TEST_BOOTSTRAP"
KAFKA_IMAGE = "apache/kafka:4.3.1"
EMBEDDED = "the embedded broker"
_KIND = pytest.StashKey[str]()


@dataclass(frozen=True)
class Kafka:
    """A broker that tests share."""

    bootstrap_servers: str
    kind: str


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


def _start_container(stack: ExitStack) -> str | None:
    """Apache Kafka in a container: its address, or None where the image can't be had."""
    import docker
    from testcontainers.core.container import DockerContainer

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]  # clients are told this address, so it must be known before the start
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port).with_envs(**settings)
    try:
        stack.enter_context(container)
    except docker.errors.DockerException:
        return None
    address = f"127.0.0.1:{port}"
    _wait_until_ready(address)
    return address


def _wait_until_ready(address: str) -> None:
    """An open port is not readiness: wait until a client gets an answer."""
    deadline = time.monotonic() + 90
    while True:
        try:
            KafkaAdminClient(bootstrap_servers=address, bootstrap_timeout_ms=5_000).close()
        except KafkaError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    """The broker: PREFSTREAM_TEST_BOOTSTRAP, else Apache Kafka in a container, else the embedded one."""
    with ExitStack() as stack:
        if servers := os.environ.get(ENV_BOOTSTRAP):
            chosen = Kafka(servers, f"the cluster at {servers}")
        elif _docker_answers() and (address := _start_container(stack)):
            chosen = Kafka(address, f"{KAFKA_IMAGE} in a container")
        else:
            broker = stack.enter_context(EmbeddedBroker())
            chosen = Kafka(broker.bootstrap_servers, EMBEDDED)
        request.config.stash[_KIND] = chosen.kind
        yield chosen


@pytest.fixture(autouse=True)
def _skip_what_needs_the_embedded_broker(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("embedded_only") and "kafka" in request.fixturenames:
        kind = request.getfixturevalue("kafka").kind
        if kind != EMBEDDED:
            pytest.skip(f"injects faults, which only the embedded broker takes, not {kind}")


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


@pytest.fixture
def seeded() -> random.Random:
    """A random generator whose seed is printed, and can be set with PREFSTREAM_TEST_SEED."""
    seed = int(os.environ.get("PREFSTREAM_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"PREFSTREAM_TEST_SEED={seed}")  # noqa: T201 - shown by pytest when the test fails
    return random.Random(seed)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which broker the Kafka tests talked to."""
    if kind := config.stash.get(_KIND, None):
        terminalreporter.write_line(f"Kafka tests ran against {kind}")
