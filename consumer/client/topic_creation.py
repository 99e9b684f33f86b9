"""Makes the stream's topics, each with what its role asks for; those that exist are left as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kafka import errors as kafka_errors
from kafka.errors import for_code

from prefstream.consumer.client.clients import admin_client, patiently
from prefstream.consumer.client.kafka_errors import KafkaError, Meaning, Translator, is_of, is_retriable
from prefstream.consumer.client.topics import DescribedTopic, describe_topics, wait_until_led
from prefstream.consumer.config import TopicNames
from prefstream.consumer.errors import BrokerUnreachableError, NotAuthorizedError, UsageError

DEFAULT_PARTITIONS: Final = 6
"""So many processes can share the work; more can be added later, but not taken away."""

DEAD_LETTER_PARTITIONS: Final = 3
"""Dead letters are few, and people read them."""

DEAD_LETTER_RETENTION_MS: Final = 30 * 24 * 3_600_000
"""People read them, and send them back once the cause is mended: that may take weeks."""

VOTE_PARTITIONS: Final = 3
"""Votes are few beside battles, and one process reads them all."""

VOTE_RETENTION_MS: Final = 365 * 24 * 3_600_000
"""Nothing can make a vote again, and each has a hundred bytes: a board that is built anew begins where they begin."""

REVIEW_PARTITIONS: Final = 3
"""People read them: there are no more than people can read."""

REVIEW_RETENTION_MS: Final = 30 * 24 * 3_600_000
"""As for dead letters: a person may look at them after weeks."""

PANELS_PARTITIONS: Final = 1
"""A record or two for each group, ever."""

REPLICAS: Final = 3
"""One broker may be down for maintenance, and another one break."""

_IN_SYNC: Final = {"min.insync.replicas": "2"}
"""What counts as written survives the loss of a broker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTopic:
    """A topic as it is to be made.

    Attributes:
        name: its name.
        partitions: how many.
        replicas: copies of each partition, its leader among them.
        settings: those that differ from the cluster's defaults, as Kafka spells them.
    """

    name: str
    partitions: int
    replicas: int
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a topic.

    Attributes:
        wanted: as it was to be made.
        found: what was there already, and was left as it is; None where there was nothing.
    """

    wanted: NewTopic
    found: DescribedTopic | None = None


def make_topics(
    names: TopicNames,
    *,
    partitions: int = DEFAULT_PARTITIONS,
    replicas: int | None = None,
    shadow: bool = False,
    dry_run: bool = False,
) -> list[Made]:
    """Make the stream's topics where they are missing.

    Args:
        names: the cluster, and what the topics are called.
        partitions: of battles and preferences.
        replicas: copies of each partition; by default three, or one for each broker where there are fewer.
        shadow: a shadow's, too.
        dry_run: let the brokers check everything and make nothing.

    Raises:
        UsageError: the brokers don't make a topic as asked.
        NotAuthorizedError: we may not make topics.
        BrokerUnreachableError: no broker answered.
    """
    asking = Translator(f"asking {names.bootstrap_servers} for the topics", otherwise=BrokerUnreachableError)
    with admin_client(names) as admin:
        with asking.translating():
            brokers = len(patiently(admin.describe_cluster)["brokers"])
            replicas = replicas or min(REPLICAS, brokers)
            plan = plan_topics(names, partitions=partitions, replicas=replicas, shadow=shadow)
            described = {topic.name: topic for topic in describe_topics(admin, [topic.name for topic in plan])}
        # Whether one that is hidden exists is told by the attempt to make it.
        missing = [topic for topic in plan if described[topic.name].absent or described[topic.name].hidden]
        exist = _create(admin, names, missing, dry_run=dry_run) if missing else set()
        made = [topic.name for topic in missing if topic.name not in exist]
        if made and not dry_run:
            wait_until_led(admin, made)
    return [Made(topic, None if topic.name in made else described[topic.name]) for topic in plan]


def plan_topics(names: TopicNames, *, partitions: int, replicas: int, shadow: bool = False) -> list[NewTopic]:
    """The stream's topics as they are to be made, with a shadow's or without."""
    in_sync = _IN_SYNC if replicas >= REPLICAS else {}

    def many(name: str) -> NewTopic:
        return NewTopic(name=name, partitions=partitions, replicas=replicas, settings=in_sync)

    def few(name: str, most: int, retention_ms: int) -> NewTopic:
        settings = in_sync | {"retention.ms": str(retention_ms)}
        return NewTopic(name=name, partitions=min(partitions, most), replicas=replicas, settings=settings)

    plan = [
        many(names.battles_topic),
        many(names.preferences_topic),
        few(names.dead_letters_topic, DEAD_LETTER_PARTITIONS, DEAD_LETTER_RETENTION_MS),
        few(names.votes_topic, VOTE_PARTITIONS, VOTE_RETENTION_MS),
        few(names.votes_dead_letters_topic, DEAD_LETTER_PARTITIONS, DEAD_LETTER_RETENTION_MS),
    ]
    compacted = in_sync | {"cleanup.policy": "compact"}
    plan.append(NewTopic(name=names.panels_topic, partitions=PANELS_PARTITIONS, replicas=replicas, settings=compacted))
    if names.review_topic:
        plan.append(few(names.review_topic, REVIEW_PARTITIONS, REVIEW_RETENTION_MS))
    if shadow:
        plan.append(many(names.shadow_topic))
    return plan


def _create(admin: Any, names: TopicNames, topics: list[NewTopic], *, dry_run: bool) -> set[str]:
    """Ask for topics.

    Returns:
        Those that somebody else made meanwhile, or that we could not see.
    """
    wanted = {
        topic.name: {
            "num_partitions": topic.partitions,
            "replication_factor": topic.replicas,
            "configs": dict(topic.settings),
        }
        for topic in topics
    }
    making = Translator(f"making topics at {names.bootstrap_servers}", otherwise=BrokerUnreachableError)
    with making.translating():
        answer = patiently(lambda: admin.create_topics(wanted, validate_only=dry_run, raise_errors=False))
    refused = {topic["name"]: topic for topic in answer["topics"] if topic["error_code"]}
    exist = {name for name, topic in refused.items() if for_code(topic["error_code"]) is _EXISTS}
    for name in wanted:
        if name in refused and name not in exist:
            _refuse(name, refused[name], making)
    return exist


_EXISTS: Final[type[KafkaError]] = kafka_errors.TopicAlreadyExistsError


def _refuse(name: str, answer: Mapping[str, Any], making: Translator) -> None:
    kind: type[KafkaError] = for_code(answer["error_code"])
    if is_of(kind, Meaning.DENIED):
        raise NotAuthorizedError(f"the broker denies Create on topic {name}: grant that and Describe to this user")
    error = kind()
    if is_retriable(error):
        raise making.error(error)
    # The broker's own words speak of its settings and of what we asked for: no record is in them.
    why = answer["error_message"] or kind.__name__
    raise UsageError(f"the broker does not make topic {name}: {why}")
