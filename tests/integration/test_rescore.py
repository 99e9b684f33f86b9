"""`prefstream rescore`: a range of a topic, scored once more; each battle once, whatever comes in between."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from typer.testing import CliRunner, Result

from prefstream.consumer.cli import app
from prefstream.consumer.cli.ui.progress import RecordProgress
from prefstream.consumer.client.clients import make_consumer
from prefstream.consumer.client.topics import wait_until_led
from prefstream.consumer.client.transaction import Transaction, UnsettledError
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import FencedError, UsageError
from prefstream.consumer.rescore.progress import RangeProgress, fix_range
from prefstream.consumer.rescore.rescore import RescoreSummary, rescore_range
from prefstream.consumer.rescore.span import TopicSpan
from prefstream.consumer.rescore.targets import RescoreTarget
from prefstream.consumer.rescore.to_file import RescoreCheckpoint
from prefstream.consumer.rescore.to_topic import TopicTarget, default_group
from prefstream.schemas import KafkaSource, Preference, decode_preference
from prefstream.scoring.panel.panel import Panel
from tests.support.priors import prior_panel, write_prior_panel
from tests.support.streams import Position, battle_events, produce, read_topic, write_transaction


@pytest.fixture
def config(stream_config: Callable[..., StreamConfig]) -> StreamConfig:
    """Topics of one's own, with two partitions each."""
    return stream_config(partitions=2)


@pytest.fixture
def battles(config: StreamConfig) -> list[Position]:
    """Ten battles in each of two partitions; in the first one a transaction's marker behind them, and one aborted."""
    first = produce(config, battle_events(8), partition=0)
    first += write_transaction(config, battle_events(2, first=8))
    write_transaction(config, battle_events(3, first=900), commit=False)
    return first + produce(config, battle_events(10, first=10), partition=1)


@pytest.fixture
def target_topic(config: StreamConfig, admin: KafkaAdminClient) -> str:
    """A topic for answers."""
    topic = f"{config.group_id}.new"
    admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}})
    wait_until_led(admin, [topic])
    return topic


@pytest.fixture(scope="module")
def panel() -> Iterator[Panel]:
    """Judges that answer everything alike."""
    with prior_panel() as panel:
        yield panel


class Seen:
    """An observer that keeps what it was told, and asks for a stop after so many chunks."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop = threading.Event()
        self.refused: list[tuple[str, str]] = []
        self.gone: list[tuple[str, int]] = []
        self._stop_after = stop_after

    def began(self, what: str, offsets: int) -> None:
        """It is told in the summary."""

    def rejected(self, place: str, why: str) -> None:
        self.refused.append((place, why.partition(":")[0]))

    def deleted(self, place: str, offsets: int) -> None:
        self.gone.append((place, offsets))

    def advanced(self, done: int) -> None:
        if self._stop_after is not None:
            self._stop_after -= 1
            if self._stop_after == 0:
                self.stop.set()


def rescore(config: StreamConfig, span: str, folder: Path, output: object, *more: str) -> Result:
    """Call the command, with a panel of priors."""
    panel = write_prior_panel(folder, names=["new"])
    where = ["--bootstrap-servers", config.bootstrap_servers, "--panel", str(panel), "-o", str(output)]
    return CliRunner().invoke(app, ["rescore", span, *where, *more], catch_exceptions=False)


def run(
    config: StreamConfig, panel: Panel, target: RescoreTarget, seen: Seen, span: str = "earliest..latest"
) -> RescoreSummary:
    with closing(make_consumer(config)) as consumer, target:
        fixed, _ = fix_range(consumer, TopicSpan.parse(f"{config.battles_topic}@{span}"))
        return rescore_range(
            consumer, fixed, panel, target, framing="none", chunk_rows=4, observer=seen, stop=seen.stop
        )


def to_topic(
    config: StreamConfig, topic: str, run_id: str | None = None, kind: type[TopicTarget] = TopicTarget
) -> TopicTarget:
    """Of a run of the test's own: those with the same transactional id fence each other, and tests run side by side."""
    return kind(config, config.battles_topic, topic, run_id or config.group, default_group(config.group))


def sources(preferences: list[Preference]) -> list[Position]:
    found = [one.source for one in preferences]
    assert all(isinstance(source, KafkaSource) for source in found)
    return [(one.topic, one.partition, one.offset) for one in found if isinstance(one, KafkaSource)]


