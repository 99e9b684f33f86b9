"""What the stream and the board must be allowed to do at the broker, and how an ACL that is missing is told.

One operation for each resource. In Kafka's own authorizer Read and Write include Describe; there is no ACL on the
cluster that the stream needs. The table with what each is for stands in deploy/README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from kafka import errors as kafka_errors

from prefstream.consumer.client.kafka_errors import KafkaError
from prefstream.consumer.config import StreamConfig, TopicNames
from prefstream.consumer.errors import NotAuthorizedError

GRANT: Final = "grant that to this user; prefstream doctor tells what else is missing"
"""What to do about ACLs of the stream that are missing."""


def topic_operations(config: TopicNames) -> dict[str, str]:
    """The operation that the stream needs on each of its topics, as kafka-python spells it; fewer in a shadow."""
    if isinstance(config, StreamConfig) and config.shadow:
        written = [config.shadow_topic]
    else:
        written = [config.preferences_topic, config.dead_letters_topic]
        written += [config.review_topic] if config.review_topic else []
    operations = {config.battles_topic: "READ", **dict.fromkeys(written, "WRITE")}
    follows = isinstance(config, StreamConfig) and config.panels is not None
    return operations | ({config.panels_topic: "READ"} if follows else {})


def choosing_operations(config: TopicNames, *, publishes: bool) -> list[dict[str, str]]:
    """What `prefstream panels` needs on the topic of choices, one operation each.

    Args:
        config: names the topic.
        publishes: whether a choice is made; else it is only read.
    """
    return [{config.panels_topic: "READ"}, *([{config.panels_topic: "WRITE"}] if publishes else [])]


def calibrating_operations(config: TopicNames, *, publishes: bool) -> list[dict[str, str]]:
    """What live calibration (`prefstream recalibrate`) needs on topics, one operation each.

    Args:
        config: names of the topics.
        publishes: whether it writes what it finds; else it only tells.
    """
    reads, *writes = choosing_operations(config, publishes=publishes)
    return [dict.fromkeys((config.preferences_topic, config.votes_topic), "READ") | reads, *writes]


def board_operations(config: TopicNames, *, dead_letters: bool = True) -> dict[str, str]:
    """The operation that the board needs on each of its topics, as kafka-python spells it.

    Args:
        config: names of the topics.
        dead_letters: whether it writes them. It reads them, too, where it was killed: what is there already is not
            written again.
    """
    reads = {config.preferences_topic: "READ", config.votes_topic: "READ"}
    return reads | ({config.votes_dead_letters_topic: "WRITE"} if dead_letters else {})


def watch_operations(config: TopicNames) -> dict[str, str]:
    """What the board needs on topics to tell how the stream does, beside Describe on its group; it serves without."""
    return {config.battles_topic: "DESCRIBE", config.dead_letters_topic: "READ"}


def shadow_operations(config: TopicNames) -> dict[str, str]:
    """What the board needs to show how a shadow differs (`--shadow`); it serves without."""
    return {config.shadow_topic: "READ"}


def acls_of_lag(config: TopicNames, group_id: str) -> Callable[[KafkaError], str]:
    """Names the ACL that the broker denied to who asks for the stream's lag, for a translator.

    Args:
        config: names the topic.
        group_id: the stream's group.
    """

    def missing(error: KafkaError) -> str:
        if isinstance(error, kafka_errors.GroupAuthorizationFailedError):
            return f"Describe on group {group_id}"
        return spell(watch_operations(config)[config.battles_topic], config.battles_topic)

    return missing


def battle_operations(config: TopicNames, *, writes: bool, reads: bool) -> list[dict[str, str]]:
    """What the board needs beside that where its page has battles: on their topic, one operation each.

    Args:
        config: names of the topics.
        writes: whether battles are tried out (`--allow-battles`).
        reads: whether texts are shown (`--show-texts`).
    """
    wanted = {"WRITE": writes, "READ": reads}
    return [{config.battles_topic: operation} for operation, needed in wanted.items() if needed]


def on_topic(config: TopicNames, topic: str) -> str:
    """The ACL on one of the stream's topics, as Kafka's tools spell it."""
    return spell(topic_operations(config)[topic], topic)


def spell(operation: str, topic: str) -> str:
    """An ACL on a topic, as Kafka's tools spell it.

    Args:
        operation: as kafka-python spells it.
        topic: what it is on.
    """
    return f"{operation.title()} on topic {topic}"


def on_group(config: StreamConfig) -> str:
    """The ACL on the consumer group."""
    return may_commit(config.group)


def may_commit(group: str) -> str:
    """The ACL on a group whose offsets are read and committed."""
    return f"Read on group {group}"


def may_publish(transactional_id: str) -> str:
    """The ACL on one transactional id."""
    return f"Write on transactional id {transactional_id}"


def on_transactional_ids(config: StreamConfig) -> str:
    """The ACL on the transactional ids: one for each instance, made of group and instance id."""
    return f"Write on transactional ids that start with {config.group}-"


def acls_of_stream(config: StreamConfig, topics: Iterable[str] = ()) -> Callable[[KafkaError], str]:
    """Names the ACLs that the broker denied, for a translator of kafka-python's errors.

    Args:
        config: names the resources.
        topics: of the stream, those that requests are about, for an error that names none.
    """
    return acls_of(topic_operations(config), on_group(config), on_transactional_ids(config), topics)


def acls_of(
    operations: Mapping[str, str], group: str, transactional_ids: str, topics: Iterable[str] = ()
) -> Callable[[KafkaError], str]:
    """As `acls_of_stream`, for whoever publishes in transactions with a group's offsets.

    Args:
        operations: what is needed on each topic, as kafka-python spells it.
        group: the ACL on the group, as Kafka's tools spell it.
        transactional_ids: likewise.
        topics: those that requests are about, for an error that names none.
    """

    def missing(error: KafkaError) -> str:
        if isinstance(error, kafka_errors.TopicAuthorizationFailedError):
            named = [topic for topic in operations if any(_names(value, topic) for value in error.args)]
            return ", ".join(spell(operations[topic], topic) for topic in named or topics)
        if isinstance(error, kafka_errors.GroupAuthorizationFailedError):
            return group
        if isinstance(error, kafka_errors.TransactionalIdAuthorizationFailedError):
            return transactional_ids
        return "what we ask for"

    return missing


def denied(*acls: str) -> NotAuthorizedError:
    """Our error for acls that are missing."""
    return NotAuthorizedError(f"the broker denies {', '.join(acls)}: {GRANT}")


def _names(value: object, topic: str) -> bool:
    """Whether an error is about a topic: kafka-python gives it the name, or a set of names."""
    return value == topic or (isinstance(value, set | frozenset) and topic in value)
