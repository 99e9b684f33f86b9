"""Apache Kafka in a container, for those who have Docker and no unpacked Kafka."""

from __future__ import annotations

import functools
import gc
import socket
import time
import warnings
from contextlib import ExitStack, closing
from typing import Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from tests.support.kafka.cluster import INTERNAL_PARTITIONS

KAFKA_IMAGE: Final = "apache/kafka:4.3.1"


@functools.cache
def docker_answers() -> bool:
    """Whether a Docker API answers, at DOCKER_HOST or where it usually is."""
    import docker

    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        try:
            with closing(docker.from_env(timeout=5)) as client:
                answers = bool(client.ping())
        except docker.errors.DockerException:
            answers = False
        gc.collect()  # docker leaves its socket open where nothing answers
    return answers


def start_container(stack: ExitStack) -> str | None:
    """Apache Kafka in a container: its address, or None where the image can't be had."""
    import docker
    from testcontainers.core.container import DockerContainer

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]  # clients are told this address, so it must be known before the start
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        # One for clients, by an address that does not exist inside, and one for the broker itself: the coordinator of
        # transactions sends their markers over the network, to itself, too.
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://localhost:9093,INSIDE://localhost:9094",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port},INSIDE://localhost:9094",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,INSIDE:PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": str(INTERNAL_PARTITIONS),
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": str(INTERNAL_PARTITIONS),
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS": "1000",
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
