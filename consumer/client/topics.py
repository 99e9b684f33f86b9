"""Topics: whether one exists, whether we may use it, and which partitions it has. Asked here and nowhere else."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import errors as kafka_errors
from kafka.errors import GroupIdNotFoundError, for_code

from prefstream.consumer.client.acl import denied, spell, topic_operations
from prefstream.consumer.client.clients import admin_client, patiently
from prefstream.consumer.client.kafka_errors import KafkaError, Meaning, Translator, is_of
from prefstream.consumer.client.protocols import Consumer, TopicPartition
from prefstream.consumer.config import TOPIC_FIELDS, StreamConfig, TopicNames
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.errors import BrokerUnreachableError, NotAuthorizedError, StreamError, TopicMissingError


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedTopic:
    """A topic as the broker describes it.

    Attributes:
        name: its name.
        error: why it can't be used; None if it can.
        partitions: as kafka-python describes them.
        operations: what we may do; None where the broker does not say.
    """

    name: str
    error: type[KafkaError] | None = None
    partitions: tuple[Mapping[str, Any], ...] = ()
    operations: frozenset[str] | None = None

    @property
    def absent(self) -> bool:
        """Whether there is no such topic."""
        return is_of(self.error, Meaning.TOPIC_MISSING)

    @property
    def hidden(self) -> bool:
        """Whether we may not even see it."""
        return is_of(self.error, Meaning.DENIED)

    def allows(self, operation: str) -> bool | None:
        """Whether we may do something with the topic, such as READ; None where the broker does not say."""
        if self.hidden:
            return False
        return None if self.operations is None else operation in self.operations

    def topic_partitions(self) -> list[TopicPartition]:
        """Its partitions, as clients name them."""
        return [TopicPartition(self.name, partition["partition_index"]) for partition in self.partitions]


def describe_topics(admin: Any, names: Iterable[str]) -> list[DescribedTopic]:
    """What the broker tells of topics, in the order given; whether they exist is part of the answer.

    Args:
        admin: a KafkaAdminClient.
        names: of the topics.

    Raises:
        KafkaError: no broker answered.
    """
    order = list(names)
    described = {topic["name"]: topic for topic in patiently(lambda: admin.describe_topics(order))}
    return [_read(described[name]) for name in order]


def _read(described: Mapping[str, Any]) -> DescribedTopic:
    code, operations = described["error_code"], described["authorized_operations"]
    return DescribedTopic(
        name=described["name"],
        error=for_code(code) if code else None,
        partitions=tuple(described["partitions"]),
        operations=None if operations is None else frozenset(operations),
    )


def require_topics(config: TopicNames, operations: Mapping[str, str] | None = None) -> None:
    """Check that topics exist and that we may use them: the first dead letter is no time to find out.

    Brokers that do not say what we may do are taken to allow it.

    Args:
        config: names the brokers.
        operations: what is to be done with which topic, as kafka-python spells it; by default what the stream does.

    Raises:
        TopicMissingError: a topic does not exist.
        NotAuthorizedError: we may not read or write a topic; whether it exists is not told then.
        BrokerUnreachableError: no broker answered.
    """
    operations = topic_operations(config) if operations is None else operations
    with admin_client(config) as admin:
        topics = _ask(config, admin, operations)
    if absent := [topic.name for topic in topics if topic.absent]:
        raise TopicMissingError(
            f"no topic {', '.join(absent)} at {config.bootstrap_servers}; create it: {command_to_create(config)}"
        )
    if missing := [topic.name for topic in topics if topic.allows(operations[topic.name]) is False]:
        raise denied(*(spell(operations[name], name) for name in missing))


def command_to_create(names: TopicNames) -> str:
    """The command that makes the stream's topics, ready to be copied; a login comes from where ours came from."""
    words = ["prefstream", "topics", "create", "--bootstrap-servers", names.bootstrap_servers]
    for field in TOPIC_FIELDS:
        if (name := getattr(names, field)) != TopicNames.model_fields[field].default:
            words += [f"--{field.replace('_', '-')}", name]
    if isinstance(names, StreamConfig) and names.shadow:
        words.append("--shadow")
    login = "" if names.security_protocol == "PLAINTEXT" else " (with the same login)"
    return shlex.join(words) + login


