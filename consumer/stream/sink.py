"""Kafka out: messages and consumed offsets in one transaction. The polling thread alone calls it.

Exactly once, step by step (the numbers are those of deploy/README.md, which says what a crash after each leaves):

    1. Every record carries the assignment epoch of its partition          (source.py)
    2. The batch is scored; no transaction is open meanwhile               (pipeline.py)
    3. Records of stale epochs are dropped                                 (stream.py)
    4. Begin; send messages; send offsets with the group's metadata; commit   (here)
    5. After an abort, what is still owned is sent again, before any later batch   (stream.py)

After a KafkaError inside a transaction an abort is tried. If it fails, the transaction is unsettled (it may have been
committed), and a new producer settles it. An abort tells fencing from that, too: kafka-python reports it under several
names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog
from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors

from prefstream.consumer.client.acl import denied_by
from prefstream.consumer.client.watchdog import Watchdog
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import BrokerUnreachableError, FencedError, StreamError
from prefstream.consumer.stream.assignment import Membership
from prefstream.consumer.stream.messages import Message

log = structlog.get_logger(__name__)

FENCED = (
    kafka_errors.ProducerFencedError,
    kafka_errors.InvalidProducerEpochError,
    kafka_errors.FencedInstanceIdError,
)

MAYBE_GONE = (kafka_errors.UnknownTopicOrPartitionError, kafka_errors.KafkaTimeoutError)
"""What a producer raises when a topic was deleted: while it adds its partitions, and when it asks where they are."""


class AbortedError(StreamError):
    """The transaction was aborted; nothing of it is visible, and it may be tried again.

    Attributes:
        oversized: the messages that are too large for the broker; they must shrink before the next try.
    """

    def __init__(self, message: str, oversized: Sequence[Message] = ()) -> None:
        super().__init__(message)
        self.oversized = tuple(oversized)


class UnsettledError(StreamError):
    """The transaction may be committed, aborted or open; `Sink.open` settles it, and the committed offsets tell how."""


class Sink:
    """Publishes batches exactly once.

    Args:
        make_producer: makes a transactional producer, always with the same transactional id.
        config: the stream's settings.
        watchdog: bounds the calls that take no time-out.
        require_topics: raises what is wrong with the topics; asked where a transaction failed as if one were gone.
    """

    def __init__(
        self,
        make_producer: Callable[[], Any],
        config: StreamConfig,
        watchdog: Watchdog,
        *,
        require_topics: Callable[[], None] = lambda: None,
    ) -> None:
        self._make_producer = make_producer
        self._producer: Any = None
        self._config = config
        self._topics = (config.preferences_topic, config.dead_letters_topic)
        self._watchdog = watchdog
        self._require_topics = require_topics

    def open(self) -> None:
        """Take over the transactional id: ends what a predecessor left open, and fences it if it still lives.

        Called again it replaces the producer, and ends what that one left open.

        Raises:
            NotAuthorizedError: the transactional id is not ours to write.
            BrokerUnreachableError: no broker, or not the transaction coordinator, answered in time.
        """
        try:
            with self._watchdog.guard("init_transactions"):
                self.close()
                self._producer = self._make_producer()
                self._producer.init_transactions()
        except kafka_errors.AuthorizationError as error:
            raise denied_by(error, self._config, self._topics) from error
        except kafka_errors.KafkaError as error:
            raise BrokerUnreachableError(
                f"no answer of use from the transaction coordinator: {type(error).__name__}"
            ) from error

    def publish(
        self, messages: Sequence[Message], offsets: Mapping[TopicPartition, OffsetAndMetadata], membership: Membership
    ) -> None:
        """Step 4: begin, send, send offsets, commit.

        Args:
            messages: one per record, all of partitions that `membership` owns.
            offsets: per partition, the offset behind its last record here.
            membership: the snapshot that the messages were checked against; the broker fences a stale one.

        Raises:
            AbortedError: nothing became visible; try again.
            UnsettledError: nobody knows; open again, then the committed offsets tell.
            FencedError: another process has our transactional id or instance id.
            NotAuthorizedError: we may not write a topic.
            TopicMissingError: a topic was deleted.
        """
        sent: list[tuple[Message, Any]] = []
        with self._watchdog.guard("transaction"):
            try:
                self._producer.begin_transaction()  # 4.1
                sent.extend((message, self._send(message)) for message in messages)  # 4.2
                self._producer.send_offsets_to_transaction(offsets, membership.metadata)  # 4.3
                self._require_delivered(sent)
                self._producer.commit_transaction()  # 4.4
            except _TooLargeError as error:
                self._abort(error)
                raise AbortedError("a message exceeds the client's bound", [error.record]) from None
            except FENCED as error:
                raise self._fenced(error) from error
            except kafka_errors.AuthorizationError as error:
                with suppress(UnsettledError):  # then a new process ends the transaction
                    self._abort(error)
                raise denied_by(error, self._config, self._topics) from error
            except kafka_errors.KafkaError as error:
                self._abort(error)
                if isinstance(error, MAYBE_GONE):
                    with suppress(BrokerUnreachableError):  # then nobody knows, and the batch is tried again
                        self._require_topics()
                raise AbortedError(f"{type(error).__name__}: {error}", _oversized(sent)) from error

    def close(self) -> None:
        """Close the producer; an open transaction is left to its successor or to its time-out."""
        if self._producer is None:
            return
        with suppress(kafka_errors.KafkaError):  # what it could not deliver was not committed
            self._producer.close(timeout=5)

    def _send(self, message: Message) -> Any:
        topic = self._config.preferences_topic if message.reason is None else self._config.dead_letters_topic
        try:
            return self._producer.send(topic, value=message.value, key=message.key, headers=message.headers)
        except kafka_errors.MessageSizeTooLargeError as error:
            raise _TooLargeError(message) from error

    def _require_delivered(self, sent: Sequence[tuple[Message, Any]]) -> None:
        """Wait until every message is on its topic, and raise what kept one from it.

        Without this kafka-python 3.0.12 may commit a transaction of which a message failed (its delivery time-out
        passed, its sequence number was refused, and others), and the offsets with it: the record would be lost.
        """
        with suppress(kafka_errors.UnknownError):  # raised where a batch was split for its size; the parts go on
            self._producer.flush()
        for _, future in sent:
            future.get()

    def _abort(self, cause: Exception) -> None:
        log.warning("transaction failed, aborting it", cause=type(cause).__name__)
        try:
            self._producer.abort_transaction()
        except FENCED as error:
            raise self._fenced(error) from cause
        except kafka_errors.KafkaError as error:
            if _tells_of_fencing(error):
                raise self._fenced(error) from cause
            raise UnsettledError(
                f"{type(cause).__name__} in a transaction that could not be aborted: {type(error).__name__}: {error}"
            ) from error
        # The client keeps what the broker does not have: sequence numbers of messages that failed, so that every
        # further one would be out of order, and offsets that were refused, which it would send along with the next
        # transaction's, whoever has their partitions by then. A new producer begins with neither.
        try:
            self.open()
        except BrokerUnreachableError as error:
            raise UnsettledError(str(error)) from error

    def _fenced(self, error: Exception) -> FencedError:
        return FencedError(
            f"another process uses our transactional id, or the broker timed our transaction out "
            f"({type(error).__name__}); give every process an instance_id of its own"
        )


class _TooLargeError(Exception):
    """The client itself refuses the message's size."""

    def __init__(self, record: Message) -> None:
        super().__init__()
        self.record = record


def _tells_of_fencing(error: kafka_errors.KafkaError) -> bool:
    """Whether a producer that is fenced says so: after the first time only in the text of a plain KafkaError."""
    return any(kind.__name__ in str(error) for kind in FENCED)


def _oversized(sent: Sequence[tuple[Message, Any]]) -> list[Message]:
    """The messages that the broker refused for their size."""
    refused = [
        message
        for message, future in sent
        if future.is_done and isinstance(future.exception, kafka_errors.MessageSizeTooLargeError)
    ]
    # The broker judges a whole produce batch, and fails small messages along with the large one.
    largest = max((message.size for message in refused), default=0)
    return [message for message in refused if 2 * message.size >= largest]
