"""What only the embedded broker can do: come and go inside a process, and fail on demand.

How well it imitates Kafka is the business of the contract suite in `broker/`, beside this file.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.protocol.consumer import FetchRequest, JoinGroupRequest
from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse
from kafka.structs import OffsetAndMetadata

from prefstream.consumer.broker import (
    BrokerNotRunningError,
    BrokerSettings,
    EmbeddedBroker,
    ErrorCode,
    PortInUseError,
    serve,
)
from tests.support.streams import WAIT_S

TOPIC = "topic"
PART = TopicPartition(TOPIC, 0)
SETTINGS = BrokerSettings(default_partitions=1)
WAITS_MS = 200_000
"""A request waits for so long at the broker, and nobody for it."""

# kafka-python forgets to close its socket when a connection is refused.
forgives_leaks = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(SETTINGS) as running:
        yield running


@pytest.fixture
def open_clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def new_producer(broker: EmbeddedBroker, open_clients: ExitStack) -> Callable[..., Any]:
    def make(**settings: Any) -> Any:
        producer = KafkaProducer(
            **{
                "bootstrap_servers": broker.bootstrap_servers,
                "retry_backoff_ms": 20,
                "reconnect_backoff_ms": 10,
                "reconnect_backoff_max_ms": 50,
                **settings,
            }
        )
        open_clients.callback(producer.close, timeout=1)
        if "transactional_id" in settings:
            producer.init_transactions()
        return producer

    return make


@pytest.fixture
def new_consumer(broker: EmbeddedBroker, open_clients: ExitStack) -> Callable[..., Any]:
    def make(**settings: Any) -> Any:
        consumer = KafkaConsumer(
            bootstrap_servers=broker.bootstrap_servers,
            **{
                "auto_offset_reset": "earliest",
                "enable_auto_commit": False,
                "isolation_level": "read_committed",
                "group_id": None,
                "heartbeat_interval_ms": 100,
                "retry_backoff_ms": 20,
                "reconnect_backoff_ms": 10,
                "reconnect_backoff_max_ms": 50,
                **settings,
            },
        )
        open_clients.callback(consumer.close)
        if settings.get("group_id") is None:
            consumer.assign([PART])
        else:
            consumer.partitions_for_topic(TOPIC)
            consumer.subscribe([TOPIC])
        return consumer

    return make


@pytest.fixture
def values(new_consumer: Callable[..., Any]) -> Callable[[int], list[bytes]]:
    """All committed values, once there are as many as expected, plus those that should not be there."""

    def read(count: int) -> list[bytes]:
        consumer = new_consumer()
        found: list[bytes] = []
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline and consumer.position(PART) < consumer.end_offsets([PART])[PART]:
            found += [record.value for records in consumer.poll(timeout_ms=100).values() for record in records]
        assert len(found) >= count
        return found

    return read


@pytest.fixture
def raw(broker: EmbeddedBroker, open_clients: ExitStack) -> socket.socket:
    """A connection without a client behind it."""
    return connect(broker, open_clients)


def connect(broker: EmbeddedBroker, open_clients: ExitStack) -> socket.socket:
    host, port = broker.bootstrap_servers.split(":")
    connection = socket.create_connection((host, int(port)), timeout=100)
    open_clients.callback(connection.close)
    return connection


def frame(api_key: int, version: int, correlation_id: int, body: bytes = b"") -> bytes:
    header = struct.pack(">hhih4s", api_key, version, correlation_id, 4, b"test")
    return struct.pack(">i", len(header) + len(body)) + header + body


def receive(connection: socket.socket) -> bytes:
    """One response frame; empty if the broker hung up."""
    head = connection.recv(4, socket.MSG_WAITALL)
    return connection.recv(struct.unpack(">i", head)[0], socket.MSG_WAITALL) if len(head) == 4 else b""


# --- coming and going


def test_it_has_no_address_before_its_first_start() -> None:
    with pytest.raises(BrokerNotRunningError, match="start it first"):
        _ = EmbeddedBroker().bootstrap_servers


def test_starting_and_stopping_twice_changes_nothing() -> None:
    broker = EmbeddedBroker()
    broker.stop()
    broker.start()
    address = broker.bootstrap_servers
    broker.start()
    assert broker.bootstrap_servers == address
    broker.stop()
    broker.stop()


def test_a_taken_port_is_a_clear_error(broker: EmbeddedBroker) -> None:
    port = int(broker.bootstrap_servers.split(":")[1])
    second = EmbeddedBroker(BrokerSettings(port=port))
    with pytest.raises(PortInUseError, match=f"127.0.0.1:{port} is in use"):
        second.start()
    second.stop()


@forgives_leaks
def test_after_a_restart_it_is_where_it_was_with_what_it_had(
    broker: EmbeddedBroker,
    new_producer: Callable[..., Any],
    new_consumer: Callable[..., Any],
    open_clients: ExitStack,
) -> None:
    producer = new_producer()
    producer.send(TOPIC, b"before").get(100)
    consumer = new_consumer(group_id="group")
    assert poll_value(consumer) == b"before"
    consumer.commit({PART: OffsetAndMetadata(1, "", -1)})
    address = broker.bootstrap_servers
    broker.stop()
    broker.start()
    assert broker.bootstrap_servers == address
    producer.send(TOPIC, b"after").get(100)
    assert poll_value(consumer) == b"after"
    assert consumer.committed(PART) == 1
    open_clients.close()
    gc.collect()


def poll_value(consumer: Any) -> bytes | None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        for records in consumer.poll(timeout_ms=100).values():
            return bytes(records[0].value)
    return None


@forgives_leaks
def test_a_client_that_waits_for_records_does_not_hold_up_the_stop(
    broker: EmbeddedBroker, new_producer: Callable[..., Any], new_consumer: Callable[..., Any], open_clients: ExitStack
) -> None:
    new_producer().send(TOPIC, b"x").get(100)
    consumer = new_consumer(fetch_max_wait_ms=WAITS_MS, request_timeout_ms=WAITS_MS + 1_000)
    consumer.seek_to_end(PART)
    consumer.poll(timeout_ms=300)
    started = time.monotonic()
    broker.stop()
    assert time.monotonic() - started < WAITS_MS / 2_000
    open_clients.close()
    gc.collect()


def test_it_stops_cleanly_while_requests_wait(
    broker: EmbeddedBroker, new_producer: Callable[..., Any], open_clients: ExitStack
) -> None:
    """No task is left pending and no socket open: warnings are errors here."""
    new_producer().send(TOPIC, b"x").get(100)
    topic_class = FetchRequest.FetchTopic
    part = topic_class.FetchPartition(partition=0, fetch_offset=1, partition_max_bytes=1)
    fetch = FetchRequest(
        max_wait_ms=WAITS_MS,
        min_bytes=1,
        max_bytes=1,
        isolation_level=1,
        topics=[topic_class(topic=TOPIC, partitions=[part])],
        forgotten_topics_data=[],
    )
    protocol = JoinGroupRequest.JoinGroupRequestProtocol(name="range", metadata=b"")
    join = JoinGroupRequest(
        group_id="group",
        session_timeout_ms=60_000,
        rebalance_timeout_ms=WAITS_MS,
        member_id="",
        protocol_type="consumer",
        protocols=[protocol],
    )
    connections = []
    for request, version in ((fetch, 11), (join, 3), (join, 3)):
        connection = connect(broker, open_clients)
        request.API_VERSION = version
        request.with_header(correlation_id=1, client_id="test")
        connection.sendall(request.encode(header=True, framed=True))
        connections.append(connection)
    receive(connections[1])
    started = time.monotonic()
    broker.stop()
    assert time.monotonic() - started < WAITS_MS / 2_000
    gc.collect()
    for connection in (connections[0], connections[2]):
        with suppress(ConnectionError):
            assert receive(connection) == b""


def test_it_stops_cleanly_while_clients_keep_connecting(broker: EmbeddedBroker) -> None:
    """A connection that is being accepted while the broker stops is closed like the others."""
    host, port = broker.bootstrap_servers.split(":")
    done = threading.Event()

    def connect_all_the_time() -> None:
        while not done.is_set():
            with suppress(OSError), socket.create_connection((host, int(port)), timeout=100) as connection:
                connection.sendall(frame(ApiVersionsRequest.API_KEY, 0, 1))
                receive(connection)

    threads = [threading.Thread(target=connect_all_the_time) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        time.sleep(0.01)
        broker.stop()
        broker.start()
    done.set()
    for thread in threads:
        thread.join()
    broker.stop()
    gc.collect()


def test_serve_runs_until_it_is_cancelled() -> None:
    async def run() -> int:
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve(BrokerSettings(), on_ready=ready.set_result))
        port = await ready
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        return port

    assert asyncio.run(run()) > 0


def test_clients_are_told_the_advertised_host() -> None:
    with EmbeddedBroker(BrokerSettings(advertised_host="localhost")) as broker:
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        assert [node["host"] for node in admin.describe_cluster()["brokers"]] == ["localhost"]
        admin.close()


# --- strange requests


def test_a_client_from_the_future_learns_what_is_spoken(raw: socket.socket) -> None:
    raw.sendall(frame(ApiVersionsRequest.API_KEY, 99, 7))
    answer = receive(raw)
    assert struct.unpack_from(">ih", answer) == (7, ErrorCode.UNSUPPORTED_VERSION)
    response = ApiVersionsResponse.decode(answer[4:], version=0)
    assert ApiVersionsRequest.API_KEY in {api.api_key for api in response.api_keys}


@pytest.mark.parametrize(
    "data",
    [
        frame(999, 0, 1),
        frame(0, 99, 1),
        struct.pack(">i", -5),
        struct.pack(">i", 2**31 - 1),
        struct.pack(">ih", 2, 3),
        frame(3, 1, 1, b"\x7f\xff\xff\xff garbage"),
    ],
    ids=["unknown API", "unknown version", "negative length", "endless", "no header", "garbage"],
)
def test_a_connection_that_talks_nonsense_is_closed_and_the_others_are_not(
    broker: EmbeddedBroker, raw: socket.socket, open_clients: ExitStack, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    other = connect(broker, open_clients)
    with caplog.at_level(logging.CRITICAL, "prefstream.consumer.broker.connection"), suppress(ConnectionError):
        raw.sendall(data)
        assert receive(raw) == b""
    other.sendall(frame(ApiVersionsRequest.API_KEY, 0, 3))
    assert struct.unpack_from(">i", receive(other)) == (3,)


def test_requests_in_one_packet_are_answered_in_order(raw: socket.socket) -> None:
    raw.sendall(b"".join(frame(ApiVersionsRequest.API_KEY, 0, number) for number in range(100)))
    assert [struct.unpack_from(">i", receive(raw))[0] for _ in range(100)] == list(range(100))


def test_a_request_in_many_packets_is_put_together(raw: socket.socket) -> None:
    for byte in frame(ApiVersionsRequest.API_KEY, 0, 5):
        raw.sendall(bytes([byte]))
    assert struct.unpack_from(">i", receive(raw)) == (5,)


# --- faults


def test_a_produce_whose_response_is_lost_is_stored_once(
    broker: EmbeddedBroker, new_producer: Callable[..., Any], values: Callable[[int], list[bytes]]
) -> None:
    producer = new_producer()
    producer.send(TOPIC, b"first").get(100)
    broker.faults.drop("Produce", times=2, after_apply=True)
    producer.send(TOPIC, b"second").get(100)
    assert broker.faults.pending() == 0
    assert values(2) == [b"first", b"second"]


def test_a_produce_that_never_arrives_is_sent_again(
    broker: EmbeddedBroker, new_producer: Callable[..., Any], values: Callable[[int], list[bytes]]
) -> None:
    producer = new_producer()
    broker.faults.drop("Produce")
    producer.send(TOPIC, b"v").get(100)
    assert values(1) == [b"v"]


def test_a_retriable_error_is_retried_even_if_the_work_was_done(
    broker: EmbeddedBroker, new_producer: Callable[..., Any], values: Callable[[int], list[bytes]]
) -> None:
    producer = new_producer()
    broker.faults.fail("Produce", error_code=ErrorCode.REQUEST_TIMED_OUT, after_apply=True)
    producer.send(TOPIC, b"v").get(100)
    assert values(1) == [b"v"]


def test_a_lasting_error_reaches_the_caller(broker: EmbeddedBroker, new_producer: Callable[..., Any]) -> None:
    producer = new_producer()
    producer.send(TOPIC, b"v").get(100)
    broker.faults.fail("Produce", error_code=ErrorCode.INVALID_RECORD)
    with pytest.raises(KafkaError):
        producer.send(TOPIC, b"v").get(100)


@pytest.mark.parametrize("after_apply", [True, False])
@pytest.mark.parametrize(
    "api", ["AddPartitionsToTxn", "AddOffsetsToTxn", "TxnOffsetCommit", "EndTxn", "InitProducerId"]
)
def test_a_transaction_survives_a_lost_request_or_response(
    broker: EmbeddedBroker,
    new_producer: Callable[..., Any],
    new_consumer: Callable[..., Any],
    values: Callable[[int], list[bytes]],
    api: Any,
    *,
    after_apply: bool,
) -> None:
    broker.faults.drop(api, after_apply=after_apply)
    producer = new_producer(transactional_id="writer")
    new_producer().send(TOPIC, b"plain").get(100)
    consumer = new_consumer(group_id="group")
    assert poll_value(consumer) == b"plain"
    producer.begin_transaction()
    producer.send(TOPIC, b"v")
    producer.send_offsets_to_transaction({PART: OffsetAndMetadata(1, "", -1)}, consumer.group_metadata())
    producer.commit_transaction()
    assert broker.faults.pending() == 0
    assert values(2) == [b"plain", b"v"]
    assert consumer.committed(PART) == 1


@pytest.mark.parametrize(
    "api", ["FindCoordinator", "JoinGroup", "SyncGroup", "Heartbeat", "OffsetFetch", "Fetch", "ListOffsets"]
)
def test_a_consumer_survives_a_lost_response(
    broker: EmbeddedBroker, new_producer: Callable[..., Any], new_consumer: Callable[..., Any], api: Any
) -> None:
    new_producer().send(TOPIC, b"v").get(100)
    broker.faults.drop(api, after_apply=True)
    consumer = new_consumer(group_id="group")
    assert poll_value(consumer) == b"v"
    deadline = time.monotonic() + 100
    while broker.faults.pending() and time.monotonic() < deadline:
        consumer.poll(timeout_ms=50)
    assert broker.faults.pending() == 0


def test_a_delay_holds_up_one_client_and_not_the_others(
    broker: EmbeddedBroker, new_producer: Callable[..., Any]
) -> None:
    slow, quick = new_producer(client_id="slow"), new_producer(client_id="quick")
    for producer in (slow, quick):
        producer.send(TOPIC, b"v").get(100)
    broker.faults.delay("Produce", seconds=5, client_id="slow")
    started = time.monotonic()
    late = slow.send(TOPIC, b"late")
    quick.send(TOPIC, b"soon").get(100)
    offset = late.get(100).offset
    assert time.monotonic() - started >= 5
    assert offset == 3, "the delayed request was applied after the other one"


def test_a_delay_after_the_work_holds_up_the_response_only(
    broker: EmbeddedBroker, new_producer: Callable[..., Any]
) -> None:
    slow, quick = new_producer(client_id="slow"), new_producer(client_id="quick")
    for producer in (slow, quick):
        producer.send(TOPIC, b"v").get(100)
    broker.faults.delay("Produce", seconds=0.6, client_id="slow", after_apply=True)
    late = slow.send(TOPIC, b"early")
    deadline = time.monotonic() + 100
    while broker.faults.pending() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert quick.send(TOPIC, b"next").get(100).offset == 3
    assert late.get(100).offset == 2