def answers(config: StreamConfig, topic: str) -> list[Position]:
    """The battles that have an answer on a topic, each as often as it has one."""
    records = read_topic(config.bootstrap_servers, topic)
    return sorted(sources([decode_preference(record.value) for record in records]))


# --- to a file -----------------------------------------------------------------------------------------------------


def test_a_file_gets_every_battle_of_the_range_once_and_says_what_is_none(
    config: StreamConfig, battles: list[Position], tmp_path: Path
) -> None:
    [bad] = produce(config, [b"{zqprompt"], partition=1)
    out = tmp_path / "new.jsonl"
    result = rescore(config, f"{config.battles_topic}@earliest..latest", tmp_path, out)
    assert result.exit_code == 3, result.output
    rows = out.read_bytes().splitlines()
    preferences = list(map(decode_preference, rows))
    assert sources(preferences) == battles
    assert {one.judges[0].name for one in preferences} == {"new"}
    assert all(one.timings is None for one in preferences)
    [refused] = map(json.loads, (tmp_path / "new.jsonl.rejected").read_text().splitlines())
    assert (refused["topic"], refused["partition"], refused["offset"]) == bad
    assert refused["reason"] == "not_json"
    assert refused["detail"].startswith("not JSON at line 1")
    assert f"{'/'.join(map(str, bad))}: not_json: not JSON" in result.stderr
    assert "done: 20 battles scored" in result.stderr
    assert "zqprompt" not in result.output
    again = rescore(config, f"{config.battles_topic}@earliest..latest", tmp_path, out, "--force", "--chunk", "128")
    assert again.exit_code == 3
    assert out.read_bytes().splitlines() == rows


def test_a_range_ends_before_its_end(config: StreamConfig, tmp_path: Path) -> None:
    sent = []
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers)) as producer:
        for number, value in enumerate(battle_events(10)):
            at = producer.send(
                config.battles_topic, value, partition=0, timestamp_ms=1_700_000_000_000 + number * 1_000
            )
            sent.append(at.get(60).offset)
    since, until = (datetime.fromtimestamp(1_700_000_000 + second, UTC).isoformat() for second in (2, 5))
    for span, expected in [
        (f"{since}..{until}", sent[2:5]),
        ("0:3..latest", sent[3:]),
        ("earliest..0:4", sent[:4]),
        ("0:2..0:999", sent[2:]),
        (f"{until}..2100-01-01T00:00Z", sent[5:]),
    ]:
        out = tmp_path / "part.jsonl"
        result = rescore(config, f"{config.battles_topic}@{span}", tmp_path, out, "--force")
        assert result.exit_code == 0, result.output
        offsets = [offset for _, _, offset in sources(list(map(decode_preference, out.read_bytes().splitlines())))]
        assert offsets == expected, span


@pytest.mark.parametrize(
    ("span", "output", "more", "why"),
    [
        ("{battles}@3..latest", "o.jsonl", [], "has 2 partitions; write offsets for each, such as 0:3,1:3"),
        ("{battles}@7:3..latest", "o.jsonl", [], "has no partition 7"),
        ("{battles}@earliest..latest", "o.csv", [], "written to a .jsonl file, or to a topic"),
        ("{battles}@earliest..latest", "{battles}", [], "input and output at once"),
        ("{battles}@earliest..latest", "battles.dead-letters", [], "is the dead_letters_topic"),
        ("{battles}@earliest..latest", "{preferences}", ["--force"], "--force: no effect on a topic"),
        ("{battles}@earliest..latest", "o.jsonl", ["--group", "g"], "--group: no effect on a file"),
    ],
)
def test_what_makes_no_sense_is_refused(
    config: StreamConfig, tmp_path: Path, span: str, output: str, more: list[str], why: str
) -> None:
    names = {"battles": config.battles_topic, "preferences": config.preferences_topic}
    where = tmp_path / output if output.startswith("o.") else output.format(**names)
    with pytest.raises(UsageError, match=why):
        rescore(config, span.format(**names), tmp_path, where, *more)


