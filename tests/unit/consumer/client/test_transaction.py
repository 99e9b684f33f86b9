"""Every error of the client inside a transaction is survived, or becomes one of ours: for all who publish exactly once.

The table of faults runs over both: the stream's sink, and dead letters that are sent back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import ConsumerGroupMetadata, MemberState

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.clients import make_consumer, make_transactional_producer
from prefstream.consumer.client.kafka_errors import TABLE, Meaning, meaning_of
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.client.transaction import AbortedError, Transactions, UnsettledError
from prefstream.consumer.client.watchdog import Watchdog
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.dead_letters.reader import DeadLetter, RecordPosition
from prefstream.consumer.dead_letters.retry import retry_translator, send_back
from prefstream.consumer.errors import (
    BrokerUnreachableError,
    FencedError,
    NotAuthorizedError,
    StreamError,
    TopicMissingError,
    TransactionFailedError,
    UsageError,
)
from prefstream.consumer.stream.messages import Message
from prefstream.consumer.stream.partitions.assignment import Membership
from prefstream.consumer.stream.sink import Sink
from tests.support.kafka_errors import kafka_error_classes
from tests.support.scripted_clients import ScriptedProducer
from tests.support.streams import make_event

STEPS = ("begin_transaction", "send", "send_offsets_to_transaction", "delivery", "commit_transaction")
MEMBERSHIP = Membership(ConsumerGroupMetadata("g", 3, "m", None, MemberState.STABLE), 3, {})
OFFSETS = {TopicPartition("battles", 0): OffsetAndMetadata(1, "", -1)}
TRANSLATOR = retry_translator({"dead": "READ", "battles": "WRITE"}, "g", "g-~retry")

ErrorClass = type[kafka_errors.KafkaError]
Make = Callable[[], ScriptedProducer]

(FENCED,) = (row.kinds for row in TABLE if row.meaning is Meaning.FENCED)


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    with closing(Watchdog(60, lambda *_: None)) as watchdog:
        yield watchdog


class Stream:
    """The stream publishes a batch of one."""

    aborted: type[StreamError] = AbortedError
    unsettled: type[StreamError] = UnsettledError
    acls = "Write on transactional ids that start with prefstream-"
    fenced = "instance_id"

    def __init__(self, make: Make, watchdog: Watchdog, look: Callable[[], None] = lambda: None) -> None:
        self.sink = Sink(make, StreamConfig.load(), watchdog, require_topics=look)

    def publish(self) -> None:
        self.sink.open()
        self.sink.publish([Message(make_event(), b"key", b"value", [])], OFFSETS, MEMBERSHIP)


class Retry:
    """A dead letter is sent back."""

    aborted: type[StreamError] = StreamError
    unsettled: type[StreamError] = TransactionFailedError
    acls = "Write on transactional id g-~retry"
    fenced = "another retry"

    def __init__(self, make: Make, watchdog: Watchdog, look: Callable[[], None] = lambda: None) -> None:
        self.transactions = Transactions(make, watchdog, TRANSLATOR, look)
        self.told = 0

    def publish(self) -> None:
        self.transactions.open()
        letter = DeadLetter(RecordPosition("dead-letters", 0, 7), 0, b"key", b"value", ())
        with send_back(self.transactions, [(letter, "battles")], OFFSETS, "g"):
            self.told += 1


User = type[Stream] | type[Retry]


@pytest.fixture(params=[Stream, Retry], ids=["the stream", "a retry of dead letters"])
def user(request: pytest.FixtureRequest) -> User:
    """Who publishes exactly once."""
    chosen: User = request.param
    return chosen


def publish(user: User, watchdog: Watchdog, *producers: ScriptedProducer) -> None:
    scripted = iter([*producers, ScriptedProducer()])
    user(lambda: next(scripted), watchdog).publish()


def test_a_transaction_is_begin_send_offsets_commit(user: User, watchdog: Watchdog) -> None:
    producer = ScriptedProducer()
    publish(user, watchdog, producer)
    steps = [call for call in producer.calls if call in STEPS]
    assert steps == ["begin_transaction", "send", "send_offsets_to_transaction", "commit_transaction"]


@pytest.mark.parametrize("step", STEPS)
def test_every_error_aborts_or_is_told_and_nothing_is_committed(step: str, user: User, watchdog: Watchdog) -> None:
    for kind in kafka_error_classes():
        producer = ScriptedProducer(step, kind("told by the broker"))
        with pytest.raises((user.aborted, UsageError, FencedError, NotAuthorizedError)) as ended:
            publish(user, watchdog, producer)
        if issubclass(kind, FENCED):
            assert ended.type is FencedError, kind
        elif issubclass(kind, kafka_errors.AuthorizationError):
            assert ended.type is NotAuthorizedError, kind
        else:
            assert ended.type in {user.aborted, UsageError}, kind
            assert "abort_transaction" in producer.calls, kind
        assert step == "commit_transaction" or "commit_transaction" not in producer.calls, kind


def test_an_abort_that_fails_leaves_the_transaction_unsettled_unless_it_tells_of_fencing(
    user: User, watchdog: Watchdog
) -> None:
    for kind in kafka_error_classes():
        producer = ScriptedProducer("commit_transaction", kafka_errors.KafkaError("commit"))
        producer.abort_error = kind("told by the broker")
        with pytest.raises(FencedError if issubclass(kind, FENCED) else user.unsettled):
            publish(user, watchdog, producer)


@pytest.mark.parametrize("kind", FENCED, ids=lambda kind: kind.__name__)
def test_fencing_that_the_client_tells_in_words_alone_is_fencing(
    kind: ErrorClass, user: User, watchdog: Watchdog
) -> None:
    producer = ScriptedProducer("send_offsets_to_transaction", kafka_errors.KafkaError("in an error state"))
    producer.abort_error = kafka_errors.KafkaError(f"we are in an error state: {kind.__name__}")
    with pytest.raises(FencedError, match=user.fenced):
        publish(user, watchdog, producer)


@pytest.mark.parametrize("kind", kafka_error_classes(), ids=lambda kind: kind.__name__)
def test_every_error_of_taking_the_transactional_id_over_is_one_of_ours(
    kind: ErrorClass, user: User, watchdog: Watchdog
) -> None:
    told = {Meaning.DENIED: NotAuthorizedError, Meaning.WRONG_SETTING: UsageError}
    with pytest.raises(told.get(meaning_of(kind("told by the broker")), BrokerUnreachableError)):
        publish(user, watchdog, ScriptedProducer("init_transactions", kind("told by the broker")))


def test_a_right_that_was_taken_away_is_named_although_the_transaction_can_not_be_aborted(
    user: User, watchdog: Watchdog
) -> None:
    producer = ScriptedProducer(
        "send_offsets_to_transaction", kafka_errors.TransactionalIdAuthorizationFailedError("prefstream-one")
    )
    producer.abort_error = kafka_errors.KafkaError("in an error state")
    with pytest.raises(NotAuthorizedError, match=user.acls):
        publish(user, watchdog, producer)


@pytest.mark.parametrize("step", ["delivery", "send_offsets_to_transaction", "commit_transaction"])
def test_after_an_abort_the_producer_is_replaced(user: User, watchdog: Watchdog, step: str) -> None:
    """Its sequence numbers may be out of step with the broker's, and it keeps offsets that were refused."""
    first, second = ScriptedProducer(step, kafka_errors.InvalidRecordError()), ScriptedProducer()
    with pytest.raises(user.aborted):
        publish(user, watchdog, first, second)
    assert first.calls[-1] == "close"
    assert second.calls == ["init_transactions"]


