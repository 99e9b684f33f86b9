"""A broker to hold to Kafka's contract, and clients for it.

The contract suite runs on the embedded broker and on Apache Kafka: the former must pass whatever the latter passes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.protocol.consumer import ListOffsetsRequest, ListOffsetsResponse
from kafka.record.default_records import DefaultRecordBatchBuilder

from tests.conftest import Kafka
from tests.support.streams import poll, poll_at_once
from tests.support.wire import PATIENCE_S, Wire


@pytest.fixture
def bootstrap_servers(kafka: Kafka) -> str:
    return kafka.bootstrap_servers


@pytest.fixture
def session_timeout_ms(kafka: Kafka) -> int:
    """The shortest session that the broker allows."""
    return kafka.min_session_timeout_ms


@pytest.fixture
def name() -> str:
    """A name that no other test uses: for topics, groups and transactional ids."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def open_clients() -> Iterator[ExitStack]:
    """Whatever is entered here is closed when the test is over."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def admin(bootstrap_servers: str, open_clients: ExitStack) -> Any:
    client = KafkaAdminClient(bootstrap_servers=bootstrap_servers)
    open_clients.callback(client.close)
    return client


@pytest.fixture
def topic(admin: Any, name: str, wire: Wire) -> str:
    """A topic with one partition."""
    return _created(admin, name, 1, wire)


@pytest.fixture
def wide_topic(admin: Any, name: str, wire: Wire) -> str:
    """A topic with four partitions."""
    return _created(admin, f"{name}-wide", 4, wire)


def _created(admin: Any, name: str, partitions: int, wire: Wire) -> str:
    """Create a topic and wait until its leaders answer, which takes a real broker a moment."""
    admin.create_topics({name: {"num_partitions": partitions, "replication_factor": 1}})
    topic_class = ListOffsetsRequest.ListOffsetsTopic
    wanted = [
        topic_class.ListOffsetsPartition(partition_index=index, current_leader_epoch=-1, timestamp=-1)
        for index in range(partitions)
    ]
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        request = ListOffsetsRequest(
            replica_id=-1, isolation_level=0, topics=[topic_class(name=name, partitions=wanted)]
        )
        response = wire.call(request, ListOffsetsResponse, 5)
        if all(part.error_code == 0 for part in response.topics[0].partitions):
            break
        time.sleep(0.02)
    return name


@pytest.fixture
def new_producer(bootstrap_servers: str, open_clients: ExitStack) -> Callable[..., Any]:
    def make(**settings: Any) -> Any:
        producer = KafkaProducer(bootstrap_servers=bootstrap_servers, **settings)
        # A fenced producer can't finish anything: don't wait for it.
        open_clients.callback(producer.close, timeout=0 if "transactional_id" in settings else 5)
        if "transactional_id" in settings:
            producer.init_transactions()
        return producer

    return make


@pytest.fixture
def new_consumer(bootstrap_servers: str, open_clients: ExitStack) -> Callable[..., Any]:
    def make(*topics: str, **settings: Any) -> Any:
        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            **{
                "auto_offset_reset": "earliest",
                "enable_auto_commit": False,
                "isolation_level": "read_committed",
                "group_id": None,
                "heartbeat_interval_ms": 100,
                "retry_backoff_ms": 50,
                **settings,
            },
        )
        open_clients.callback(consumer.close)
        for topic in topics:
            # A consumer that joins before it knows its topics' partitions may be left without any.
            consumer.partitions_for_topic(topic)
        if topics:
            consumer.subscribe(list(topics))
        return consumer

    return make


@pytest.fixture
def read_values() -> Callable[..., list[bytes]]:
    """Polls until a number of records has come, then a little longer for records that should not come."""

    def read(consumer: Any, count: int, extra_s: float = 0.3) -> list[bytes]:
        values: list[bytes] = []
        deadline = time.monotonic() + PATIENCE_S
        while len(values) < count and time.monotonic() < deadline:
            values += [record.value for record in poll(consumer, timeout_ms=100)]
        end = time.monotonic() + extra_s
        while time.monotonic() < end:
            values += [record.value for record in poll(consumer, timeout_ms=50)]
        return values

    return read


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Waits until a condition holds, polling consumers meanwhile so that they stay in their groups."""

    def wait(condition: Callable[[], bool], *consumers: Any, timeout_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, "the condition never held"
            poll_at_once(*consumers)
            time.sleep(0.02)

    return wait


@pytest.fixture
def new_wire(bootstrap_servers: str, open_clients: ExitStack) -> Callable[[], Wire]:
    def make() -> Wire:
        wire = Wire(bootstrap_servers)
        open_clients.callback(wire.close)
        return wire

    return make


@pytest.fixture
def wire(new_wire: Callable[[], Wire]) -> Wire:
    return new_wire()


@pytest.fixture
def batch_of() -> Callable[..., bytes]:
    """Makes the bytes of a record batch."""

    def make(
        *values: bytes,
        producer_id: int = -1,
        epoch: int = -1,
        sequence: int = -1,
        transactional: bool = False,
        timestamp_ms: int | None = None,
        magic: int = 2,
    ) -> bytes:
        builder = DefaultRecordBatchBuilder(2, 0, transactional, producer_id, epoch, sequence, 1 << 22)
        now = int(time.time() * 1000) if timestamp_ms is None else timestamp_ms
        for index, value in enumerate(values):
            builder.append(index, now, None, value, [])
        data = bytearray(builder.build())
        data[16] = magic
        return bytes(data)

    return make
