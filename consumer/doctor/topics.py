"""Checks of the three topics: there, led, in sync, and set so that the stream can keep its promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prefstream.consumer.client.acl import on_topic
from prefstream.consumer.client.topics import DescribedTopic, command_to_create
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor.finding import Finding, Problem, fail, judged, plural


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTopic(DescribedTopic):
    """One of the stream's topics.

    Attributes:
        role: what the stream does with it.
        settings: its settings; empty where we may not see them.
    """

    role: str
    settings: Mapping[str, str] = field(default_factory=dict)

    def number(self, setting: str) -> int | None:
        """A setting that is a number; None where we may not see it."""
        return int(self.settings[setting]) if setting in self.settings else None


def check_topic(topic: StreamTopic, topics: Sequence[StreamTopic], brokers: int, config: StreamConfig) -> Finding:
    """Whether a topic is there, led and in sync, with settings that keep the promises.

    Args:
        topic: the one to check.
        topics: all of the stream.
        brokers: how many there are.
        config: names the topics.
    """
    check = f"topic {topic.name}"
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
    if compacted and topic.name == config.dead_letters_topic:
        remedy = f"set cleanup.policy to delete on {topic.name}"
        yield Problem("fail", "a compacted topic refuses dead letters without a key and drops older ones", remedy)
    elif compacted:
        what = "compaction drops all but the last record of a key, read or not"
        if topic.name == config.preferences_topic:
            what = "compaction keeps one answer per battle id: of battles that share an id only the last one's stays"
        yield Problem("warn", what, f"set cleanup.policy to delete on {topic.name}")
    if topic.name == config.dead_letters_topic:
        largest = topic.number("max.message.bytes")
        battles = next(t for t in topics if t.name == config.battles_topic).number("max.message.bytes")
        if largest is not None and battles is not None and largest < battles:
            what = f"takes smaller messages than {config.battles_topic}: values of large dead letters will be left out"
            yield Problem("warn", what, f"set max.message.bytes to at least {battles} on {topic.name}")
