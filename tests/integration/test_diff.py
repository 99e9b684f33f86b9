"""`prefstream diff` on topics: serving against shadow, with votes, and what is gone or no preference is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from typer.testing import CliRunner, Result

from prefstream.consumer.cli import app
from prefstream.consumer.client.topics import wait_until_led
from prefstream.consumer.config import StreamConfig
from prefstream.schemas import KafkaSource, encode_preference
from prefstream.schemas.vote import Vote
from prefstream.schemas.wire import encode_vote
from prefstream.scoring.comparison.results import AnswersDiff
from tests.support.answers import make_preference
from tests.support.judged import make_probabilities

BATTLES = 40


@pytest.fixture
def config(stream_config: Callable[..., StreamConfig]) -> StreamConfig:
    """Topics of one's own, with two partitions each."""
    return stream_config(partitions=2)


@pytest.fixture
def topics(config: StreamConfig, admin: KafkaAdminClient) -> dict[str, str]:
    """A topic of a shadow's answers, and one of votes, beside the stream's own."""
    made = {name: f"{config.group_id}.{name}" for name in ("shadow", "votes")}
    admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1} for topic in made.values()})
    wait_until_led(admin, list(made.values()))
    return made


def send(config: StreamConfig, topic: str, values: Iterable[bytes | None]) -> None:
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers)) as producer:
        for number, value in enumerate(values):
            producer.send(topic, value, key=b"k", partition=number % 2)
        producer.flush()


def answers(config: StreamConfig, seed: int, chosen: Iterable[int]) -> list[bytes]:
    said = make_probabilities(BATTLES, seed=seed)
    return [
        encode_preference(
            make_preference(
                number,
                said[number],
                panel=str(seed) * 64,
                source=KafkaSource(topic=config.battles_topic, partition=number % 2, offset=number // 2),
            )
        )
        for number in chosen
    ]


def diff(config: StreamConfig, *arguments: str) -> Result:
    return CliRunner().invoke(
        app,
        ["diff", *arguments, "--bootstrap-servers", config.bootstrap_servers, "--bootstrap", "20"],
        catch_exceptions=False,
    )


def test_serving_and_shadow_are_joined_by_the_battles_place_and_held_against_votes(
    config: StreamConfig, topics: dict[str, str], tmp_path: Path
) -> None:
    send(config, config.preferences_topic, answers(config, 0, range(BATTLES)))
    # The shadow answers a part, one of it twice; and what is no preference costs no other record.
    send(config, topics["shadow"], [*answers(config, 1, [*range(0, BATTLES, 2), 4]), b"zqprompt", None])
    cast = [Vote(id=f"battle-{number}", winner="tie", voter="v") for number in (2, 4, 4, 5)]
    send(config, topics["votes"], [*map(encode_vote, cast), b"{}"])
    out = tmp_path / "d.json"
    result = diff(
        config,
        f"{config.preferences_topic}@earliest..latest",
        f"{topics['shadow']}@earliest..latest",
        *("--votes", topics["votes"], "--json", str(out)),
    )
    assert result.exit_code == 3, result.output
    assert "zqprompt" not in result.output
    found = AnswersDiff.model_validate_json(out.read_bytes())
    assert (found.join.by, found.join.joined, found.join.repeated_right) == ("source", BATTLES // 2, 1)
    assert (found.join.only_left, found.join.only_right) == (BATTLES // 2, 0)
    assert (found.left.answers, found.right.rejected) == (BATTLES, 2)
    assert {panel.hash[0] for panel in (*found.left.panels, *found.right.panels)} == {"0", "1"}
    assert found.voted is not None
    assert (found.voted.votes, found.voted.battles) == (2, 2)
    first = found.most_changed[0]
    assert first.left_source == first.right_source
    assert isinstance(first.left_source, KafkaSource)


def test_a_range_is_a_part_and_a_file_may_stand_for_a_topic(
    config: StreamConfig, topics: dict[str, str], tmp_path: Path
) -> None:
    send(config, config.preferences_topic, answers(config, 0, range(BATTLES)))
    file = tmp_path / "rescored.jsonl"
    file.write_bytes(b"\n".join(answers(config, 1, range(BATTLES))))
    out = tmp_path / "d.json"
    result = diff(config, f"{config.preferences_topic}@0:5..0:9", str(file), "--json", str(out))
    assert result.exit_code == 0, result.output
    found = AnswersDiff.model_validate_json(out.read_bytes())
    assert (found.left.answers, found.join.joined, found.join.only_right) == (4, 4, BATTLES - 4)
