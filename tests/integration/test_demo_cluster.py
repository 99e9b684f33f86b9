"""The demo on somebody's cluster and with somebody's file: it uses the labels, and leaves the cluster as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kafka.errors import TopicAuthorizationFailedError
from typer.testing import CliRunner

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.cli import app
from prefstream.consumer.client.clients import admin_client
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.demo.demo import demo_broker, produce
from prefstream.consumer.demo.events import file_entries
from prefstream.consumer.demo.voters import voting
from prefstream.schemas import decode_vote
from tests.conftest import Kafka
from tests.support.priors import write_prior_panel
from tests.support.streams import read_topic


def names_of_demos(bootstrap_servers: str) -> set[str]:
    """Topics and groups that a demo made."""
    with admin_client(KafkaConnection(bootstrap_servers=bootstrap_servers)) as admin:
        names = {*admin.list_topics(), *(group["group_id"] for group in admin.list_groups())}
    return {name for name in names if name.startswith("prefstream-demo-")}


def write_judged(path: Path) -> Path:
    """Three judged battles, two of one id, one without a label, and what is no battle."""
    battle = {"prompt": "2 + 2?", "response_a": "4", "response_b": "5"}
    rows = [
        {"id": "1", **battle, "winner": "model_a"},
        {"id": "1", **battle, "winner": "model_b"},
        {"id": "2", **battle, "winner": "both_bad"},
        {"id": "3", **battle},
        {"id": "4"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_file_is_held_against_its_labels_and_the_cluster_is_left_as_it_was(kafka: Kafka, tmp_path: Path) -> None:
    before = names_of_demos(kafka.bootstrap_servers)
    arguments = ["--bootstrap-servers", kafka.bootstrap_servers, "--battles", str(write_judged(tmp_path / "b.jsonl"))]
    result = CliRunner().invoke(
        app, ["demo", *arguments, "--panel", str(write_prior_panel(tmp_path))], env={"COLUMNS": "120"}
    )
    assert result.exit_code == 0, result.output
    told = " ".join(result.stdout.split())
    assert "0 lost, 0 twice" in told
    assert "5 records on prefstream-demo-" in told
    assert "what people said of 3 battles: log loss" in told
    assert "expect" not in told
    assert "left behind" not in told
    assert names_of_demos(kafka.bootstrap_servers) <= before


def test_what_people_said_follows_as_votes(kafka: Kafka, tmp_path: Path) -> None:
    """Each under the id of its battle, and as it was said; of one id as many as were judged."""
    entries = file_entries(write_judged(tmp_path / "b.jsonl"), print)
    told: list[str] = []
    with demo_broker(kafka.bootstrap_servers, told.append) as config:
        with voting(config) as voters:
            for event in produce(config, entries).values():
                voters.vote(event)
        assert voters.cast == 3
        records = read_topic(config.bootstrap_servers, config.votes_topic)
        assert config.votes_topic in names_of_demos(kafka.bootstrap_servers)
    votes = [decode_vote(record.value) for record in records]
    assert [record.key.decode() for record in records] == [vote.id for vote in votes]
    assert sorted((vote.id, vote.winner) for vote in votes) == [("1", "model_a"), ("1", "model_b"), ("2", "both_bad")]
    assert len({vote.voter for vote in votes}) == 3
    assert told == []


def test_what_cannot_be_removed_is_told_with_its_names() -> None:
    told: list[str] = []
    with EmbeddedBroker() as broker, demo_broker(broker.bootstrap_servers, told.append) as config:
        broker.faults.fail("DeleteTopics", error_code=TopicAuthorizationFailedError.errno)
    [line] = told
    assert line.startswith(f"left behind on {config.bootstrap_servers}: the topics {config.battles_topic}, ")
    assert f" and the group {config.group_id} (" in line


@pytest.mark.parametrize("labelled", [True, False])
def test_labels_of_kaggles_file_are_used_where_it_has_them(tmp_path: Path, labelled: bool) -> None:
    columns = ["id", "prompt", "response_a", "response_b"]
    marks = ["winner_model_a", "winner_model_b", "winner_tie"] if labelled else []
    file = tmp_path / "battles.csv"
    file.write_text(",".join(columns + marks) + "\n" + ",".join(["1", "p", "a", "b", "0", "1", "0"][: 4 + len(marks)]))
    [entry] = file_entries(file, on_bad_row=pytest.fail)
    assert entry.label == ("model_b" if labelled else None)
