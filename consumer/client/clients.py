"""Makes kafka-python's clients, with the defaults that exactly-once needs, and explains why a broker refuses us."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import tenacity
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from prefstream.consumer.client import patches
from prefstream.consumer.client.connection_errors import explain, overheard
from prefstream.consumer.client.instance import client_id, transactional_id
from prefstream.consumer.client.kafka_errors import KafkaError, Meaning, Translator, is_retriable, meaning_of
from prefstream.consumer.client.login.oauth import token_provider
from prefstream.consumer.client.login.tls import client_context
from prefstream.consumer.client.topic_aware_consumer import TopicAwareConsumer
from prefstream.consumer.config import BYTES_PER_TOKEN, StreamConfig
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.errors import BrokerUnreachableError, UsageError

_Answer = TypeVar("_Answer")
_Client = TypeVar("_Client")

CONNECT_TIMEOUT_MS = 15_000
"""A broker that restarts answers within some seconds; beyond that a person should hear about it."""

PATIENCE_S = 15.0
"""How long a question is asked again. A leader or coordinator moves in about 9 s."""

REQUEST_TIMEOUT_MS = 10_000
"""A coordinator fails over in about 9 s; a request that takes longer is better sent to the new one."""

LONGEST_HEARTBEAT_MS = 1_000
"""A member hears of a rebalance with its next heartbeat, and partitions that move wait for that; 15 in a session let it
miss some."""

MAX_PARTITION_FETCH_BYTES = 1024 * 1024
"""Of a partition in one fetch: some batches of battles, so that a fetch's round trip hardly counts. A record batch that
is larger comes whole, alone."""

MAX_FETCH_BYTES = 16 * 1024 * 1024
"""Of all partitions in one fetch: what a broker's answer takes twice of memory while it is taken apart. kafka-python's
50 MB gain nothing, because records are handed out by batches."""

ASK_AGAIN_MS = 5
"""How long the producer's thread sleeps before it repeats a request of a transaction. A commit is confirmed before its
markers are written, and what begins meanwhile is told to ask again (CONCURRENT_TRANSACTIONS): on Apache Kafka every
fifth to ninth transaction of a stream that is busy. Java's client waits 20 ms then. kafka-python means to, but waits
its `retry_backoff_ms` of 100, and all that comes meanwhile waits, too. A stream with passes of 5 ms takes 1.14 times
as much with 5 as with 20, one whose judges are free 1.2 times; a coordinator that is away is asked 200 times a second
by one producer at most."""

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""Own bound on a record that is sent: the broker's bound decides, this one only keeps memory in hand."""


def connection_settings(connection: KafkaConnection) -> dict[str, Any]:
    """kafka-python's keyword arguments for reaching and logging in to the brokers.

    Raises:
        UsageError: a file of certificates or keys can't be used.
    """
    settings: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in connection.bootstrap_servers.split(",")],
        "security_protocol": connection.security_protocol,
        "bootstrap_timeout_ms": _connect_timeout_ms(connection),
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        # A broker that came back should be found within a second, not after half a minute.
        "reconnect_backoff_max_ms": 1_000,
    }
    if connection.sasl_mechanism:
        settings |= {
            "sasl_mechanism": connection.sasl_mechanism,
            "sasl_plain_username": connection.sasl_username,
            "sasl_plain_password": connection.sasl_password and connection.sasl_password.get_secret_value(),
            "sasl_oauth_token_provider": connection.oauth_client and token_provider(connection.oauth_client),
        }
    if connection.security_protocol.endswith("SSL"):
        settings["ssl_context"] = client_context(connection)
    return settings


def _connect_timeout_ms(connection: KafkaConnection) -> int:
    """Who wants to hear of brokers that are away sooner than usual hears it sooner at the start, too."""
    if isinstance(connection, StreamConfig):
        return min(CONNECT_TIMEOUT_MS, int(connection.broker_timeout_s * 1000))
    return CONNECT_TIMEOUT_MS


def make_consumer(connection: KafkaConnection, **settings: Any) -> Any:
    """A KafkaConsumer that never commits by itself, reads committed records only and never skips unasked.

    Raises:
        BrokerUnreachableError: no broker answered, or it refused the login.
        UsageError: an address or a setting is not one.
    """
    defaults = {
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        "auto_offset_reset": "none",
        "metrics_enabled": False,  # ours are better, and theirs cost a lock per record
        # A topic that was deleted must not come back empty, with the wrong number of partitions.
        "allow_auto_create_topics": False,
        "max_partition_fetch_bytes": MAX_PARTITION_FETCH_BYTES,
        "fetch_max_bytes": MAX_FETCH_BYTES,
    }
    return _connect(connection, TopicAwareConsumer, **(connection_settings(connection) | defaults | settings))


