"""Feeding a file to a topic: each row is delivered once or reported, whatever the broker does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from prefstream.consumer.broker import BrokerSettings, EmbeddedBroker
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.errors import BrokerUnreachableError, NotAuthorizedError, StreamError, TopicMissingError
from prefstream.consumer.files.replay import Replay, ReplaySummary, topic_producer
from prefstream.schemas import Vote, decode_battle, decode_vote
from tests.support.hash_judge import Recorder

TOPIC = "battles"
MAX_MESSAGE_BYTES = 20_000


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    """Embedded everywhere: these tests are about faults that it injects."""
    with EmbeddedBroker(BrokerSettings(max_message_bytes=MAX_MESSAGE_BYTES)) as running:
        yield running


@pytest.fixture
def topic(broker: EmbeddedBroker, request: pytest.FixtureRequest) -> str:
    """A fresh topic."""
    name = "".join(char if char.isalnum() else "-" for char in request.node.name)
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)) as admin:
        admin.create_topics({name: {"num_partitions": 3, "replication_factor": 1}})
    return name


@pytest.fixture
def connection(broker: EmbeddedBroker) -> KafkaConnection:
    """To that broker."""
    return KafkaConnection(bootstrap_servers=broker.bootstrap_servers)


def read_all(broker: EmbeddedBroker, topic: str) -> list[Any]:
    """Every record of a topic, by a consumer of its own."""
    with closing(
        KafkaConsumer(bootstrap_servers=broker.bootstrap_servers, auto_offset_reset="earliest", group_id=None)
    ) as consumer:
        partitions = [TopicPartition(topic, number) for number in range(3)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        records = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for batch in consumer.poll(timeout_ms=200).values():
                records += batch
        return records


def write_jsonl(folder: Path, count: int, extra: dict[int, bytes] | None = None) -> Path:
    """Battles 0 to count - 1, a line each; `extra` puts other lines in their places."""
    path = folder / "battles.jsonl"
    lines = [
        json.dumps({"id": f"b{number}", "prompt": "p", "response_a": "é", "response_b": "b"}).encode()
        for number in range(count)
    ]
    for place, line in (extra or {}).items():
        lines[place] = line
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def replay_file(path: Path, producer: Any, topic: str, **settings: Any) -> ReplaySummary:
    """As battles."""
    return Replay(producer=producer, topic=topic, **settings).battles(path)


def test_every_battle_arrives_under_its_id(
    tmp_path: Path, broker: EmbeddedBroker, connection: KafkaConnection, topic: str
) -> None:
    recorder = Recorder()
    with topic_producer(connection, topic) as producer:
        summary = replay_file(write_jsonl(tmp_path, 1000), producer, topic, observer=recorder, stop=recorder.stop)
    records = read_all(broker, topic)
    assert (summary.delivered, summary.rejected, summary.complete) == (1000, 0, True)
    assert sorted(record.key.decode() for record in records) == sorted(f"b{number}" for number in range(1000))
    assert all(decode_battle(record.value).id == record.key.decode() for record in records)
    assert recorder.advances[-1][1] == 1000


def test_rows_that_are_no_battle_are_reported_and_left_out(
    tmp_path: Path, broker: EmbeddedBroker, connection: KafkaConnection, topic: str
) -> None:
    recorder = Recorder()
    source = write_jsonl(tmp_path, 5, {1: b"{", 3: b"\xff"})
    with topic_producer(connection, topic) as producer:
        summary = replay_file(source, producer, topic, observer=recorder, stop=recorder.stop)
    assert (summary.delivered, summary.rejected, summary.malformed) == (3, 2, 0)
    assert recorder.rejections == [(2, "not_json"), (4, "not_utf8")]
    assert len(read_all(broker, topic)) == 3


def test_malformed_rows_are_sent_as_they_are_when_asked(
    tmp_path: Path, broker: EmbeddedBroker, connection: KafkaConnection, topic: str
) -> None:
    recorder = Recorder()
    source = write_jsonl(tmp_path, 5, {1: b"{", 3: b"\xff"})
    with topic_producer(connection, topic) as producer:
        summary = replay_file(source, producer, topic, observer=recorder, stop=recorder.stop, keep_malformed=True)
    assert (summary.delivered, summary.rejected, summary.malformed) == (5, 0, 2)
    assert sorted(record.value for record in read_all(broker, topic) if record.key is None) == [b"{", b"\xff"]


def test_battle_that_is_too_large_for_the_topic_is_reported_and_the_rest_arrives(
    tmp_path: Path, broker: EmbeddedBroker, connection: KafkaConnection, topic: str
) -> None:
    """Also where the rest together is larger than one batch may be."""
    event = {"id": "b7", "prompt": "p", "response_a": "a", "response_b": "b"}
    large = json.dumps({**event, "prompt": "p" * MAX_MESSAGE_BYTES}).encode()
    recorder = Recorder()
    with topic_producer(connection, topic) as producer:
        summary = replay_file(
            write_jsonl(tmp_path, 2000, {7: large, 8: b"{"}),
            producer,
            topic,
            observer=recorder,
            stop=recorder.stop,
            keep_malformed=True,
        )
    assert (summary.delivered, summary.rejected, summary.malformed) == (1999, 1, 1)
    assert recorder.rejections == [(8, "too_large_for_topic")]
    assert len(read_all(broker, topic)) == 1999


def test_refusal_that_the_broker_did_not_announce_ends_the_replay(
    tmp_path: Path, connection: KafkaConnection, topic: str
) -> None:
    """Where the topic's bound may not be seen: kafka-python's producer does not survive it."""
    large = json.dumps({"id": "b7", "prompt": "p" * 30_000, "response_a": "a", "response_b": "b"}).encode()
    recorder = Recorder()
    with (
        topic_producer(connection, topic, max_request_size=10**6, batch_size=10**6) as producer,
        pytest.raises(StreamError, match="MessageSizeTooLargeError"),
    ):
        replay_file(write_jsonl(tmp_path, 50, {7: large}), producer, topic, observer=recorder, stop=recorder.stop)


def test_rate_is_kept(tmp_path: Path, connection: KafkaConnection, topic: str) -> None:
    recorder = Recorder()
    with topic_producer(connection, topic) as producer:
        summary = replay_file(
            write_jsonl(tmp_path, 41), producer, topic, observer=recorder, stop=recorder.stop, rate=100.0
        )
    assert summary.delivered == 41
    assert 0.4 <= summary.seconds < 40  # 40 intervals of 10 ms; a busy machine only makes it longer


def test_stop_waits_for_what_was_sent_and_sends_no_more(
    tmp_path: Path, broker: EmbeddedBroker, connection: KafkaConnection, topic: str
) -> None:
    """Told between two rows that are minutes apart, it does not sit them out."""
    recorder = Recorder()
    timer = threading.Timer(0.3, recorder.stop.set)
    timer.start()
    started = time.monotonic()
    with topic_producer(connection, topic) as producer:
        summary = replay_file(
            write_jsonl(tmp_path, 10), producer, topic, observer=recorder, stop=recorder.stop, rate=1 / 200
        )
    timer.join()
    assert (summary.delivered, summary.complete) == (1, False)
    assert time.monotonic() - started < 100
    assert len(read_all(broker, topic)) == 1


def test_no_more_than_the_bound_is_under_way(
    tmp_path: Path, broker: EmbeddedBroker, connection: KafkaConnection, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kafka-python itself would buffer the whole file."""
    monkeypatch.setattr("prefstream.consumer.files.replay.MAX_UNACKNOWLEDGED_BYTES", 1_000)
    monkeypatch.setattr("prefstream.consumer.files.replay.PROGRESS_EVERY_ROWS", 1)
    broker.faults.delay("Produce", seconds=0.5, times=1)
    times: list[float] = []

    class Timer(Recorder):
        def advanced(self, done_bytes: int, rows: int) -> None:
            super().advanced(done_bytes, rows)
            times.append(time.monotonic())

    recorder = Timer()
    with topic_producer(connection, topic) as producer:
        summary = replay_file(write_jsonl(tmp_path, 100), producer, topic, observer=recorder, stop=recorder.stop)
    assert summary.delivered == 100
    assert times[50] - times[0] > 0.3  # about 16 rows of 60 bytes fit under the bound


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (kafka_errors.TopicAuthorizationFailedError, NotAuthorizedError),
        (kafka_errors.NotLeaderForPartitionError, BrokerUnreachableError),
    ],
)
def test_undeliverable_record_ends_the_replay_with_the_count(
    tmp_path: Path,
    broker: EmbeddedBroker,
    connection: KafkaConnection,
    topic: str,
    *,
    refusal: type[kafka_errors.BrokerResponseError],
    error: type[Exception],
) -> None:
    """A lasting refusal at once, a passing one when the delivery time-out is over."""
    broker.faults.fail("Produce", error_code=refusal.errno, times=10_000)
    recorder = Recorder()
    try:
        with (
            topic_producer(connection, topic, request_timeout_ms=500, delivery_timeout_ms=1_000) as producer,
            pytest.raises(error, match=rf"topic {topic}.*; 0 records were delivered, \d+ were not"),
        ):
            replay_file(write_jsonl(tmp_path, 20), producer, topic, observer=recorder, stop=recorder.stop)
    finally:
        broker.faults.clear()


