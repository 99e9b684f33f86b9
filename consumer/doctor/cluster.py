"""Checks of the cluster: broker, topics, group, ACLs, transactions. They write nothing and join nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from kafka.admin import ConfigResource, ConfigResourceType

from prefstream.consumer.broker_bounds import outside_bounds
from prefstream.consumer.client.acl import on_group, on_topic, on_transactional_ids, topic_operations
from prefstream.consumer.client.clients import PATIENCE_S, broker_settings, make_admin, make_producer, patiently
from prefstream.consumer.client.kafka_errors import KafkaError, KafkaTimeoutError, Meaning, meaning_of
from prefstream.consumer.client.topics import describe_topics
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor.finding import Finding, Problem, attempt, fail, judged, ok, plural, skipped, warn
from prefstream.consumer.doctor.group import check_group, describe_group, may_join_group
from prefstream.consumer.doctor.topics import StreamTopic, check_topic, roles_of
from prefstream.consumer.errors import StreamError

OLDEST_BROKER: Final = (2, 5)
"""The first whose transactions fence a consumer's stale generation (KIP-447)."""

SHORTEST_RETENTION_MS: Final = 3_600_000
"""A stop that waits for a person may last an hour, until that one was called, has looked and has started it again."""

CHECKS: Final = ("topics", "time-outs", "retention", "group", "permissions", "transactions")
"""What can't be looked at without a broker."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the other checks build on.

    Attributes:
        admin: a KafkaAdminClient.
        brokers: their ids.
        topics: those of the stream.
        settings: of one broker; empty where we may not see them.
        votes: the topics that votes and the board alone need.
    """

    admin: Any
    brokers: tuple[int, ...]
    topics: tuple[StreamTopic, ...]
    settings: Mapping[str, str]
    votes: tuple[StreamTopic, ...] = ()


def examine_cluster(config: StreamConfig) -> Iterator[Finding]:
    """Every check that needs a broker; without one they are skipped."""
    try:
        admin = make_admin(config)
    except StreamError as error:
        yield fail("broker", str(error), "")  # the message ends with what to do
        yield from (skipped(check, "no broker") for check in CHECKS)
        return
    with closing(admin):
        yield attempt("broker", lambda: check_broker(admin, config))
        cluster: Cluster | None = None

        def describe() -> Finding:
            nonlocal cluster
            cluster = describe_cluster(admin, config)
            return ok("topics", "")

        described = attempt("topics", describe)
        if cluster is None:
            yield described
            yield from (skipped(check, "the topics can't be described") for check in CHECKS[1:])
            return
        yield from _examine(cluster, config)


def _examine(cluster: Cluster, config: StreamConfig) -> Iterator[Finding]:
    topics = cluster.topics + cluster.votes
    for topic in topics:
        check = partial(check_topic, topic, topics, len(cluster.brokers), config)
        yield attempt(f"topic {topic.name}", check)
    yield attempt("time-outs", lambda: check_time_outs(cluster, config))
    yield attempt("retention", lambda: check_retention(cluster, config))
    may_join: bool | None = None
    try:
        group = describe_group(cluster.admin, config)
        may_join = may_join_group(cluster.admin, config)
    except KafkaError as error:
        if meaning_of(error) is Meaning.DENIED:
            may_join = False
            yield skipped("group", f"the broker denies looking at the group {config.group}")
        else:
            yield fail("group", f"can't be described: {type(error).__name__}", "look at the brokers' logs")
    except ValueError:  # kafka-python's, of a member whose client writes its assignment in another way
        what = f"a member of {config.group} is of another client, whose assignment can't be read"
        yield warn("group", what, "end the other members, or choose another --group-id")
    else:
        yield attempt("group", lambda: check_group(group, cluster.admin, cluster.topics, config))
    yield attempt("permissions", lambda: check_permissions(cluster, config, may_join_group=may_join))
    yield attempt("transactions", lambda: check_transactions(config))


def check_broker(admin: Any, config: StreamConfig) -> Finding:
    """Who answers, and whether it can do exactly-once."""
    cluster = patiently(admin.describe_cluster)
    brokers = cluster["brokers"]
    version = tuple(admin.get_broker_version_data(brokers[0]["broker_id"]).broker_version)
    found = (
        f"{config.bootstrap_servers} ({config.security_protocol}): Kafka {'.'.join(map(str, version))} or newer, "
        f"{plural(len(brokers), 'broker')}, cluster {cluster['cluster_id']}"
    )
    if version < OLDEST_BROKER:
        return fail("broker", found, "exactly-once needs Kafka 2.5 or newer")
    return ok("broker", found)


def describe_cluster(admin: Any, config: StreamConfig) -> Cluster:
    """Ask for everything about the topics that the broker tells."""
    roles = roles_of(config)
    brokers = tuple(broker["broker_id"] for broker in patiently(admin.describe_cluster)["brokers"])
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in roles]
    settings: Mapping[str, Any] = {}
    with suppress(KafkaError):  # needs an ACL that the stream itself does not need
        settings = admin.describe_configs(resources, config_filter="all")
    topics = [
        StreamTopic(
            name=topic.name,
            error=topic.error,
            partitions=topic.partitions,
            operations=topic.operations,
            role=roles[topic.name],
            settings=_values(settings.get("topic", {}).get(topic.name, {})),
        )
        for topic in describe_topics(admin, roles)
    ]
    needed = topic_operations(config)
    return Cluster(
        admin,
        brokers,
        tuple(topic for topic in topics if topic.name in needed),
        broker_settings(admin),
        tuple(topic for topic in topics if topic.name not in needed),
    )


