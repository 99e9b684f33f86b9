"""One table says what kafka-python's errors mean, and whoever talks to Kafka deals with every one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from kafka import errors as kafka_errors

from prefstream.consumer.client import clients, topics
from prefstream.consumer.client.kafka_errors import (
    TABLE,
    KafkaError,
    Meaning,
    Translator,
    is_of,
    meaning_of,
    row_of,
    tells_of_fencing,
)
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.dead_letters.reader import reading
from prefstream.consumer.doctor import cluster
from prefstream.consumer.doctor.finding import attempt
from prefstream.consumer.errors import NotAuthorizedError, StreamError, UsageError
from prefstream.consumer.files.replay import Replay
from prefstream.consumer.stream.source import Source
from prefstream.scoring.files.rows import RejectedRow
from tests.support.kafka_errors import kafka_error_classes

USER_TEXT = "what a user wrote"

ErrorClass = type[KafkaError]


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        (kafka_errors.TopicAuthorizationFailedError, Meaning.DENIED),
        (kafka_errors.TransactionalIdAuthorizationFailedError, Meaning.DENIED),
        (kafka_errors.InvalidProducerEpochError, Meaning.FENCED),
        (kafka_errors.FencedInstanceIdError, Meaning.FENCED),
        (kafka_errors.FencedLeaderEpochError, Meaning.PASSING),  # of a leader, not of us
        (kafka_errors.NoOffsetForPartitionError, Meaning.NO_OFFSET),
        (kafka_errors.OffsetOutOfRangeError, Meaning.OFFSET_OUT_OF_RANGE),
        (kafka_errors.LogTruncationError, Meaning.LOG_TRUNCATED),
        (kafka_errors.CorruptRecordError, Meaning.RECORD_DAMAGED),
        (kafka_errors.MessageSizeTooLargeError, Meaning.TOO_LARGE),
        (kafka_errors.UnknownTopicOrPartitionError, Meaning.TOPIC_MISSING),  # although it may pass
        (kafka_errors.SaslAuthenticationFailedError, Meaning.LOGIN_REFUSED),
        (kafka_errors.InvalidSessionTimeoutError, Meaning.WRONG_SETTING),
        (kafka_errors.InvalidTransactionTimeoutError, Meaning.WRONG_SETTING),
        (kafka_errors.InconsistentGroupProtocolError, Meaning.WRONG_SETTING),
        (kafka_errors.KafkaTimeoutError, Meaning.PASSING),
        (kafka_errors.NotLeaderForPartitionError, Meaning.PASSING),
        (kafka_errors.OutOfOrderSequenceNumberError, Meaning.LASTING),
        (KafkaError, Meaning.LASTING),
    ],
)
def test_errors_mean_what_they_mean(kind: ErrorClass, meaning: Meaning) -> None:
    assert meaning_of(kind(USER_TEXT)) is meaning
    assert is_of(kind, meaning)


def test_each_row_counts() -> None:
    """None hides behind the ones above it, and there is one for each meaning."""
    assert list(dict.fromkeys(row.meaning for row in TABLE)) == list(Meaning)
    for row in TABLE:
        assert {row_of(kind(USER_TEXT)) for kind in row.kinds} == {row}


def test_a_right_that_is_missing_for_an_id_of_a_producer_is_heard_by_its_name() -> None:
    refused = KafkaError("Unexpected error in InitProducerIdResponse: [Error 31] ClusterAuthorizationFailedError")
    assert meaning_of(refused) is Meaning.DENIED


def test_an_error_that_is_not_kafka_pythons_lasts() -> None:
    assert meaning_of(ValueError("x")) is Meaning.LASTING


@pytest.mark.parametrize("kind", kafka_error_classes(), ids=lambda kind: kind.__name__)
def test_ours_says_what_was_done_which_error_it_was_and_what_to_do_and_quotes_nothing(kind: ErrorClass) -> None:
    error = kind(USER_TEXT)
    told = Translator("reading battles", acls=lambda _: "Read on topic battles").error(error, "3 were read")
    text = str(told)
    assert type(told) is row_of(error).becomes
    assert USER_TEXT not in text
    assert "\n" not in text
    if meaning_of(error) is Meaning.DENIED:
        assert text == "the broker denies Read on topic battles: grant that to this user; 3 were read"
    else:
        assert text.startswith("reading battles failed: ")
        assert text.endswith(f"({kind.__name__}); 3 were read; {row_of(error).remedy}")


def test_a_translator_may_know_better_what_to_do() -> None:
    told = Translator("x", remedies={Meaning.PASSING: "wait"}).error(kafka_errors.KafkaTimeoutError())
    assert str(told).endswith("; wait")


def test_a_request_whose_failure_means_one_thing_says_so_unless_a_right_is_missing() -> None:
    translator = Translator("x", otherwise=UsageError)
    assert type(translator.error(kafka_errors.KafkaTimeoutError())) is UsageError
    assert type(translator.error(kafka_errors.GroupAuthorizationFailedError())) is NotAuthorizedError


def test_fencing_is_heard_by_its_class_and_by_its_name() -> None:
    assert tells_of_fencing(kafka_errors.ProducerFencedError())
    assert tells_of_fencing(KafkaError("in an error state: ProducerFencedError"))
    assert not tells_of_fencing(KafkaError("in an error state"))


# Everybody who talks to Kafka. The stream's reading and all transactions have tables of their own, in their tests.


class Raising:
    """Stands for a client of kafka-python: whatever is asked of it raises."""

    def __init__(self, error: KafkaError) -> None:
        self._error = error
        self.config = {"delivery_timeout_ms": 0}

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def ask(*_: object, **__: object) -> NoReturn:
            raise self._error

        return ask

    def close(self, **_: object) -> None:
        pass


def connect(error: KafkaError, _: Path) -> None:
    def client(**__: object) -> NoReturn:
        raise error

    clients._connect(KafkaConnection(), client)


def read_dead_letters(error: KafkaError, _: Path) -> None:
    with reading("battles.dead-letters"):
        raise error


def ask_for_topics(error: KafkaError, _: Path) -> None:
    topics._ask(KafkaConnection(), Raising(error), ["battles"])


def begin_to_stream(error: KafkaError, _: Path) -> None:
    consumer: Any = Raising(error)
    Source(consumer, StreamConfig.load())


def replay(error: KafkaError, folder: Path) -> None:
    class Rejections:
        def rejected(self, line: int, rejected: RejectedRow) -> None:
            raise UsageError(f"{line}: {rejected}")

        def warned(self, line: int, warning: str) -> None:
            pass

        def advanced(self, done_bytes: int, rows: int) -> None:
            pass

    file = folder / "battles.jsonl"
    file.write_text('{"id": "1", "prompt": "p", "response_a": "a", "response_b": "b"}\n')
    Replay(producer=Raising(error), topic="battles", observer=Rejections(), stop=threading.Event()).battles(file)


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "PATIENCE_S", 0)


@pytest.mark.parametrize("user", [connect, read_dead_letters, ask_for_topics, begin_to_stream, replay])
def test_every_error_becomes_one_of_ours(user: Callable[[KafkaError, Path], None], tmp_path: Path) -> None:
    for kind in kafka_error_classes():
        with pytest.raises(StreamError) as told:
            user(kind("told by the broker"), tmp_path)
        denied = meaning_of(kind("")) is Meaning.DENIED
        assert isinstance(told.value, NotAuthorizedError) is denied, kind


def test_every_error_becomes_a_finding_of_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in kafka_error_classes():
        raising = Raising(kind("told by the broker"))
        monkeypatch.setattr(cluster, "make_producer", lambda *_, raising=raising, **__: raising)
        finding = attempt("transactions", lambda: cluster.check_transactions(StreamConfig.load()))
        assert finding.state in {"fail", "warn"}, kind
        assert finding.remedy, kind
        assert "broke down" not in finding.found, kind


@pytest.mark.parametrize(
    ("error", "setting", "bound"),
    [
        (kafka_errors.InvalidSessionTimeoutError(), "session_timeout_ms", "group.min.session.timeout.ms"),
        (kafka_errors.InvalidTransactionTimeoutError(), "transaction_timeout_ms", "transaction.max.timeout.ms"),
        # As the client tells it that takes a transactional id over.
        (KafkaError("[Error 50] InvalidTransactionTimeoutError"), "transaction_timeout_ms", "transaction.max.timeout"),
        (kafka_errors.InconsistentGroupProtocolError(), "cooperative-sticky", "choose another group_id"),
    ],
)
@pytest.mark.parametrize("otherwise", [None, NotAuthorizedError])
def test_a_setting_that_brokers_do_not_take_is_named_with_its_bound(
    error: KafkaError, setting: str, bound: str, otherwise: type[StreamError] | None
) -> None:
    """And is wrong usage, whatever it was asked for."""
    told = Translator("x", otherwise=otherwise).error(error)
    assert isinstance(told, UsageError)
    assert setting in str(told)
    assert bound in str(told)