def test_lost_acknowledgements_double_nothing(
    tmp_path: Path, broker: EmbeddedBroker, connection: KafkaConnection, topic: str
) -> None:
    """The producer is idempotent: it sends again, and the broker knows the sequence."""
    broker.faults.drop("Produce", after_apply=True, times=3)
    recorder = Recorder()
    with topic_producer(connection, topic) as producer:
        summary = replay_file(write_jsonl(tmp_path, 500), producer, topic, observer=recorder, stop=recorder.stop)
    assert summary.delivered == 500
    assert len(read_all(broker, topic)) == 500


def test_missing_topic_is_named_before_anything_is_sent(connection: KafkaConnection) -> None:
    with pytest.raises(TopicMissingError, match="no topic nowhere at"), topic_producer(connection, "nowhere"):
        pass


# --- votes ---------------------------------------------------------------------------------------------------------


def write_labelled(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "labelled.jsonl"
    battle = {"prompt": "p", "response_a": "a", "response_b": "b"}
    path.write_text("".join(json.dumps({"id": f"b{place}", **battle, **row}) + "\n" for place, row in enumerate(rows)))
    return path


def votes_on(broker: EmbeddedBroker, topic: str) -> list[Vote]:
    """Each under the id of its battle; by that and the voter."""
    records = read_all(broker, topic)
    votes = [decode_vote(record.value) for record in records]
    assert [record.key.decode() for record in records] == [vote.id for vote in votes]
    return sorted(votes, key=lambda vote: (vote.id, vote.voter or ""))


def test_one_file_gives_battles_and_then_their_votes(
    tmp_path: Path, broker: EmbeddedBroker, connection: KafkaConnection, topic: str
) -> None:
    """The ids match, and what was said stays as it was said."""
    file = write_labelled(tmp_path, {"winner": "A"}, {"winner": "model_b"}, {"winner": "bothbad"}, {"winner": "tie"})
    recorder = Recorder()
    with topic_producer(connection, topic) as producer:
        replay = Replay(producer=producer, topic=topic, observer=recorder, stop=recorder.stop)
        assert replay.battles(file).delivered == 4
        battles = {decode_battle(record.value).id for record in read_all(broker, topic)}
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)) as admin:
        admin.create_topics({f"{topic}.votes": {"num_partitions": 3, "replication_factor": 1}})
    with topic_producer(connection, f"{topic}.votes") as producer:
        replay = Replay(producer=producer, topic=f"{topic}.votes", observer=recorder, stop=recorder.stop)
        assert replay.votes(file).delivered == 4
    votes = votes_on(broker, f"{topic}.votes")
    assert {vote.id for vote in votes} == battles
    assert [vote.winner for vote in votes] == ["model_a", "model_b", "both_bad", "tie"]