def test_an_interrupted_file_goes_on_where_it_was_over_the_range_of_its_beginning(
    config: StreamConfig, battles: list[Position], tmp_path: Path
) -> None:
    """As Ctrl-C leaves it: what was written beyond the checkpoint is cut off."""
    whole, out = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    span = f"{config.battles_topic}@earliest..latest"
    assert rescore(config, span, tmp_path, whole).exit_code == 0
    checkpoints: list[bytes] = []
    keep = RescoreCheckpoint.save

    def save(self: RescoreCheckpoint, path: Path) -> None:
        keep(self, path)
        checkpoints.append(path.read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RescoreCheckpoint, "save", save)
        assert rescore(config, span, tmp_path, out, "--chunk", "4").exit_code == 0
    (tmp_path / "parts.jsonl.progress").write_bytes(checkpoints[2])
    produce(config, battle_events(2, first=500), partition=1)
    with pytest.raises(UsageError, match="not the same as in the interrupted run: --chunk"):
        rescore(config, span, tmp_path, out, "--resume")
    result = rescore(config, span, tmp_path, out, "--resume", "--chunk", "4")
    assert result.exit_code == 0, result.output
    assert "8 of both before" in result.stderr
    assert out.read_bytes() == whole.read_bytes()
    assert "nothing to resume" in rescore(config, span, tmp_path, out, "--resume").stderr


@pytest.mark.parametrize("to_file", [True, False])
def test_ctrl_c_ends_a_run_after_its_chunk_and_tells_how_to_go_on(
    config: StreamConfig,
    battles: list[Position],
    target_topic: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    to_file: bool,
) -> None:
    out = str(tmp_path / "new.jsonl") if to_file else target_topic
    with monkeypatch.context() as patch:
        patch.setattr(
            RecordProgress, "advanced", lambda _, done, *__: os.kill(os.getpid(), signal.SIGINT) if done else None
        )
        first = rescore(config, f"{config.battles_topic}@earliest..latest", tmp_path, out, "--chunk", "4")
    assert first.exit_code == 130, first.output
    assert "stopped: 4 battles scored" in first.stderr
    [command] = re.findall(r"go on with: prefstream (.*)", first.stderr)
    second = CliRunner().invoke(app, shlex.split(command), catch_exceptions=False)
    assert second.exit_code == 0, second.output
    written = Path(out).read_bytes().splitlines() if to_file else []
    found = sources(list(map(decode_preference, written))) if to_file else answers(config, target_topic)
    assert sorted(found) == sorted(battles)


# --- to a topic ----------------------------------------------------------------------------------------------------


def test_a_topic_gets_messages_like_the_streams_and_a_second_run_adds_none(
    config: StreamConfig, battles: list[Position], target_topic: str, tmp_path: Path
) -> None:
    span = f"{config.battles_topic}@earliest..latest"
    first = rescore(config, span, tmp_path, target_topic)
    assert first.exit_code == 0, first.output
    second = rescore(config, span, tmp_path, target_topic)
    assert second.exit_code == 0, second.output
    assert "done: 20 battles scored" in second.stderr
    assert "20 of both before (group prefstream-rescore-" in second.stderr
    assert answers(config, target_topic) == sorted(battles)
    for record in read_topic(config.bootstrap_servers, target_topic):
        headers = dict(record.headers)
        preference = decode_preference(record.value)
        assert record.key == preference.id.encode()
        assert headers["ce_id"].decode() == "/".join(map(str, sources([preference])[0]))
        assert headers["ce_source"].startswith(b"/prefstream/prefstream-rescore-")
        assert preference.timings is not None
    third = rescore(config, span, tmp_path, target_topic, "--group", f"{config.group_id}-anew")
    assert third.exit_code == 0
    assert answers(config, target_topic) == sorted([*battles, *battles])


def test_a_run_that_is_interrupted_again_and_again_answers_each_battle_of_its_range_once(
    config: StreamConfig, battles: list[Position], target_topic: str, panel: Panel
) -> None:
    [bad] = produce(config, [b"none"], partition=0)
    refused: list[tuple[str, str]] = []
    for round_ in range(20):
        seen = Seen(stop_after=1)
        summary = run(config, panel, to_topic(config, target_topic), seen)
        refused += seen.refused
        if summary.complete:
            break
        produce(config, battle_events(1, first=600 + round_), partition=1)
    assert summary.complete
    assert round_ > 3
    assert answers(config, target_topic) == sorted(battles)
    assert refused == [("/".join(map(str, bad)), "not_json")]
    assert (summary.progress.scored, summary.progress.rejected) == (20, 1)


