"""`prefstream topics create` on a broker: what it makes and leaves, and what others say where topics are missing."""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from kafka.admin import ConfigResource, ConfigResourceType
from typer.testing import CliRunner

from prefstream.consumer.cli import app
from prefstream.consumer.client.acl import board_operations
from prefstream.consumer.client.clients import admin_client
from prefstream.consumer.client.topic_creation import DEAD_LETTER_RETENTION_MS
from prefstream.consumer.client.topics import describe_topics, require_topics
from prefstream.consumer.config import TOPIC_FIELDS, StreamConfig
from prefstream.consumer.errors import TopicMissingError
from tests.conftest import Kafka
from tests.support.streams import wait_until


@pytest.fixture
def absent(kafka: Kafka) -> StreamConfig:
    """A configuration whose topics nobody has made."""
    name = uuid.uuid4().hex[:12]
    return StreamConfig.load(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=name,
        battles_topic=f"{name}.battles",
        preferences_topic=f"{name}.preferences",
        dead_letters_topic=f"{name}.dead-letters",
        review_topic=f"{name}.review",
        shadow_topic=f"{name}.shadow",
        votes_topic=f"{name}.votes",
        votes_dead_letters_topic=f"{name}.votes.dead-letters",
        panels_topic=f"{name}.panels",
    )


@pytest.fixture
def settings_file(absent: StreamConfig, tmp_path: Path) -> Path:
    path = tmp_path / "prefstream.yaml"
    names = ("bootstrap_servers", "group_id", *TOPIC_FIELDS)
    path.write_text(yaml.safe_dump({name: getattr(absent, name) for name in names}))
    return path


def partitions(config: StreamConfig) -> list[int]:
    """Of each topic, in the order of the settings; 0 where there is none of that name."""
    with admin_client(config) as admin:
        names = [getattr(config, field) for field in TOPIC_FIELDS]
        return [len(topic.partitions) for topic in describe_topics(admin, names)]


def setting(config: StreamConfig, topic: str, name: str) -> str:
    with admin_client(config) as admin:
        described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
    return str(described["topic"][topic][name]["value"])


def create(file: Path, *arguments: str) -> tuple[int, list[str], str]:
    result = CliRunner().invoke(app, ["topics", "create", "--config", str(file), *arguments], catch_exceptions=True)
    return result.exit_code, result.stdout.splitlines(), str(result.exception or "")


def test_missing_topics_are_made_by_their_names_in_the_settings(absent: StreamConfig, settings_file: Path) -> None:
    code, lines, _ = create(settings_file, "--partitions", "5")
    assert code == 0
    assert lines == [
        f"{absent.battles_topic}: created, 5 partitions, replication 1",
        f"{absent.preferences_topic}: created, 5 partitions, replication 1",
        f"{absent.dead_letters_topic}: created, 3 partitions, replication 1, retention.ms 2592000000",
        f"{absent.votes_topic}: created, 3 partitions, replication 1, retention.ms 31536000000",
        f"{absent.votes_dead_letters_topic}: created, 3 partitions, replication 1, retention.ms 2592000000",
        f"{absent.panels_topic}: created, 1 partition, replication 1, cleanup.policy compact",
        f"{absent.review_topic}: created, 3 partitions, replication 1, retention.ms 2592000000",
    ]
    require_topics(absent)
    require_topics(absent, board_operations(absent))
    assert partitions(absent) == [5, 5, 3, 3, 0, 3, 3, 1]
    assert setting(absent, absent.dead_letters_topic, "retention.ms") == str(DEAD_LETTER_RETENTION_MS)


def test_what_exists_is_told_and_left_as_it_is(absent: StreamConfig, settings_file: Path) -> None:
    with admin_client(absent) as admin:
        admin.create_topics({absent.preferences_topic: {"num_partitions": 1}}, wait_for_metadata=True)
    code, lines, _ = create(settings_file, "--partitions", "2")
    assert code == 0
    assert (
        lines[1]
        == f"{absent.preferences_topic}: exists, left as it is, 1 partition, replication 1 (asked for: 2 partitions)"
    )
    assert partitions(absent) == [2, 1, 2, 2, 0, 2, 2, 1]
    code, lines, _ = create(settings_file)
    assert code == 0
    assert all("exists, left as it is" in line for line in lines)
    assert "asked for" not in "".join(lines)


def test_a_dry_run_makes_nothing_and_is_refused_like_the_real_thing(absent: StreamConfig, settings_file: Path) -> None:
    code, lines, _ = create(settings_file, "--dry-run")
    assert code == 0
    assert all("would be created, " in line for line in lines)
    assert not any(partitions(absent))
    for arguments in ([], ["--dry-run"]):
        code, _, error = create(settings_file, "--replication-factor", "9", *arguments)
        assert code != 0
        assert f"the broker does not make topic {absent.battles_topic}: " in error
        assert "replica" in error.lower()
    assert not any(partitions(absent))


def test_no_review_topic_is_made_where_none_is_named(absent: StreamConfig, settings_file: Path) -> None:
    settings_file.write_text(yaml.safe_dump(yaml.safe_load(settings_file.read_text()) | {"review_topic": None}))
    code, lines, _ = create(settings_file)
    assert code == 0
    assert not any(line.startswith(f"{absent.review_topic}:") for line in lines)
    assert partitions(absent)[TOPIC_FIELDS.index("review_topic")] == 0


def test_the_topic_of_a_shadow_is_made_where_it_is_asked_for(absent: StreamConfig, settings_file: Path) -> None:
    """As wide as the preferences that it is held against, and as long-lived."""
    shadow = absent.model_copy(update={"shadow": True})
    assert create(settings_file, "--partitions", "5")[0] == 0
    with pytest.raises(TopicMissingError, match=re.escape(f"no topic {absent.shadow_topic} at")) as fault:
        require_topics(shadow)
    assert str(fault.value).endswith(" --shadow")
    code, lines, _ = create(settings_file, "--partitions", "5", "--shadow")
    assert (code, lines[-1]) == (0, f"{absent.shadow_topic}: created, 5 partitions, replication 1")
    require_topics(shadow)


def test_the_error_about_missing_topics_holds_the_command_that_mends_it(absent: StreamConfig) -> None:
    with pytest.raises(TopicMissingError, match=re.escape(absent.battles_topic)) as fault:
        require_topics(absent)
    command, *words = shlex.split(str(fault.value).partition("; create it: ")[2])
    assert command == "prefstream"
    assert CliRunner().invoke(app, words).exit_code == 0
    require_topics(absent)


def test_commands_on_one_topic_find_it_in_the_settings(
    stream_config: Callable[..., StreamConfig], tmp_path: Path
) -> None:
    """By the file that `run` takes, too."""
    config = stream_config()
    file = tmp_path / "prefstream.yaml"
    names = ("bootstrap_servers", "battles_topic", "dead_letters_topic", "linger_ms")
    file.write_text(yaml.safe_dump({name: getattr(config, name) for name in names}))
    battles = tmp_path / "battles.jsonl"
    battles.write_text('{"id": "1", "prompt": "p", "response_a": "a", "response_b": "b"}\n')
    with admin_client(config) as admin:  # a broker knows of a topic a moment after who made it
        wait_until(lambda: config.battles_topic in admin.list_topics(), what="the topic")
    sent = CliRunner().invoke(app, ["replay", str(battles), "--config", str(file)])
    assert f"1 records delivered to {config.battles_topic}" in sent.stderr, sent.exception
    listed = CliRunner().invoke(app, ["dead-letters", "list", "--config", str(file)])
    assert listed.exit_code == 0, listed.exception