def make_group_consumer(config: StreamConfig, instance_id: str) -> Any:
    """The stream's consumer: a member of its group, cooperative-sticky, and static where the operator named it.

    A name that was made from the host's may never come back: as a static member, who went would keep its partitions
    from the others until its session is over.

    Args:
        config: the settings.
        instance_id: the name of this process.

    Raises:
        BrokerUnreachableError: no broker answered, or it refused the login.
        UsageError: an address or a setting is not one.
    """
    return make_consumer(
        config,
        client_id=client_id(config.group, instance_id),
        group_id=config.group,
        group_instance_id=config.instance_id,
        partition_assignment_strategy=[CooperativeStickyAssignor],
        session_timeout_ms=config.session_timeout_ms,
        heartbeat_interval_ms=min(LONGEST_HEARTBEAT_MS, max(100, config.session_timeout_ms // 15)),
        max_poll_interval_ms=config.max_poll_interval_ms,
        fetch_max_wait_ms=100,
        # New partitions of the topic are found this soon, and that it was recreated while nothing was read.
        metadata_max_age_ms=10_000,
        max_unpacked_bytes=config.max_unpacked_bytes,
        # No more than the open batch and the bound in flight have room for, and one record.
        max_poll_bytes=min(config.max_batch_tokens * BYTES_PER_TOKEN, config.max_in_flight_bytes),
    )


def make_producer(connection: KafkaConnection, **settings: Any) -> Any:
    """An idempotent KafkaProducer.

    Raises:
        BrokerUnreachableError: no broker answered, or it refused the login.
        UsageError: an address or a setting is not one.
    """
    defaults = {
        "acks": "all",
        "enable_idempotence": True,
        "metrics_enabled": False,
        "allow_auto_create_topics": False,
        "max_request_size": MAX_RECORD_BYTES,
        # One request takes about 1 ms whatever its size: larger batches are fewer requests.
        "batch_size": 256 * 1024,
        "linger_ms": 5,
        # Must exceed linger_ms + request_timeout_ms; four tries before a record counts as undeliverable.
        "delivery_timeout_ms": 4 * REQUEST_TIMEOUT_MS + 1_000,
    }
    if "transactional_id" in settings:
        defaults["retry_backoff_ms"] = ASK_AGAIN_MS
    return _connect(connection, KafkaProducer, **(connection_settings(connection) | defaults | settings))


def make_transactional_producer(config: StreamConfig, instance_id: str) -> Any:
    """The stream's producer; a second one of the same group and instance fences the first.

    Args:
        config: the settings.
        instance_id: the name of this process.

    Raises:
        BrokerUnreachableError: no broker answered, or it refused the login.
        UsageError: an address or a setting is not one.
    """
    return make_producer(
        config,
        client_id=client_id(config.group, instance_id),
        transactional_id=transactional_id(config.group, instance_id),
        transaction_timeout_ms=config.transaction_timeout_ms,
        # The commit flushes: until then records gather into few large requests. Sent at once, they would be many
        # small ones, and the client's thread would compete with the loop for the interpreter.
        linger_ms=1_000,
        # Asking for a topic's partitions takes that long when it was deleted; before the watchdog thinks that we hang.
        max_block_ms=int(config.broker_timeout_s * 1000 * 3 / 4),
    )


def make_admin(connection: KafkaConnection) -> Any:
    """A KafkaAdminClient.

    Raises:
        BrokerUnreachableError: no broker answered, or it refused the login.
        UsageError: an address or a setting is not one.
    """
    return _connect(connection, KafkaAdminClient, **connection_settings(connection))


@contextmanager
def admin_client(connection: KafkaConnection) -> Iterator[Any]:
    """A KafkaAdminClient that is closed at the end."""
    admin = make_admin(connection)
    try:
        yield admin
    finally:
        admin.close()


def broker_settings(admin: Any) -> dict[str, str]:
    """Settings of one broker, which stands for all; empty where we may not see them (DescribeConfigs).

    Args:
        admin: a KafkaAdminClient.
    """
    try:
        [broker, *_] = patiently(admin.describe_cluster)["brokers"]
        name = str(broker["broker_id"])
        described = admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, name)], config_filter="all")
    except KafkaError:
        return {}
    settings = described.get("broker", {}).get(name, {})
    return {key: setting["value"] for key, setting in settings.items() if setting["value"] is not None}


def patiently(call: Callable[[], _Answer]) -> _Answer:
    """Ask again while a broker is away, and while a leader or coordinator moves or starts, for `PATIENCE_S`.

    Args:
        call: asks one of kafka-python's clients, which gives up when the broker that it chose does not answer.

    Raises:
        KafkaError: what the last call raised.
    """
    asking = tenacity.Retrying(
        stop=tenacity.stop_after_delay(PATIENCE_S),
        wait=tenacity.wait_fixed(0.5),
        retry=tenacity.retry_if_exception(is_retriable),
        reraise=True,
    )
    return asking(call)


def _connect(connection: KafkaConnection, client: Callable[..., _Client], **settings: Any) -> _Client:
    """Make a client; when no broker answers, say why, which kafka-python only writes to its log."""
    if provider := settings.get("sasl_oauth_token_provider"):
        provider.valid_token()  # what is wrong there is told at once; kafka-python would try until its time is up
    patches.apply()
    where = f"{connection.bootstrap_servers} ({connection.security_protocol})"
    with overheard("kafka") as heard:
        try:
            return client(**settings)
        except ValueError as error:
            raise UsageError(f"the connection to {where} can't be set up: {error}") from error
        except KafkaError as error:
            match meaning_of(error):
                case Meaning.WRONG_SETTING:
                    raise UsageError(f"the connection to {where} can't be set up: {error}") from error
                case Meaning.DENIED:
                    raise Translator("connecting", acls=lambda _: f"access to {where}").error(error) from error
            why = explain(heard, connection) or f"{error}; check address, security_protocol and login"
            raise BrokerUnreachableError(f"no connection to {where}: {why}") from error
