"""`prefstream score` and `prefstream replay` as a user runs them."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from prefstream.consumer.config import StreamConfig
from prefstream.schemas import OUTCOMES, decode_battle, decode_preference
from tests.support.models import make_tiny_panel

COMMAND = (sys.executable, "-c", "from prefstream.consumer.cli import main; main()")

PRIORS = """
judges:
  - {name: one, kind: prior, probabilities: {model_a: 0.4, model_b: 0.3, tie: 0.3}}
  - {name: two, kind: prior, probabilities: {model_a: 0.2, model_b: 0.3, tie: 0.5}}
"""

# What Kaggle's file holds, and what files get on their way through other programs.
ODD_CSV = (
    b"\xef\xbb\xbfid,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\r\n"
    b'30192,gpt-4,vicuna,"[""What is 2+2?""]","[""4""]","[""5""]",1,0,0\r\n'
    b'65089,,,"[""one"",""two"",""three""]","[""a"",null,""c""]","[null,null,null]",0,1,0\r\n'
    b'96401,a,b,"[""emoji \\ud83d\\ude00 and half \\ud83d""]","[""\\ude00""]","[""ok""]",0,0,1\r\n'
    b'198779,a,b,"[""line\nbreak, ""quotes"" and \\""more\\""""]","[""\xe4\xbd\xa0\xe5\xa5\xbd""]","[""""]",0,0,1\r\n'
    b'5,a,b,"[""plain text in a cell""","not a list","x",0,0,1\r\n'
    b"\r\n"
    b'6,a,b,"[""one"",""two""]","[""a""]","[""b""]",0,0,1\r\n'
    b"7,a,b,too,few\r\n"
    b'8,a,b,"[""\xff""]","[""a""]","[""b""]",0,0,1\r\n'
    b'9,a,b,"[""secret words""],"[""a""]","[""b""]",0,0,1\r\n'
    b'10,a,b,"[""last""]","[""a""]","[""b""]",0,0,1'
)
ODD_SCORED = ["30192", "65089", "96401", "198779", "5", "10"]
ODD_REJECTED = {9: "turns_differ", 10: "not_csv", 11: "not_utf8", 12: "not_csv"}


def prefstream(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], env=os.environ | environment, capture_output=True, text=True, timeout=200
    )


@pytest.fixture
def priors(tmp_path: Path) -> Path:
    """A panel file that needs no weights."""
    path = tmp_path / "priors.yaml"
    path.write_text(PRIORS)
    return path


@pytest.fixture
def odd_csv(tmp_path: Path) -> Path:
    """Kaggle's format with all its oddities and some damage."""
    path = tmp_path / "odd.csv"
    path.write_bytes(ODD_CSV)
    return path