def test_a_producer_that_can_not_be_replaced_leaves_the_transaction_unsettled(user: User, watchdog: Watchdog) -> None:
    """It is aborted, but nothing more can be sent until a producer is there."""
    first = ScriptedProducer("delivery", kafka_errors.InvalidRecordError())
    second = ScriptedProducer("init_transactions", kafka_errors.KafkaTimeoutError())
    with pytest.raises(user.unsettled):
        publish(user, watchdog, first, second)


def test_opened_again_it_publishes_with_another_producer(user: User, watchdog: Watchdog) -> None:
    first, second = ScriptedProducer(), ScriptedProducer()
    producers = iter([first, second])
    one = user(lambda: next(producers), watchdog)
    one.publish()
    one.publish()
    assert first.calls[-1] == "close"
    assert second.calls[0] == "init_transactions"
    assert second.calls[-1] == "commit_transaction"


@pytest.mark.parametrize(
    "error", [kafka_errors.UnknownTopicOrPartitionError(), kafka_errors.KafkaTimeoutError()], ids=repr
)
def test_a_transaction_that_fails_as_if_a_topic_were_gone_has_the_topics_looked_at(
    error: kafka_errors.KafkaError, user: User, watchdog: Watchdog
) -> None:
    """After the abort; what is found there ends the stream, and nobody reached means another try."""

    def publish_where(topics: Exception) -> None:
        def look() -> None:
            raise topics

        producer = ScriptedProducer("send_offsets_to_transaction", error)
        user(lambda: producer, watchdog, look).publish()

    with pytest.raises(TopicMissingError, match="preferences"):
        publish_where(TopicMissingError("no topic preferences"))
    with pytest.raises(user.aborted):
        publish_where(BrokerUnreachableError("nobody"))


