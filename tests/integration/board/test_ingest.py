"""What the board's reading does with topics as they are: restarts, new partitions, losses, and what is no vote."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from structlog.testing import capture_logs

from prefstream.consumer.board.store.records import ReadProgress, StoredOffset
from prefstream.consumer.board.store.store import Applied, Store
from prefstream.consumer.config import TopicNames
from prefstream.consumer.errors import TopicMissingError
from prefstream.schemas import Reason, encode_preference
from prefstream.schemas.dead_letter import HEADER_OFFSET, HEADER_PARTITION, HEADER_REASON, header
from tests.conftest import Kafka
from tests.support.board import preference
from tests.support.board_topics import board_names, ingesting
from tests.support.packed_batches import bomb, produce_batch
from tests.support.streams import read_topic, wait_until

BAD = b"not a vote"
UNKNOWN_TOPIC_OR_PARTITION = 3


@pytest.fixture
def names(kafka: Kafka) -> TopicNames:
    return board_names(kafka.bootstrap_servers, partitions=1)


@pytest.fixture
def producer(kafka: Kafka) -> Iterator[KafkaProducer]:
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, metadata_max_age_ms=500)) as to:
        yield to


def publish(producer: KafkaProducer, names: TopicNames, numbers: range, partition: int = 0) -> None:
    rng = random.Random(numbers.start)
    for number in numbers:
        value = encode_preference(preference(f"b{number}", rng))
        producer.send(names.preferences_topic, value, partition=partition)
    producer.flush()


def vote(producer: KafkaProducer, names: TopicNames, *values: bytes | None) -> None:
    for value in values:
        producer.send(names.votes_topic, value, key=b"k", partition=0)
    producer.flush()


def yes(number: int) -> bytes:
    return b'{"id": "b%d", "winner": "tie", "voter": "ann"}' % number


def letters(names: TopicNames) -> list[tuple[int, int]]:
    """Partition and offset of each vote that became a dead letter."""
    found = read_topic(names.bootstrap_servers, names.votes_dead_letters_topic)
    return sorted((int(header(one, HEADER_PARTITION) or -1), int(header(one, HEADER_OFFSET) or -1)) for one in found)


def test_a_start_goes_on_where_the_last_one_stopped(names: TopicNames, producer: KafkaProducer, tmp_path: Path) -> None:
    path = tmp_path / "board.db"
    publish(producer, names, range(5))
    with ingesting(names, path) as board:
        board.wait(lambda counted: counted.get("preferences") == 5, "five preferences")
    publish(producer, names, range(5, 8))
    vote(producer, names, yes(1), yes(7), yes(99))
    with ingesting(names, path) as board:
        board.wait(lambda counted: (counted.get("preferences"), counted.get("votes")) == (8, 3), "the rest")
        assert "duplicate_battles" not in board.counters()
        with board.store.reader() as reader:
            assert len(reader.votes()) == 2
        sample = board.ingest.metrics.registry.get_sample_value
        wait_until(lambda: {sample(*lag(names, which)) for which in (0, 1)} == {0.0}, what="no lag")


def exists(admin: Any, topic: str) -> bool:
    (described,) = admin.describe_topics([topic])
    return bool(described["error_code"] != UNKNOWN_TOPIC_OR_PARTITION)


def lag(names: TopicNames, which: int) -> tuple[str, dict[str, str]]:
    topic = (names.preferences_topic, names.votes_topic)[which]
    return "prefstream_board_lag_records", {"topic": topic, "partition": "0"}


def test_a_file_that_was_deleted_is_filled_again_as_far_back_as_the_topics_go(
    names: TopicNames, producer: KafkaProducer, admin: Any, tmp_path: Path
) -> None:
    path = tmp_path / "board.db"
    publish(producer, names, range(5))
    vote(producer, names, yes(1), BAD)
    with ingesting(names, path) as board:
        board.wait(lambda counted: (counted.get("preferences"), counted.get("bad_votes")) == (5, 1), "all")
    for file in tmp_path.glob("board.db*"):
        file.unlink()
    admin.delete_records({TopicPartition(names.preferences_topic, 0): 2})
    with ingesting(names, path) as board:
        board.wait(lambda counted: (counted.get("preferences"), counted.get("bad_votes")) == (3, 1), "what is left")
        with board.store.reader() as reader:
            since = reader.since()
        assert since is not None
        first = read_topic(names.bootstrap_servers, names.preferences_topic)[0]
        assert since.timestamp() * 1000 == first.timestamp
        assert board.counters().get("lost_preferences", 0) == 0
    assert letters(names) == [(0, 1)]  # the one from before is found, and no other is sent


def test_a_partition_that_is_added_is_read_from_its_first_record(
    names: TopicNames, producer: KafkaProducer, admin: Any, tmp_path: Path
) -> None:
    publish(producer, names, range(2))
    with ingesting(names, tmp_path / "board.db") as board:
        board.wait(lambda counted: counted.get("preferences") == 2, "two preferences")
        admin.create_partitions({names.preferences_topic: 2})
        wait_until(lambda: producer.partitions_for(names.preferences_topic) == {0, 1}, what="the new partition")
        publish(producer, names, range(2, 6), partition=1)
        board.wait(lambda counted: counted.get("preferences") == 6, "those of the new partition")


def test_what_is_no_vote_becomes_a_dead_letter_with_its_reason(
    names: TopicNames, producer: KafkaProducer, tmp_path: Path
) -> None:
    with ingesting(names, tmp_path / "board.db") as board:
        vote(producer, names, BAD, yes(1), b'{"id": "b1", "winner": "me"}', None, b"[1]")
        board.wait(lambda counted: counted.get("bad_votes") == 4, "four that are none")
        assert board.counters()["votes"] == 1
    found = read_topic(names.bootstrap_servers, names.votes_dead_letters_topic)
    by_offset = sorted(found, key=lambda one: int(header(one, HEADER_OFFSET) or -1))
    reasons = [header(one, HEADER_REASON) for one in by_offset]
    assert reasons == [Reason.NOT_JSON, Reason.WRONG_TYPE, Reason.NULL_VALUE, Reason.NOT_AN_OBJECT]
    assert by_offset[0].value == BAD
    assert by_offset[0].key == b"k"


def test_killed_between_a_dead_letter_and_its_offset_it_is_not_sent_again(
    names: TopicNames, producer: KafkaProducer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "board.db"
    vote(producer, names, BAD, yes(1), BAD)

    class KilledError(BaseException):
        """As SIGKILL: nothing of ours runs any more."""

    def killed(*_: Any) -> Applied:
        raise KilledError

    with monkeypatch.context() as patch, ingesting(names, path) as board:
        patch.setattr(board.store, "apply", killed)
        wait_until(lambda: board.error, what="the kill")
        assert isinstance(board.error[0], KilledError)
    assert letters(names) == [(0, 0), (0, 2)]
    vote(producer, names, BAD)
    with ingesting(names, path) as board:
        board.wait(lambda counted: counted.get("bad_votes") == 3, "all that are none")
    assert letters(names) == [(0, 0), (0, 2), (0, 3)]
    vote(producer, names, BAD)
    with ingesting(names, path) as board:  # looks through the dead letters from where it was, not from the first
        board.wait(lambda counted: counted.get("bad_votes") == 4, "the last one")
    assert letters(names) == [(0, 0), (0, 2), (0, 3), (0, 4)]


def test_what_is_no_preference_is_skipped_and_told_by_its_place(
    names: TopicNames, producer: KafkaProducer, tmp_path: Path
) -> None:
    with capture_logs() as logs, ingesting(names, tmp_path / "board.db") as board:
        producer.send(names.preferences_topic, b'{"id": "zqsecret"}', partition=0)
        producer.send(names.preferences_topic, None, key=b"zqsecret", partition=0)
        publish(producer, names, range(1))
        board.wait(lambda counted: counted.get("preferences") == 1, "the good one")
        assert board.counters()["bad_preferences"] == 2
    told = [line for line in logs if line["event"].startswith("no preference")]
    assert told[0]["such_as"] == f"{names.preferences_topic}/0/0"
    assert "zqsecret" not in str(logs)


def test_of_two_battles_with_one_id_the_first_counts_and_the_other_is_told(
    names: TopicNames, producer: KafkaProducer, tmp_path: Path
) -> None:
    with capture_logs() as logs, ingesting(names, tmp_path / "board.db") as board:
        publish(producer, names, range(2))
        board.wait(lambda counted: counted.get("preferences") == 2, "two battles")
        publish(producer, names, range(1, 4))
        board.wait(lambda counted: counted.get("preferences") == 4, "four battles")
        assert board.counters()["duplicate_battles"] == 1
    [told] = [line for line in logs if "have one already" in line["event"]]
    assert told["such_as"] == f"{names.preferences_topic}/0/2"


def test_records_that_were_deleted_unread_are_told_counted_and_passed(
    names: TopicNames, producer: KafkaProducer, admin: Any, tmp_path: Path
) -> None:
    path = tmp_path / "board.db"
    publish(producer, names, range(2))
    with ingesting(names, path) as board:
        board.wait(lambda counted: counted.get("preferences") == 2, "two preferences")
    publish(producer, names, range(2, 7))
    admin.delete_records({TopicPartition(names.preferences_topic, 0): 5})
    for _ in range(2):  # the second start has nothing more to tell
        with ingesting(names, path) as board:
            board.wait(lambda counted: counted.get("preferences") == 4, "those that are left")
            assert board.counters()["lost_preferences"] == 3
            with board.store.reader() as reader:
                [note] = reader.notes()
            assert note.kind == "deleted_unread"
            assert "3 records from offset 2 on were deleted unread" in note.detail


@pytest.mark.parametrize("running", [True, False], ids=["while it reads", "while it is away"])
def test_a_topic_that_was_recreated_is_read_from_its_beginning(
    names: TopicNames, producer: KafkaProducer, admin: Any, tmp_path: Path, *, running: bool
) -> None:
    path = tmp_path / "board.db"
    publish(producer, names, range(4))

    def make_anew() -> None:
        admin.delete_topics([names.preferences_topic])
        wait_until(lambda: not exists(admin, names.preferences_topic), what="the topic to be gone")
        admin.create_topics(
            {names.preferences_topic: {"num_partitions": 1, "replication_factor": 1}}, raise_errors=False
        )
        wait_until(lambda: exists(admin, names.preferences_topic), what="the topic")
        with closing(KafkaProducer(bootstrap_servers=names.bootstrap_servers)) as fresh:
            publish(fresh, names, range(10, 12))

    with ingesting(names, path) as board:
        board.wait(lambda counted: counted.get("preferences") == 4, "four preferences")
        if running:
            make_anew()
            board.wait(lambda counted: counted.get("preferences") == 6, "those of the new topic")
    if not running:
        make_anew()
    with ingesting(names, path) as board:
        board.wait(lambda counted: counted.get("preferences") == 6, "those of the new topic")
        with board.store.reader() as reader:
            assert [note.kind for note in reader.notes()] == ["topic_recreated"]


def test_aborted_transactions_are_not_read_and_offsets_pass_their_markers(
    names: TopicNames, kafka: Kafka, tmp_path: Path
) -> None:
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, transactional_id=names.votes_topic)) as to:
        to.init_transactions()
        for commits, numbers in ((False, range(3)), (True, range(3, 5)), (False, range(5, 9))):
            to.begin_transaction()
            publish(to, names, numbers)
            to.commit_transaction() if commits else to.abort_transaction()
    with ingesting(names, tmp_path / "board.db") as board:
        board.wait(lambda counted: counted.get("preferences") == 2, "what was committed")
        # Nine records and three markers.
        wait_until(lambda: [one.next_offset for one in offsets(board.store, names)] == [12], what="the end")
        assert board.counters()["preferences"] == 2


def offsets(store: Store, names: TopicNames) -> list[Any]:
    with store.reader() as reader:
        return [one for one in reader.offsets() if one.topic == names.preferences_topic]


def test_a_packed_bomb_is_no_preference_and_no_vote(names: TopicNames, tmp_path: Path) -> None:
    of_votes: Any = names.model_copy(update={"battles_topic": names.votes_topic})
    produce_batch(of_votes, bomb("zstd", 1, 64 * 2**20), 1)
    with ingesting(names, tmp_path / "board.db") as board:
        board.wait(lambda counted: counted.get("bad_votes"), "the bomb")
    [letter] = read_topic(names.bootstrap_servers, names.votes_dead_letters_topic)
    assert header(letter, HEADER_REASON) == Reason.TOO_LARGE_UNPACKED


def test_a_topic_that_is_not_there_is_told_with_the_command_that_makes_it(names: TopicNames, tmp_path: Path) -> None:
    elsewhere = names.model_copy(update={"votes_topic": "nowhere"})
    with ingesting(elsewhere, tmp_path / "board.db") as board:
        wait_until(lambda: board.error, what="the end")
        assert isinstance(board.error[0], TopicMissingError)
        assert "prefstream topics create" in str(board.error[0])
        board.error.clear()


def test_a_log_that_is_shorter_than_what_was_read_is_told_and_read_on(
    names: TopicNames, producer: KafkaProducer, tmp_path: Path
) -> None:
    """As after an unclean leader election."""
    path = tmp_path / "board.db"
    publish(producer, names, range(3))
    with Store(path, settings={}) as store:
        store.apply(progress=ReadProgress([StoredOffset(names.preferences_topic, 0, None, 50)]))
    with ingesting(names, path) as board:
        wait_until(lambda: [one.next_offset for one in offsets(board.store, names)] == [3], what="the true end")
        publish(producer, names, range(3, 5))
        board.wait(lambda counted: counted.get("preferences") == 2, "what comes from then on")
        with board.store.reader() as reader:
            [note] = reader.notes()
        assert note.kind == "truncated"