def test_score_accounts_for_every_row_of_an_odd_file(odd_csv: Path, priors: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    result = prefstream("score", odd_csv, "-o", out, "--panel", priors)
    assert result.returncode == 3, result.stderr
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ODD_SCORED
    assert [float(rows[0][f"winner_{name}"]) for name in OUTCOMES] == pytest.approx([0.3, 0.3, 0.4])
    rejected = [json.loads(line) for line in (tmp_path / "out.csv.rejected").read_text().splitlines()]
    assert {entry["line"]: entry["reason"] for entry in rejected} == ODD_REJECTED
    for line, reason in ODD_REJECTED.items():
        assert f"{odd_csv}:{line}: {reason}" in result.stderr
    assert "done: 6 rows scored" in result.stderr
    assert "4 rejected" in result.stderr
    assert "secret" not in result.stderr + result.stdout
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_score_reads_standard_input_and_writes_standard_output(odd_csv: Path, priors: Path, tmp_path: Path) -> None:
    shell = f"gzip -c {odd_csv} | {shlex.join(COMMAND)} score - -o - --panel {priors}"

    def run(rest: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", f"{shell} {rest}"], capture_output=True, text=True, timeout=200
        )

    piped = run("")
    assert [decode_preference(line.encode()).id for line in piped.stdout.splitlines()] == ODD_SCORED
    assert piped.returncode == 3
    assert "\n-:9: turns_differ" in piped.stderr
    assert "done: 6 rows scored (standard output), 4 rejected, " in piped.stderr
    assert run("--format wsdm").stdout == "id,winner\n" + "".join(f"{one},model_a\n" for one in ODD_SCORED)


def test_score_is_configured_by_the_environment_too(odd_csv: Path, priors: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    result = prefstream(
        "score", odd_csv, PREFSTREAM_SCORE_OUTPUT=str(out), PREFSTREAM_PANEL=str(priors), PREFSTREAM_SCORE_CHUNK="2"
    )
    assert result.returncode == 3, result.stderr
    preferences = [decode_preference(line) for line in out.read_bytes().splitlines()]
    assert [preference.id for preference in preferences] == ODD_SCORED
    assert [judge.name for judge in preferences[0].judges] == ["one", "two"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["none.csv", "-o", "out.csv"], "can't read none.csv: No such file"),
        (["odd.csv", "-o", "out.txt"], "use .csv"),
        (["odd.csv", "-o", "odd.csv"], "input and output at once"),
        (["odd.csv", "-o", "out.csv", "--panel", "none.yaml"], "none.yaml"),
        (["odd.csv", "-o", "out.csv", "--resume", "--force"], "choose one"),
        (["priors.yaml", "-o", "out.csv"], "no column id, prompt"),
    ],
)
def test_score_that_can_not_be_done_exits_with_2_and_one_line(
    odd_csv: Path, priors: Path, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str], told: str
) -> None:
    monkeypatch.chdir(odd_csv.parent)
    result = prefstream("score", *arguments, **({} if "--panel" in arguments else {"PREFSTREAM_PANEL": str(priors)}))
    assert result.returncode == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(path.name for path in odd_csv.parent.iterdir()) == ["odd.csv", "priors.yaml"]


def test_finished_output_is_left_alone_on_resume_and_refused_without(
    odd_csv: Path, priors: Path, tmp_path: Path
) -> None:
    """So that a supervisor may give --resume always."""
    arguments = ("score", odd_csv, "-o", tmp_path / "out.csv", "--panel", priors)
    first = prefstream(*arguments, "--resume")
    content = (tmp_path / "out.csv").read_bytes()
    again = prefstream(*arguments, "--resume")
    assert (first.returncode, again.returncode) == (3, 3)
    assert "nothing to resume" in again.stderr
    assert prefstream(*arguments).returncode == 2
    assert (tmp_path / "out.csv").read_bytes() == content
    assert prefstream(*arguments, "--force").returncode == 3
    assert (tmp_path / "out.csv").read_bytes() == content


