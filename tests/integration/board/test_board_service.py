"""The board as a service beside `run`: battles and votes on a broker in, numbers over HTTP out."""

from __future__ import annotations

import http.client
import json
import random
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import KafkaProducer

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.config import TopicNames
from tests.conftest import Kafka
from tests.support.board_topics import board_names
from tests.support.boards import BOARD_TOPICS, STORED_TOPICS, ask, board_service, topic_options
from tests.support.priors import prior_entry
from tests.support.processes import PREFSTREAM, prefstream
from tests.support.streams import read_topic, wait_until

BOUND_S = 100.0
BATTLES = 120
MODELS = ("quick", "slow", "模型")


@pytest.fixture
def names(kafka: Kafka) -> TopicNames:
    return board_names(kafka.bootstrap_servers, partitions=2)


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    rng = random.Random(5)
    path = tmp_path / "judged.jsonl"
    rows = []
    for number in range(BATTLES):
        one, other = rng.sample(MODELS, 2)
        said = {"prompt": "secretword", "response_a": "one", "response_b": "two", "model_a": one, "model_b": other}
        rows.append({"id": f"b{number}", **said, "winner": rng.choice(["A", "B", "tie"]), "voter": f"v{number}"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def counters(url: str) -> dict[str, int]:
    found: dict[str, int] = ask(url, f"{API}/status").json["counters"]
    return found


def test_battles_become_a_board_that_goes_on_where_it_stopped(names: TopicNames, judged: Path, tmp_path: Path) -> None:
    panel = tmp_path / "panel.yaml"
    panel.write_text(yaml.safe_dump({"judges": [prior_entry("prior", (0.4, 0.35, 0.25))]}))
    topics = ("battles_topic", "preferences_topic", "dead_letters_topic")
    options = [*topic_options(names, *topics), "--panel", str(panel), "--no-http"]
    with prefstream("run", *options, log=tmp_path / "run.log"):
        _replay(names, judged, "--topic", names.battles_topic)
        with board_service(names, tmp_path, "--refresh-s", "0.1") as (process, url):
            wait_until(lambda: counters(url).get("preferences") == BATTLES, BOUND_S, "all preferences")
            _send_votes(names, judged)
            wait_until(lambda: counters(url).get("votes") == BATTLES, BOUND_S, "all votes")
            wait_until(lambda: len(_models(url, "votes")) == len(MODELS), BOUND_S, "the table of models")
            assert {line["model"] for line in _models(url, "votes")} == set(MODELS)
            wait_until(lambda: ask(url, "/readyz").status == 200, BOUND_S, "readiness")
            assert ask(url, "/livez").status == 200
            assert f"prefstream_board_votes_total {BATTLES}.0" in ask(url, "/metrics").body.decode()
            before = ask(url, f"{API}/models?method=both").json
            process.signal(signal.SIGTERM)
            assert process.wait() == 0
            assert [line["by"] for line in process.log_events("stopped")] == ["SIGTERM"]
            assert "secretword" not in process.log
            assert "Traceback" not in process.log
        with board_service(names, tmp_path, "--refresh-s", "0.1") as (process, url):
            assert counters(url) == {"preferences": BATTLES, "votes": BATTLES}
            assert ask(url, f"{API}/models?method=both").json == before
            _send_votes(names, judged)  # the same people, once more
            wait_until(lambda: counters(url).get("replaced_votes") == BATTLES, BOUND_S, "the later votes")
            assert sum(line["votes"] for line in _models(url, "votes")) == 2 * BATTLES


def test_a_file_is_one_processs(names: TopicNames, tmp_path: Path) -> None:
    options = [*topic_options(names, *BOARD_TOPICS), "--file", str(tmp_path / "board.sqlite"), "--http-port", "0"]
    with (
        board_service(names, tmp_path, "--refresh-s", "0.1") as (first, _),
        prefstream("board", *options, log=tmp_path / "second.log") as second,
    ):
        assert second.wait() == 2
        assert f"process {first.process.pid}" in second.failure


HANGS = (
    """
import time
from prefstream.consumer.board.report.reports import Reports
from prefstream.consumer.cli import board
Reports.models = lambda *_: (print("computing", flush=True), time.sleep(1_000))
board.STOP_S = 1.0
"""
    + PREFSTREAM
)
"""The command, which computes for ever, and says on its standard output when it begins."""


def test_a_computation_without_end_does_not_keep_it_from_ending(embedded_kafka: Kafka, tmp_path: Path) -> None:
    names = board_names(embedded_kafka.bootstrap_servers, partitions=1)
    with board_service(names, tmp_path, program=HANGS) as (process, url), ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, url, f"{API}/models")
        assert process.process.stdout
        assert process.process.stdout.readline() == "computing\n"
        process.signal(signal.SIGTERM)
        assert process.wait(BOUND_S) == 0
        assert [line["by"] for line in process.log_events("stopped")] == ["SIGTERM"]
        with pytest.raises((OSError, http.client.HTTPException)):
            asked.result(BOUND_S)


def test_one_look_reads_both_topics_and_leaves_no_file(
    names: TopicNames, judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _send_votes(names, judged)
    options = ["--once", "--format", "json", *topic_options(names, *STORED_TOPICS)]
    with prefstream("board", *options, log=tmp_path / "look.log") as look:
        out, _ = look.process.communicate(timeout=BOUND_S)
        assert look.process.returncode == 0, look.log
    found: dict[str, Any] = json.loads(out)
    assert found["status"]["counters"] == {"votes": BATTLES}
    assert found["strengths"]["models"] == []
    assert not [path for path in tmp_path.iterdir() if re.search("sqlite", path.name)]


def test_one_look_changes_nothing_on_the_brokers(names: TopicNames, tmp_path: Path) -> None:
    with closing(KafkaProducer(bootstrap_servers=names.bootstrap_servers)) as producer:
        producer.send(names.votes_topic, b"no vote").get(BOUND_S)
    options = ["--once", "--format", "json", *topic_options(names, *STORED_TOPICS)]
    kept = ["--file", str(tmp_path / "board.sqlite")]
    for further, letters in (([], 0), (kept, 1), (kept, 1)):
        with prefstream("board", *options, *further, log=tmp_path / "look.log") as look:
            out, _ = look.process.communicate(timeout=BOUND_S)
        assert json.loads(out)["status"]["counters"] == {"bad_votes": 1}
        assert len(read_topic(names.bootstrap_servers, names.votes_dead_letters_topic)) == letters


def _replay(names: TopicNames, file: Path, *options: str) -> None:
    arguments = ["replay", str(file), "--bootstrap-servers", names.bootstrap_servers, *options]
    with prefstream(*arguments, log=file.with_suffix(".log")) as replay:
        assert replay.wait() == 0, replay.log


def _send_votes(names: TopicNames, file: Path) -> None:
    """As people's votes come: without the battles' texts."""
    spoken = {"A": "model_a", "B": "model_b", "tie": "tie"}
    with closing(KafkaProducer(bootstrap_servers=names.bootstrap_servers)) as producer:
        for row in map(json.loads, file.read_text().splitlines()):
            vote = {"id": row["id"], "winner": spoken[row["winner"]], "voter": row["voter"]}
            producer.send(names.votes_topic, json.dumps(vote).encode(), key=row["id"].encode())
        producer.flush()


def _models(url: str, method: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(url, f"{API}/models?method={method}").json["models"]
    return found
