"""The stream as the board watches it: its lag, its dead letters, and what keeps it from being watched."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from pydantic import BaseModel

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.board.report.stream_payloads import DeadLetterCounts, NewDeadLetter, NewDeadLetters
from prefstream.consumer.board.report.surroundings import WatchedStream
from prefstream.consumer.board.watch import dead_letters as dead_letters_module
from prefstream.consumer.board.watch.watch import StreamWatch
from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.protocols import OffsetAndMetadata
from prefstream.consumer.config import TopicNames
from prefstream.consumer.observe import watcher
from prefstream.schemas.dead_letter import HEADER_OFFSET, HEADER_PARTITION, HEADER_REASON, HEADER_TOPIC, Reason
from tests.conftest import Kafka
from tests.support.board_topics import board_names
from tests.support.boards import ask, running_board
from tests.support.events import events
from tests.support.streams import wait_until


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "AGAIN_S", 0.1)
    monkeypatch.setattr(watcher, "AGAIN_LATER_S", 0.1)
    monkeypatch.setattr("prefstream.consumer.board.watch.lag.LOOK_S", 0.1)
    monkeypatch.setattr(dead_letters_module, "METADATA_MAX_AGE_MS", 200)


@pytest.fixture
def names(kafka: Kafka) -> TopicNames:
    return board_names(kafka.bootstrap_servers, partitions=2)


@pytest.fixture
def producer(kafka: Kafka) -> Iterator[KafkaProducer]:
    """Makes no topic that was deleted."""
    settings = {"metadata_max_age_ms": 500, "allow_auto_create_topics": False}
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, **settings)) as to:
        yield to


class Watching:
    """A watch, and what it told pages."""

    def __init__(self, names: TopicNames, **settings: Any) -> None:
        self.group = f"g{uuid.uuid4().hex[:10]}"
        self.told: list[NewDeadLetter] = []
        self.watch = StreamWatch(names, self.group, self._hear, **settings)

    def _hear(self, event: str, payload: BaseModel) -> None:
        assert event == "dead_letters"
        assert isinstance(payload, NewDeadLetters)
        self.told.extend(payload.dead_letters)

    @property
    def now(self) -> WatchedStream:
        return self.watch.now()

    def letters(self, condition: Callable[[DeadLetterCounts], object], what: str) -> DeadLetterCounts:
        """Dead letters, once they are as they should be."""
        wait_until(lambda: (told := self.now.dead_letters) and condition(told), what=what)
        found = self.now.dead_letters
        assert found is not None
        return found


@contextmanager
def watching(names: TopicNames, **settings: Any) -> Iterator[Watching]:
    one = Watching(names, **settings)
    with one.watch:
        yield one


def die(
    producer: KafkaProducer,
    names: TopicNames,
    offsets: Sequence[int],
    reason: str = Reason.NOT_JSON,
    *,
    partition: int = 0,
    at_ms: int | None = None,
) -> None:
    """Write dead letters of battles at these offsets."""
    for offset in offsets:
        headers = {HEADER_TOPIC: names.battles_topic, HEADER_PARTITION: "1", HEADER_OFFSET: f"{offset}"}
        told = [(name, text.encode()) for name, text in {**headers, HEADER_REASON: reason}.items()]
        producer.send(names.dead_letters_topic, b"?", headers=told, partition=partition, timestamp_ms=at_ms)
    producer.flush()


def test_lag_is_told_by_partition_as_soon_as_something_is_committed(
    names: TopicNames, producer: KafkaProducer, admin: Any
) -> None:
    for partition in (0, 1, 1):
        producer.send(names.battles_topic, b"{}", partition=partition)
    producer.flush()
    with watching(names) as one:
        wait_until(lambda: "has committed nothing" in str(one.now.why_no_lag), what="what is amiss")
        assert one.now.lag is None
        commit(admin, one.group, names, {0: 1, 1: 0})
        wait_until(lambda: one.now.lag, what="the lag")
        lag, group = one.now.lag, one.now.group
        assert lag is not None
        assert (lag.total, [part.lag for part in lag.partitions], group) == (2, [0, 2], one.group)
        wait_until(lambda: one.now.unanswered_s > 0, what="that they wait")
        commit(admin, one.group, names, {1: 2})
        wait_until(lambda: (found := one.now.lag) and found.total == 0, what="no lag")
        assert (one.now.unanswered_s, one.now.why_no_lag) == (0, None)


def commit(admin: Any, group: str, names: TopicNames, offsets: dict[int, int]) -> None:
    admin.alter_group_offsets(
        group,
        {
            TopicPartition(names.battles_topic, one): OffsetAndMetadata(offset, "", -1)
            for one, offset in offsets.items()
        },
    )


def test_dead_letters_of_the_day_are_counted_and_new_ones_told(names: TopicNames, producer: KafkaProducer) -> None:
    now_ms = int(time.time() * 1000)
    die(producer, names, [1], at_ms=now_ms - 25 * 3_600_000)
    die(producer, names, [2, 3], at_ms=now_ms - 23 * 3_600_000)
    die(producer, names, [4], Reason.NULL_VALUE, partition=1)
    with watching(names) as one:
        told = one.letters(lambda letters: letters.complete, "all of the day")
        assert [(reason.reason, reason.count) for reason in told.reasons] == [("not_json", 2), ("null_value", 1)]
        assert told.reasons[0].newest.offset == 2
        assert one.told == []
        die(producer, names, [7], Reason.TOO_DEEP)
        die(producer, names, [8], "made up")
        one.letters(lambda letters: letters.total == 5, "the new ones")
        wait_until(lambda: len(one.told) == 2, what="that pages hear of it")
    assert [(new.topic, new.partition, new.offset, new.reason) for new in one.told] == [
        (names.battles_topic, 1, 7, "too_deep"),
        (names.battles_topic, 1, 8, "unknown"),
    ]


def test_a_page_hears_of_an_input_that_became_a_dead_letter(
    names: TopicNames, producer: KafkaProducer, tmp_path: Path
) -> None:
    with running_board(names, tmp_path) as url:
        wait_until(lambda: ask(url, f"{API}/stream").json["dead_letters"], what="the watch")
        with events(url) as heard:
            die(producer, names, [41])
            [letter] = heard.next("dead_letters").data["dead_letters"]
    place = {"topic": names.battles_topic, "partition": 1, "offset": 41}
    assert letter.items() >= {**place, "reason": "not_json"}.items()


def test_of_a_flood_the_newest_are_read_back(names: TopicNames, producer: KafkaProducer) -> None:
    die(producer, names, range(30))
    with watching(names, most_read_back=10) as one:
        told = one.letters(lambda letters: letters.total == 10, "the newest")
        assert not told.complete
        assert told.reasons[0].newest.offset == 29
        die(producer, names, [30])
        one.letters(lambda letters: letters.total == 11, "a new one")


def test_partitions_that_are_added_are_watched(names: TopicNames, producer: KafkaProducer, admin: Any) -> None:
    with watching(names) as one:
        one.letters(lambda letters: letters.complete, "the watch")
        admin.create_partitions({names.dead_letters_topic: 3})
        wait_until(lambda: 2 in producer.partitions_for(names.dead_letters_topic), what="the partition")
        die(producer, names, [5], partition=2)
        one.letters(lambda letters: letters.total == 1, "its letter")
        wait_until(lambda: [new.offset for new in one.told] == [5], what="that pages hear of it")


def test_a_topic_that_is_missing_is_told_until_it_is_there(
    names: TopicNames, producer: KafkaProducer, admin: Any
) -> None:
    absent = names.model_copy(
        update={field: f"{getattr(names, field)}.absent" for field in ("battles_topic", "dead_letters_topic")}
    )
    with watching(absent) as one:
        missing = "there is no topic"
        wait_until(lambda: missing in str(one.now.why_no_lag), what="that there are no battles")
        wait_until(lambda: missing in str(one.now.why_no_dead_letters), what="that there are no dead letters")
        admin.create_topics(
            {
                topic: {"num_partitions": 1, "replication_factor": 1}
                for topic in (absent.battles_topic, absent.dead_letters_topic)
            }
        )
        one.letters(lambda letters: letters.complete, "the dead letters")
        wait_until(lambda: "has committed nothing" in str(one.now.why_no_lag), what="the group")


def test_a_topic_that_was_recreated_is_counted_anew(names: TopicNames, producer: KafkaProducer, admin: Any) -> None:
    topic = names.dead_letters_topic
    die(producer, names, range(5))
    with watching(names) as one:
        one.letters(lambda letters: letters.total == 5, "the old ones")
        admin.delete_topics([topic])
        wait_until(lambda: one.now.dead_letters is None, what="that it is gone")
        wait_until(lambda: made(admin, topic), what="another one of the name")
        die(producer, names, [9])
        one.letters(lambda letters: letters.total == 1, "the new one alone")


def made(admin: Any, topic: str) -> bool:
    try:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    except Exception as error:  # noqa: BLE001 - the old one may still be going
        return "AlreadyExists" in type(error).__name__
    return True


def test_brokers_that_are_away_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters_module, "SILENT_S", 1.0)
    monkeypatch.setattr("prefstream.consumer.client.clients.CONNECT_TIMEOUT_MS", 2_000)
    monkeypatch.setattr("prefstream.consumer.client.clients.PATIENCE_S", 0.5)
    with EmbeddedBroker() as broker:
        names = board_names(broker.bootstrap_servers, partitions=1)
        with closing(KafkaProducer(bootstrap_servers=broker.bootstrap_servers)) as producer:
            die(producer, names, [1])
        with watching(names) as one:
            one.letters(lambda letters: letters.total == 1, "the watch")
            broker.stop()
            wait_until(lambda: "no broker at" in str(one.now.why_no_dead_letters), what="that it is told")
            wait_until(lambda: "no connection to" in str(one.now.why_no_lag), what="that it is told")
            assert one.now.dead_letters is None


def test_a_stop_does_not_wait_for_brokers_that_are_away() -> None:
    with EmbeddedBroker() as broker:
        names = board_names(broker.bootstrap_servers, partitions=1)
    with watching(names) as one:
        assert one.now.lag is None