def test_what_a_killed_run_left_open_is_ended_by_the_next_one(
    config: StreamConfig, battles: list[Position], target_topic: str, panel: Panel
) -> None:
    run(config, panel, to_topic(config, target_topic), Seen(stop_after=1))
    killed = KafkaProducer(
        bootstrap_servers=config.bootstrap_servers, transactional_id=f"{default_group(config.group)}-~rescore"
    )
    with closing(killed):
        killed.init_transactions()
        killed.begin_transaction()
        killed.send(target_topic, b"half of a chunk", partition=0)
        killed.flush()
        assert run(config, panel, to_topic(config, target_topic), Seen()).complete
    assert answers(config, target_topic) == sorted(battles)


@pytest.mark.parametrize("committed", [True, False])
def test_a_transaction_whose_end_nobody_knows_is_settled_by_the_committed_offset(
    config: StreamConfig,
    battles: list[Position],
    target_topic: str,
    panel: Panel,
    monkeypatch: pytest.MonkeyPatch,
    *,
    committed: bool,
) -> None:
    commit = Transaction.commit
    failing = iter([False, False, True])  # the first one fixes the range

    def lost_answer(self: Transaction, *arguments: Any) -> None:
        fails = next(failing, False)
        if committed or not fails:
            commit(self, *arguments)
        if fails:
            raise UnsettledError("no answer")

    monkeypatch.setattr(Transaction, "commit", lost_answer)
    assert run(config, panel, to_topic(config, target_topic), Seen()).complete
    assert answers(config, target_topic) == sorted(battles)


def test_a_second_run_at_the_same_time_fences_the_first(
    config: StreamConfig, battles: list[Position], target_topic: str, panel: Panel
) -> None:
    begin = TopicTarget.begin

    class Overtaken(TopicTarget):
        def begin(self, fixed: RangeProgress) -> RangeProgress:
            progress = begin(self, fixed)
            assert run(config, panel, to_topic(config, target_topic), Seen()).complete
            return progress

    overtaken = to_topic(config, target_topic, kind=Overtaken)
    with pytest.raises(FencedError, match="another run with the transactional id"):
        run(config, panel, overtaken, Seen())
    assert answers(config, target_topic) == sorted(battles)


def test_offsets_of_another_run_are_refused(
    config: StreamConfig, battles: list[Position], target_topic: str, panel: Panel
) -> None:
    run(config, panel, to_topic(config, target_topic), Seen(stop_after=1))
    with pytest.raises(UsageError, match="are not of this run"):
        run(config, panel, to_topic(config, target_topic, "another"), Seen())


def test_records_that_are_deleted_before_they_are_read_are_told(
    config: StreamConfig, battles: list[Position], target_topic: str, panel: Panel, admin: KafkaAdminClient
) -> None:
    class DeletedMeanwhile(Seen):
        def began(self, what: str, offsets: int) -> None:
            admin.delete_records({TopicPartition(config.battles_topic, 1): 5})

    seen = DeletedMeanwhile()
    assert run(config, panel, to_topic(config, target_topic), seen).complete
    assert seen.gone == [(f"{config.battles_topic}/1", 5)]
    assert answers(config, target_topic) == sorted(set(battles) - {(config.battles_topic, 1, at) for at in range(5)})
    with closing(make_consumer(config)) as consumer:
        _, deleted = fix_range(consumer, TopicSpan.parse(f"{config.battles_topic}@1:2..latest"))
    assert deleted == 3


def test_a_topic_that_was_made_anew_is_not_gone_on_with(
    config: StreamConfig, battles: list[Position], target_topic: str, panel: Panel
) -> None:
    run(config, panel, to_topic(config, target_topic), Seen(stop_after=1))
    fixed = RangeProgress(topic=config.battles_topic, topic_id="0" * 32, partitions=())
    with to_topic(config, target_topic) as target, pytest.raises(UsageError, match="deleted and made anew"):
        target.begin(fixed)


def test_an_answer_that_its_topic_finds_too_large_is_told_and_the_others_go_out(
    config: StreamConfig, battles: list[Position], target_topic: str, panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Transaction.send
    grown: set[bytes] = set()

    def send_larger(self: Transaction, topic: str, *, value: bytes, key: bytes, **record: Any) -> None:
        if key == b"battle-2":
            grown.add(key)
            value = b" " * (17 << 20)
        send(self, topic, value=value, key=key, **record)

    monkeypatch.setattr(Transaction, "send", send_larger)
    seen = Seen()
    assert run(config, panel, to_topic(config, target_topic), seen).complete
    assert grown
    assert seen.refused == [(f"{config.battles_topic}/0/2", "preference_too_large")]
    assert answers(config, target_topic) == sorted(set(battles) - {(config.battles_topic, 0, 2)})
