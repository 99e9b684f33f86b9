"""Checks of the stream's group: its members, where it is, what of the topic is left for it, and what is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kafka.admin import MemberToRemove

from prefstream.consumer.broker_bounds import other_assignor
from prefstream.consumer.client.clients import patiently
from prefstream.consumer.client.kafka_errors import KafkaError, Meaning, meaning_of
from prefstream.consumer.client.offsets import Bounds, lag_by_partition, read_bounds, read_committed_offsets
from prefstream.consumer.client.protocols import TopicPartition
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor.finding import Finding, Problem, judged, plural
from prefstream.consumer.doctor.topics import StreamTopic
from prefstream.consumer.errors import OffsetsLostError, StreamError
from prefstream.consumer.stream.lost_offsets import find_starts

LOST: Final = "committed offsets were lost (expired, or deleted), though the group's answers are there"


def describe_group(admin: Any, config: StreamConfig) -> Mapping[str, Any]:
    """State and members of the stream's group."""
    described: Mapping[str, Any] = patiently(lambda: admin.describe_groups([config.group]))[config.group]
    return described


def may_join_group(admin: Any, config: StreamConfig) -> bool:
    """Whether we may join the stream's group.

    What we may do with a group is told once it exists. But who removes a member needs the same ACL as one who joins,
    and one that nobody can be, since a member's id ends with the broker's random part, does not miss it.
    """
    nobody = MemberToRemove(member_id="~doctor")
    try:
        patiently(lambda: admin.remove_group_members(config.group, [nobody]))
    except KafkaError as error:
        if meaning_of(error) is not Meaning.DENIED:
            raise
        return False
    return True


def check_group(group: Mapping[str, Any], admin: Any, topics: Sequence[StreamTopic], config: StreamConfig) -> Finding:
    """State, members and lag; whether what was committed is still on the topic, and whether it was lost itself.

    Args:
        group: as the broker describes it.
        admin: a KafkaAdminClient.
        topics: all of the stream.
        config: names group and topics.
    """
    check = f"group {config.group}"
    topic = next(topic for topic in topics if topic.name == config.battles_topic)
    state = "new" if group["group_state"] == "Dead" else str(group["group_state"]).lower()
    members = len(group["members"])
    found = f"{state}, {plural(members, 'member')}"
    problems = []
    if problem := other_assignor(config, group):
        what, _, remedy = problem.partition("; ")
        problems.append(Problem("fail", what, remedy))
    if topic.error is not None:
        return judged(check, f"{found}, lag unknown without {topic.name}", problems)
    committed = read_committed_offsets(admin, config.group, topic.name)
    bounds = read_bounds(admin, topic.topic_partitions())
    starts: Mapping[TopicPartition, int] = {}
    if all(each.error is None for each in topics):
        starts, lost = _find_starts(config, bounds)
        problems += lost
    if not committed:
        found += ", nothing committed"
        found += "" if starts or problems else ": starts at the beginning"
    found += f", {_lag({**starts, **committed}, bounds)}"
    gone = [p for p, at in committed.items() if p in bounds.ends and not bounds.begins[p] <= at <= bounds.ends[p]]
    if gone:
        where = ", ".join(
            f"{p.partition} ({committed[p]}, the topic has {bounds.begins[p]} to {bounds.ends[p]})" for p in gone
        )
        problems.append(
            Problem(
                "fail" if config.on_data_loss == "stop" else "warn",
                f"committed offsets are no longer on the topic: partition {where}",
                "find out what was lost, then start once with --on-data-loss earliest or latest",
            )
        )
    return judged(check, found, problems)


def _lag(known: Mapping[TopicPartition, int], bounds: Bounds) -> str:
    """What other tools call the lag, and how much of it can still be read."""
    lag = sum(lag_by_partition(known, bounds).values())
    deleted = sum(max(0, bounds.begins[p] - at) for p, at in known.items() if p in bounds.begins)
    if deleted:
        return f"lag {lag}: {lag - deleted} battles left, {deleted} deleted unread"
    return f"lag {lag} battles"


def _find_starts(config: StreamConfig, bounds: Bounds) -> tuple[dict[TopicPartition, int], list[Problem]]:
    """Where `run` begins in partitions whose committed offsets were lost, as it would find out itself."""
    answers_again = config.on_lost_offsets == "earliest"
    # Told to answer again, `run` does not look; what it will answer again is worth knowing before.
    looking = config.model_copy(update={"on_lost_offsets": "resume"}) if answers_again else config
    try:
        starts = find_starts(looking)
    except StreamError as error:
        if not answers_again:
            return {}, [Problem("fail", str(error), "")]  # the message ends with what to do
        lost = [f"{LOST}: run answers again what is on the topic (on_lost_offsets earliest)"]
        return {}, [Problem("warn", what, "") for what in lost if isinstance(error, OffsetsLostError)]
    if not starts:
        return {}, []
    where = ", ".join(f"{p.partition} at {max(at, bounds.begins[p])}" for p, at in sorted(starts.items()))
    if answers_again:
        twice = sum(max(0, at - bounds.begins[p]) for p, at in starts.items())
        what = f"{LOST}: run answers {twice} battles again (on_lost_offsets earliest)"
        return {}, [Problem("warn", what, "--on-lost-offsets resume goes on behind the answers")]
    return starts, [Problem("warn", f"{LOST}: run goes on behind them, in partition {where}", "")]