def require_topic(connection: KafkaConnection, admin: Any, name: str, operation: str) -> None:
    """Check that one topic, of the stream or not, exists and that we may use it.

    A broker that does not say what we may do is taken to allow it.

    Args:
        connection: names the brokers.
        admin: a KafkaAdminClient.
        name: of the topic.
        operation: what is to be done with it, as kafka-python spells it.

    Raises:
        TopicMissingError: it does not exist.
        NotAuthorizedError: we may not do that; whether it exists is not told then.
        BrokerUnreachableError: no broker answered.
    """
    (topic,) = _ask(connection, admin, [name])
    if topic.absent:
        raise TopicMissingError(
            f"no topic {name} at {connection.bootstrap_servers}: check its name, or create it (prefstream topics "
            "create makes the stream's)"
        )
    if topic.allows(operation) is False:
        raise NotAuthorizedError(f"the broker denies {spell(operation, name)}: grant that to this user")


def _ask(connection: KafkaConnection, admin: Any, names: Iterable[str]) -> list[DescribedTopic]:
    asking = Translator(f"asking {connection.bootstrap_servers} for the topics", otherwise=BrokerUnreachableError)
    with asking.translating():
        return describe_topics(admin, names)


def find_partitions(consumer: Consumer, topic: str) -> list[TopicPartition]:
    """The partitions of a topic, by a consumer: who has one need not connect once more.

    Args:
        consumer: a KafkaConsumer.
        topic: its name.

    Raises:
        TopicMissingError: there is no such topic, or it may not be seen.
        KafkaError: no broker answered.
    """
    found: Collection[int] = consumer.partitions_for_topic(topic) or ()
    if not found:
        raise TopicMissingError(
            f"there is no topic {topic}, or it may not be seen; check its name, or grant Describe on it"
        )
    return [TopicPartition(topic, partition) for partition in sorted(found)]


def create_topics(config: StreamConfig, partitions: int, *, also: Iterable[str] = ()) -> None:
    """Create the stream's topics, with the cluster's own number of replicas: for demo, benchmarks and tests.

    Args:
        config: names brokers and topics.
        partitions: of each.
        also: further topics.

    Raises:
        BrokerUnreachableError: no broker answered, or it refused the login.
    """
    names = (*topic_operations(config), *also)
    with admin_client(config) as admin:
        admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": -1} for topic in names})
        wait_until_led(admin, names)


def wait_until_led(admin: Any, topics: Sequence[str]) -> None:
    """Wait until the brokers have heard of topics that were just made: who comes next must not find them missing.

    Args:
        admin: kafka-python's.
        topics: their names.
    """
    try:
        admin.wait_for_topics(list(topics))
    except KafkaError:
        return  # they are made, whether we may see it or not


def delete_topics_and_group(config: StreamConfig, *, also: Iterable[str] = ()) -> None:
    """Delete the stream's topics with all that is in them, and the group with its offsets: what a demo made.

    Args:
        config: names brokers, topics and group.
        also: further topics.

    Raises:
        StreamError: they could not be deleted; the message says why.
    """
    deleting = Translator(f"deleting topics and group at {config.bootstrap_servers}", otherwise=StreamError)
    with deleting.translating(), admin_client(config) as admin:
        patiently(lambda: admin.delete_topics([*topic_operations(config), *also]))
        patiently(lambda: _delete_group(admin, config.group))


def _delete_group(admin: Any, group: str) -> None:
    outcome: str = admin.delete_groups([group])[group]  # "OK", or the name of an error's class
    if outcome not in {"OK", GroupIdNotFoundError.__name__}:
        raise getattr(kafka_errors, outcome)