def _values(described: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: setting["value"] for name, setting in described.items() if setting["value"] is not None}


def check_time_outs(cluster: Cluster, config: StreamConfig) -> Finding:
    """Whether the broker takes the stream's time-outs."""
    found = (
        f"session {config.session_timeout_ms} ms, poll {config.max_poll_interval_ms} ms, "
        f"transaction {config.transaction_timeout_ms} ms"
    )
    problems = [
        Problem("fail", line, f"change {line.split()[0]}, or the brokers' bound")
        for line in outside_bounds(config, cluster.settings)
    ]
    if not cluster.settings:
        found += "; the broker's bounds are not visible (DescribeConfigs)"
    return judged("time-outs", found, problems)


def check_retention(cluster: Cluster, config: StreamConfig) -> Finding:
    """Whether the group's offsets live as long as the battles that they are for."""
    topic = next(topic for topic in cluster.topics if topic.name == config.battles_topic)
    if topic.error is not None:
        return skipped("retention", f"no topic {topic.name} to look at")
    battles = topic.number("retention.ms")
    minutes = cluster.settings.get("offsets.retention.minutes")
    found, problems = [], []
    if battles is not None:
        found.append(f"battles are kept {_duration(battles)}")
        if 0 <= battles < SHORTEST_RETENTION_MS:
            problems.append(
                Problem(
                    "warn",
                    f"what is not answered within {_duration(battles).removeprefix('for ')} is deleted unread",
                    f"raise retention.ms of {topic.name} to more than the longest outage that you want to survive",
                )
            )
    if minutes is not None:
        found.append(f"offsets of a group without members {_duration(int(minutes) * 60_000)}")
    if battles is None or minutes is None:
        found.append("the rest is not visible (DescribeConfigs)" if found else "not visible (DescribeConfigs)")
    elif not 0 <= battles <= int(minutes) * 60_000:
        problems.append(
            Problem(
                "warn",
                "a group that is away for longer forgets where it was while its battles are still there",
                f"raise offsets.retention.minutes at the brokers, or lower retention.ms of {topic.name}; else "
                f"on_lost_offsets ({config.on_lost_offsets}) decides what is answered again",
            )
        )
    return judged("retention", ", ".join(found), problems)


def _duration(ms: int) -> str:
    """As people say it."""
    if ms < 0:
        return "for ever"
    for unit, length in ((" days", 86_400_000), (" h", 3_600_000), (" min", 60_000), (" s", 1_000)):
        if ms >= length:
            return f"for {ms / length:.3g}{unit}".replace("for 1 days", "for 1 day")
    return f"for {ms} ms"


def check_permissions(cluster: Cluster, config: StreamConfig, *, may_join_group: bool | None) -> Finding:
    """What the broker says we may do, against what the stream needs.

    Args:
        cluster: tells what we may do with each topic.
        config: names topics and group.
        may_join_group: None where the broker does not say.
    """
    needed = topic_operations(config)
    rights = {
        on_topic(config, topic.name): topic.allows(needed[topic.name]) for topic in cluster.topics if not topic.absent
    }
    rights[on_group(config)] = may_join_group
    granted, denied, unknown = (
        [right for right, held in rights.items() if held is state] for state in (True, False, None)
    )
    found = ", ".join(granted) or "none that the broker tells of"
    if unknown:
        found += f"; the broker does not say: {', '.join(unknown)}"
    return judged("permissions", found, [Problem("fail", f"no {right}", f"grant {right}") for right in denied])


def check_transactions(config: StreamConfig) -> Finding:
    """Whether we may run transactions: opens a producer with an id beside the real ones, which it must not fence."""
    check = "transactions"
    transactional_id = f"{config.group}-~doctor"  # no instance can have this name: ~ is not allowed there
    producer = make_producer(
        config,
        transactional_id=transactional_id,
        transaction_timeout_ms=config.transaction_timeout_ms,
        max_block_ms=int(PATIENCE_S * 1000),
    )
    with closing(producer):
        try:
            producer.init_transactions()
        except KafkaError as error:
            return _judge_transactions(error, transactional_id, config)
    return ok(check, f"the broker takes the transactional id {transactional_id}")


def _judge_transactions(error: KafkaError, transactional_id: str, config: StreamConfig) -> Finding:
    """What it means that a transactional id could not be taken over."""
    check, meaning = "transactions", meaning_of(error)
    if meaning is Meaning.DENIED:
        remedy = f"grant {on_transactional_ids(config)}"
        if config.instance_id is not None:
            found = f"denied for {transactional_id}; {config.group}-{config.instance_id} may be allowed"
            return warn(check, found, remedy)
        return fail(check, f"denied for {transactional_id} ({type(error).__name__})", remedy)
    if isinstance(error, KafkaTimeoutError):
        found = f"no transaction coordinator answered within {PATIENCE_S:.0f} s"
        remedy = "look at __transaction_state: its replication may need more brokers than there are"
        return fail(check, found, remedy)
    # kafka-python names this one in the text of a plain KafkaError.
    if "InvalidTransactionTimeoutError" not in str(error):
        raise error
    found = f"the broker does not take a transaction_timeout_ms of {config.transaction_timeout_ms}"
    return fail(check, found, "lower it, or raise transaction.max.timeout.ms at the broker")
