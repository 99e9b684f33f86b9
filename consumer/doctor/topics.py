"""Checks of the topics: there, led, in sync, and set so that the stream can keep its promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prefstream.consumer.client.acl import on_topic, topic_operations
from prefstream.consumer.client.topics import DescribedTopic, command_to_create
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor.finding import Finding, Problem, fail, judged, ok, plural


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTopic(DescribedTopic):
    """One of the stream's topics, or of the board's.

    Attributes:
        role: what is done with it.
        settings: its settings; empty where we may not see them.
    """

    role: str
    settings: Mapping[str, str] = field(default_factory=dict)

    def number(self, setting: str) -> int | None:
        """A setting that is a number; None where we may not see it."""
        return int(self.settings[setting]) if setting in self.settings else None


def roles_of(config: StreamConfig) -> dict[str, str]:
    """What is done with each topic: with the stream's own, then with those that only the board and votes need."""
    stream = {name: "read" if needed == "READ" else "written" for name, needed in topic_operations(config).items()}
    return stream | {
        config.votes_topic: "read by the board",
        config.votes_dead_letters_topic: "written by the board",
    }


def check_topic(topic: StreamTopic, topics: Sequence[StreamTopic], brokers: int, config: StreamConfig) -> Finding:
    """Whether a topic is there, led and in sync, with settings that keep the promises.

    Args:
        topic: the one to check.
        topics: all of the stream.
        brokers: how many there are.
        config: names the topics.
    """
    check = f"topic {topic.name}"
    if topic.name not in topic_operations(config) and (topic.absent or topic.hidden):
        why = "does not exist" if topic.absent else "not for this user to see"
        return ok(check, f"{topic.role}: {why}; votes and the board need it, run does not")
    if topic.hidden:
        return fail(check, "the broker denies seeing it", f"grant {on_topic(config, topic.name)}")
    if topic.error is not None and not topic.absent:
        return fail(check, f"can't be used now: {topic.error.__name__}", "try again; look at the brokers' logs")
    if topic.absent:
        return fail(check, "does not exist", command_to_create(config))
    replicas = min(len(partition["replica_nodes"]) for partition in topic.partitions)
    found = f"{topic.role}, {plural(len(topic.partitions), 'partition')}, replication {replicas}"
    shown = ("cleanup.policy", "min.insync.replicas", "max.message.bytes", "retention.ms")
    if topic.settings:
        found += "".join(f", {name} {topic.settings[name]}" for name in shown if name in topic.settings)
    else:
        found += ", settings not visible (DescribeConfigs)"
    problems = [*_replica_problems(topic, brokers, replicas), *_setting_problems(topic, topics, config)]
    return judged(check, found, problems)


def _replica_problems(topic: StreamTopic, brokers: int, replicas: int) -> Iterator[Problem]:
    leaderless = [partition["partition_index"] for partition in topic.partitions if partition["leader_id"] < 0]
    if leaderless:
        yield Problem("fail", f"no leader for partitions {leaderless}", "bring their brokers back")
    in_sync = min(len(partition["isr_nodes"]) for partition in topic.partitions)
    needed = topic.number("min.insync.replicas")
    if needed is not None and in_sync < needed:
        remedy = "bring the missing brokers back" if needed <= replicas else "lower min.insync.replicas"
        yield Problem("fail", f"only {in_sync} replicas are in sync, {needed} are needed to write", remedy)
    elif in_sync < replicas:
        yield Problem("warn", f"only {in_sync} of {replicas} replicas are in sync", "bring the missing brokers back")
    if brokers > 1:
        if replicas == 1:
            remedy = f"give {topic.name} a replication factor of {min(3, brokers)}"
            yield Problem("warn", "one broker's disk holds all of it", remedy)
        elif needed == 1:
            what = "min.insync.replicas 1: what one broker alone has confirmed can be lost with it"
            yield Problem("warn", what, f"set min.insync.replicas to 2 on {topic.name}")


def _setting_problems(topic: StreamTopic, topics: Sequence[StreamTopic], config: StreamConfig) -> Iterator[Problem]:
    compacted = "compact" in topic.settings.get("cleanup.policy", "")
    if compacted and topic.name in {config.dead_letters_topic, config.votes_dead_letters_topic}:
        remedy = f"set cleanup.policy to delete on {topic.name}"
        yield Problem("fail", "a compacted topic refuses dead letters without a key and drops older ones", remedy)
    elif compacted:
        what = "compaction drops all but the last record of a key, read or not"
        if topic.name in {config.preferences_topic, config.review_topic, config.shadow_topic}:
            what = "compaction keeps one answer per battle id: of battles that share an id only the last one's stays"
        if topic.name == config.votes_topic:
            what = "compaction keeps one vote per battle, the last, whoever else voted on it"
        yield Problem("warn", what, f"set cleanup.policy to delete on {topic.name}")
    yield from _size_problems(topic, topics, config)


def _size_problems(topic: StreamTopic, topics: Sequence[StreamTopic], config: StreamConfig) -> Iterator[Problem]:
    """Whether a topic takes whatever comes to it from another."""
    lost = {
        config.dead_letters_topic: (config.battles_topic, "values of large dead letters will be left out"),
        config.votes_dead_letters_topic: (config.votes_topic, "values of large dead letters will be left out"),
        config.review_topic: (config.preferences_topic, "large preferences will not be chosen for review"),
    }
    if topic.name not in lost:
        return
    origin, loss = lost[topic.name]
    largest, needed = topic.number("max.message.bytes"), _largest(origin, topics)
    if largest is not None and needed is not None and largest < needed:
        what = f"takes smaller messages than {origin}: {loss}"
        yield Problem("warn", what, f"set max.message.bytes to at least {needed} on {topic.name}")


def _largest(name: str, topics: Sequence[StreamTopic]) -> int | None:
    return next((topic.number("max.message.bytes") for topic in topics if topic.name == name), None)
