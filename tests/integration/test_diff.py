"""`prefstream diff` on topics: serving against shadow, with votes, and what is gone or no preference is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from typer.testing import CliRunner, Result

from prefstream.consumer.cli import app
from prefstream.consumer.client.topics import wait_until_led
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import DataLossError, TopicMissingError, UsageError
from prefstream.schemas import KafkaSource, encode_preference
from prefstream.schemas.vote import Vote
from prefstream.schemas.wire import encode_vote
from prefstream.scoring.comparison.results import AnswersDiff, ReplayFound
from tests.support.answers import make_preference
from tests.support.features_judges import make_features_adapter
from tests.support.html_page import assert_alone
from tests.support.judged import make_probabilities
from tests.support.priors import prior_entry
from tests.support.streams import battle_events, produce, wait_until

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


def test_a_topic_of_votes_that_is_not_there_is_told_before_a_panel_is_loaded(
    config: StreamConfig, tmp_path: Path
) -> None:
    battles = tmp_path / "battles.jsonl"
    battles.write_bytes(b"\n".join(battle_events(3)))
    panels = [str(tmp_path / f"{name}.yaml") for name in ("missing", "too")]
    with pytest.raises(TopicMissingError, match="no topic voets"):
        diff(config, *panels, "--battles", str(battles), "--votes", "voets")
    with pytest.raises(UsageError, match="'yesterday' is no bound"):
        diff(config, *panels, "--battles", str(battles), "--votes", "votes@yesterday..latest")


# --- answers of then, asked for again ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judge of features."""
    return make_features_adapter(tmp_path_factory.mktemp("adapters") / "words")


@pytest.fixture
def panel(adapter: Path, tmp_path: Path) -> Path:
    """Judges that only count."""
    judges = [{"name": "words", "kind": "features", "adapter": str(adapter)}, prior_entry()]
    path = tmp_path / "panel.yaml"
    path.write_text(json.dumps({"judges": judges}))
    return path


@pytest.fixture
def answered(config: StreamConfig, panel: Path) -> str:
    """A range of preferences that the panel gave, about battles in two partitions."""
    produce(config, battle_events(20), partition=0)
    produce(config, battle_events(10, first=20), partition=1)
    arguments = ["--panel", str(panel), "-o", config.preferences_topic, "--chunk", "7"]
    servers = ["--bootstrap-servers", config.bootstrap_servers]
    done = CliRunner().invoke(app, ["rescore", f"{config.battles_topic}@earliest..latest", *arguments, *servers])
    assert done.exit_code == 0, done.output
    return f"{config.preferences_topic}@earliest..latest"


def test_the_panel_that_answered_gives_every_bit_again_in_other_batches(
    config: StreamConfig, answered: str, panel: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.json"
    result = diff(config, "--replay", answered, "--panel", str(panel), "--chunk", "4", "--json", str(out))
    assert result.exit_code == 0, result.output
    assert "Reproduced: 30 of 30 answers were asked for again." in result.output
    found = ReplayFound.model_validate_json(out.read_bytes())
    assert [(one.name, one.changed, one.bound) for one in found.judges] == [
        ("words", 0, 0.0),
        ("prior", 0, 0.0),
        ("panel", 0, 0.0),
    ]


def test_another_panel_does_not_and_is_told_apart_by_hash_and_judge(
    config: StreamConfig, answered: str, panel: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    judges = json.loads(panel.read_text())["judges"]
    other.write_text(json.dumps({"judges": [judges[0], prior_entry("prior", (0.3, 0.3, 0.4))]}))
    page = tmp_path / "r.html"
    result = diff(config, "--replay", answered, "--panel", str(other), "--html", str(page))
    assert result.exit_code == 1, result.output
    assert "30 of 30 answers are of another panel, by its hash" in result.output
    assert "Not reproduced" in result.output
    assert_alone(page.read_text())


def test_battles_that_are_gone_are_counted_and_the_others_asked_again(
    config: StreamConfig, answered: str, panel: Path, admin: KafkaAdminClient
) -> None:
    admin.delete_records({TopicPartition(config.battles_topic, 0): 5})
    result = diff(config, "--replay", answered, "--panel", str(panel))
    assert result.exit_code == 3, result.output
    assert "5 battles are gone from their topic (retention)" in result.output
    assert "Reproduced: 25 of 30 answers were asked for again." in result.output


def test_where_no_battle_is_left_nothing_is_said_to_be_reproduced(
    config: StreamConfig, answered: str, panel: Path, admin: KafkaAdminClient
) -> None:
    admin.delete_records({TopicPartition(config.battles_topic, place): -1 for place in (0, 1)})
    with pytest.raises(DataLossError, match="of the battles of 30 answers 30 are gone from their topic"):
        diff(config, "--replay", answered, "--panel", str(panel))


def test_where_the_topic_was_made_anew_nothing_is_said_to_be_reproduced(
    config: StreamConfig, answered: str, panel: Path, admin: KafkaAdminClient
) -> None:
    admin.delete_topics([config.battles_topic])
    wait_until(lambda: config.battles_topic not in admin.list_topics(), what="the topic's end")
    admin.create_topics({config.battles_topic: {"num_partitions": 2, "replication_factor": 1}})
    wait_until_led(admin, [config.battles_topic])
    for partition in (0, 1):
        produce(config, battle_events(20, first=100 + 20 * partition), partition=partition)
    with pytest.raises(DataLossError, match="30 others stand now, by their ids: the topic was made anew"):
        diff(config, "--replay", answered, "--panel", str(panel))