@pytest.fixture(scope="module")
def tiny_panel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real judges, tiny and random."""
    return make_tiny_panel(tmp_path_factory.mktemp("panel"))


def write_battles(path: Path, rows: int) -> None:
    """Battles of many lengths: the micro-batches that they form differ from chunk to chunk."""
    rng = random.Random(7)
    words = ["quick", "brown", "fox", "jumps", "over", "lazy", "dogs", "and", "writes", "functions"]

    def text() -> str:
        return json.dumps([" ".join(rng.choices(words, k=rng.randrange(1, 12)))])

    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prompt", "response_a", "response_b"])
        writer.writerows([number, text(), text(), text()] for number in range(rows))


def wait_for_a_chunk(process: subprocess.Popen[str], progress: Path, before: bytes | None) -> None:
    """Wait until the running command has finished a chunk of its own."""
    while not progress.exists() or progress.read_bytes() == before or b'"offset": 0,' in progress.read_bytes():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


def score_until(number: signal.Signals, arguments: Sequence[str | Path], progress: Path, delay_s: float) -> str:
    """Run `prefstream score`, send it a signal a little after its first chunk, return what it said."""
    before = progress.read_bytes() if progress.exists() else None
    command = [*COMMAND, *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for_a_chunk(process, progress, before)
        time.sleep(delay_s)
        process.send_signal(number)
        said = process.communicate(timeout=200)[1]
    assert process.returncode == (-9 if number == signal.SIGKILL else 130), said
    return said


@pytest.mark.timeout(900)  # three processes that load torch
def test_real_judges_interrupted_and_resumed_give_the_same_bytes(
    tmp_path: Path, tiny_panel: Path, seeded: random.Random
) -> None:
    source, out, whole = tmp_path / "battles.csv", tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    write_battles(source, 640)
    arguments = ("score", source, "--panel", tiny_panel, "--chunk", "64", "--resume", "-o")
    assert prefstream(*arguments, whole).returncode == 0
    score_until(signal.SIGKILL, (*arguments, out), tmp_path / "out.jsonl.progress", seeded.uniform(0, 0.3))
    last = prefstream(*arguments, out)
    assert last.returncode == 0, last.stderr
    assert "before the interruption" in last.stderr
    assert out.read_bytes() == whole.read_bytes()
    assert len({decode_preference(line).id for line in out.read_bytes().splitlines()}) == 640


@pytest.fixture
def slow_priors(tmp_path: Path) -> Path:
    """A panel that takes 50 ms a batch."""
    path = tmp_path / "slow.yaml"
    path.write_text(PRIORS.replace("0.5}}", "0.5}, simulate: {seconds_per_batch: 0.05}}"))
    return path


def test_five_thousand_rows_survive_every_way_to_end_a_process(
    tmp_path: Path, priors: Path, slow_priors: Path, seeded: random.Random
) -> None:
    """And the command that an interrupted run prints is the one that goes on with it."""
    source, out, whole = tmp_path / "battles.csv", tmp_path / "out.csv", tmp_path / "whole.csv"
    write_battles(source, 5_000)
    assert prefstream("score", source, "-o", whole, "--panel", priors).returncode == 0
    arguments: list[str | Path] = ["score", source, "-o", out, "--panel", slow_priors, "--chunk", "50"]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        said = score_until(number, arguments, tmp_path / "out.csv.progress", seeded.uniform(0, 0.3))
        if number != signal.SIGKILL:
            advice = re.search(r"go on with: prefstream (.+ --resume)$", said, re.MULTILINE)
            assert advice, said
            arguments = [*shlex.split(advice[1])]
    last = prefstream(*arguments)
    assert last.returncode == 0, last.stderr
    with out.open(newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == [str(number) for number in range(5_000)]
    assert out.read_bytes() == whole.read_bytes()  # priors answer alike whatever the batch
    assert not (tmp_path / "out.csv.progress").exists()


def test_second_signal_does_not_wait_for_the_rows_in_hand(tmp_path: Path, slow_priors: Path) -> None:
    source, out = tmp_path / "battles.csv", tmp_path / "out.csv"
    write_battles(source, 50)
    slow_priors.write_text(slow_priors.read_text().replace("0.05", "600"))
    command = [*COMMAND, "score", str(source), "-o", str(out), "--panel", str(slow_priors)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "out.csv.progress").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.stderr
        while "finishing the rows in hand" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=200) == 130  # the rows in hand take ten minutes


def test_replay_delivers_every_battle_of_an_odd_file(odd_csv: Path, stream_config: Callable[..., StreamConfig]) -> None:
    config = stream_config(partitions=1)
    topic = config.battles_topic
    result = prefstream("replay", odd_csv, "--topic", topic, "--bootstrap-servers", config.bootstrap_servers)
    assert result.returncode == 3, result.stderr
    for line, reason in ODD_REJECTED.items():
        assert f"{odd_csv}:{line}: {reason}" in result.stderr
    assert f"done: 6 records delivered to {topic}, 4 rows rejected" in result.stderr
    with closing(
        KafkaConsumer(bootstrap_servers=config.bootstrap_servers, auto_offset_reset="earliest", group_id=None)
    ) as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        records = []
        while consumer.position(partition) < consumer.end_offsets([partition])[partition]:
            records += [record for batch in consumer.poll(timeout_ms=500).values() for record in batch]
    assert [record.key.decode() for record in records] == ODD_SCORED
    assert [decode_battle(record.value).id for record in records] == ODD_SCORED


def test_replay_to_a_topic_that_is_missing_says_so(odd_csv: Path, stream_config: Callable[..., StreamConfig]) -> None:
    servers = stream_config().bootstrap_servers
    result = prefstream("replay", odd_csv, "--topic", "nowhere", "--bootstrap-servers", servers)
    assert result.returncode == 1
    assert "no topic nowhere" in result.stderr
    assert "Traceback" not in result.stderr