def test_several_votes_of_a_row_are_of_several_people(
    tmp_path: Path, broker: EmbeddedBroker, connection: KafkaConnection, topic: str
) -> None:
    file = write_labelled(tmp_path, {"votes": {"model_a": 2, "tie": 1}}, {"winner": "B", "voter": "ann"})
    recorder = Recorder()
    with topic_producer(connection, topic) as producer:
        replay = Replay(producer=producer, topic=topic, observer=recorder, stop=recorder.stop)
        assert (replay.votes(file).delivered, replay.votes(file).delivered) == (4, 4)
    votes = votes_on(broker, topic)
    assert [(vote.id, vote.winner, vote.voter) for vote in votes[::2]] == [
        ("b0", "model_a", "labelled.jsonl:1#1"),
        ("b0", "model_a", "labelled.jsonl:1#2"),
        ("b0", "tie", "labelled.jsonl:1#3"),
        ("b1", "model_b", "ann"),
    ]
    assert votes[::2] == votes[1::2]  # sent again each is the same vote


def test_rows_that_are_no_vote_are_reported_or_sent_as_they_are(
    tmp_path: Path, broker: EmbeddedBroker, connection: KafkaConnection, topic: str
) -> None:
    """Parts of votes, and more than anybody would give, are none."""
    file = write_labelled(
        tmp_path,
        {"winner": "A"},
        {"winner": "nobody"},
        {"votes": {"model_a": 0.5, "model_b": 0.5}},
        {"votes": {"tie": 10_001}},
        {"id": " ", "winner": "B"},
    )
    for keep, delivered in ((False, 1), (True, 5)):
        recorder = Recorder()
        with topic_producer(connection, topic) as producer:
            replay = Replay(producer=producer, topic=topic, observer=recorder, stop=recorder.stop, keep_malformed=keep)
            summary = replay.votes(file)
        assert (summary.delivered, summary.rejected, summary.malformed) == (delivered, 5 - delivered, delivered - 1)
        if not keep:
            assert recorder.rejections == [(2, "bad_label"), (3, "bad_label"), (4, "bad_label"), (5, "wrong_type")]
    assert sum(record.key is None for record in read_all(broker, topic)) == 4