@pytest.mark.parametrize("step", ["send", "delivery"])
def test_a_record_that_is_too_large_is_named(step: str, watchdog: Watchdog) -> None:
    producer = ScriptedProducer(step, kafka_errors.MessageSizeTooLargeError())
    with pytest.raises(AbortedError) as aborted:
        publish(Stream, watchdog, producer)
    assert aborted.value.oversized == (0,)
    with pytest.raises(UsageError, match=r"max\.message\.bytes"):
        publish(Retry, watchdog, ScriptedProducer(step, kafka_errors.MessageSizeTooLargeError()))


@pytest.mark.parametrize("sizes", [(10, 1_000, 20), (1_000, 10)])
def test_of_a_produce_batch_that_was_refused_the_large_ones_are_named(
    sizes: tuple[int, ...], watchdog: Watchdog
) -> None:
    """The broker fails small records along with the large one."""
    producer = ScriptedProducer("delivery", kafka_errors.MessageSizeTooLargeError())
    sink = Sink(lambda: producer, StreamConfig.load(), watchdog)
    sink.open()
    with pytest.raises(AbortedError) as aborted:
        sink.publish([Message(make_event(), b"", b"x" * size, []) for size in sizes], OFFSETS, MEMBERSHIP)
    assert aborted.value.oversized == (sizes.index(1_000),)


@pytest.mark.parametrize("wrong", [KeyboardInterrupt(), UsageError("gone meanwhile")], ids=repr)
def test_what_goes_wrong_on_our_side_aborts_the_transaction_and_is_told(
    wrong: BaseException, watchdog: Watchdog
) -> None:
    def letters() -> Iterator[tuple[DeadLetter, str]]:
        raise wrong
        yield

    producer = ScriptedProducer()
    producers = iter([producer, ScriptedProducer()])
    transactions = Transactions(lambda: next(producers), watchdog, TRANSLATOR)
    transactions.open()
    with pytest.raises(type(wrong)), send_back(transactions, letters(), OFFSETS, "g"):
        pytest.fail("nothing was sent")
    assert producer.calls[-1] == "abort_transaction"


def test_what_goes_wrong_after_the_commit_aborts_nothing(watchdog: Watchdog) -> None:
    producer = ScriptedProducer()
    transactions = Transactions(lambda: producer, watchdog, TRANSLATOR)
    transactions.open()
    with pytest.raises(KeyboardInterrupt), send_back(transactions, [], OFFSETS, "g"):
        raise KeyboardInterrupt
    assert producer.calls[-1] == "commit_transaction"


def test_a_producer_that_can_not_close_cleanly_does_not_hide_why_the_stream_ends(watchdog: Watchdog) -> None:
    class Stuck(ScriptedProducer):
        def close(self, *, timeout: float) -> None:
            raise kafka_errors.KafkaTimeoutError

    sink = Sink(Stuck, StreamConfig.load(), watchdog)
    sink.open()
    sink.close()


def test_offsets_that_the_coordinator_refused_are_not_sent_along_with_later_ones(watchdog: Watchdog) -> None:
    """kafka-python keeps them; their partition may be another member's by then, which has gone on."""
    with EmbeddedBroker() as broker:
        config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers)
        create_topics(config, 2)
        with (
            closing(make_consumer(config, group_id=config.group_id)) as consumer,
            closing(Sink(lambda: DeliversAtOnce(config), config, watchdog)) as sink,
        ):
            nobody = Membership(ConsumerGroupMetadata(config.group_id, -1, "", None, MemberState.UNJOINED), -1, {})
            ours, moved = (TopicPartition(config.battles_topic, partition) for partition in (0, 1))
            at_5, at_7 = (OffsetAndMetadata(offset, "", -1) for offset in (5, 7))
            message = Message(make_event(), b"key", b"value", [])
            sink.open()
            broker.faults.fail("TxnOffsetCommit", error_code=kafka_errors.IllegalGenerationError.errno)
            with pytest.raises(AbortedError):
                sink.publish([message], {ours: at_7, moved: at_5}, nobody)
            sink.publish([message], {ours: at_7}, nobody)
            assert [consumer.committed(partition, timeout_ms=100_000) for partition in (ours, moved)] == [7, None]


class DeliversAtOnce:
    """A real producer whose messages are on their topic before the offsets are sent."""

    def __init__(self, config: StreamConfig) -> None:
        self._producer = make_transactional_producer(config, "one")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def send_offsets_to_transaction(self, *given: Any) -> None:
        self._producer.flush()
        self._producer.send_offsets_to_transaction(*given)