def test_a_vote_comes_so_long_after_its_battle(
    tmp_path: Path, broker: EmbeddedBroker, connection: KafkaConnection, topic: str
) -> None:
    """Both by the clock and by what it says; a vote that stands alone knows its own time."""
    file = write_labelled(tmp_path, {"winner": "A", "occurred_at": "2026-01-02T03:04:05Z"}, {"winner": "B"})
    with file.open("a") as lines:
        lines.write('{"id": "b2", "winner": "tie", "occurred_at": "2026-01-02T03:04:05Z"}\n')
    recorder = Recorder()
    delay = timedelta(seconds=1)
    began = time.time()
    with topic_producer(connection, topic) as producer:
        replay = Replay(producer=producer, topic=topic, observer=recorder, stop=recorder.stop, delay=delay)
        summary = replay.votes(file)
    assert summary.delivered == 3
    assert all(record.timestamp >= (began + 1) * 1000 - 1 for record in read_all(broker, topic))
    seconds = [vote.occurred_at and vote.occurred_at.second for vote in votes_on(broker, topic)]
    assert seconds == [6, None, 5]


def test_a_stop_during_the_delay_sends_nothing(
    tmp_path: Path, broker: EmbeddedBroker, connection: KafkaConnection, topic: str
) -> None:
    recorder = Recorder()
    recorder.stop.set()
    with topic_producer(connection, topic) as producer:
        replay = Replay(
            producer=producer, topic=topic, observer=recorder, stop=recorder.stop, delay=timedelta(seconds=1000)
        )
        summary = replay.votes(write_labelled(tmp_path, {"winner": "A"}))
    assert (summary.delivered, summary.complete, summary.seconds) == (0, False, 0)
    assert read_all(broker, topic) == []
