"""Transactions: records and a group's offsets, visible together or not at all.

One piece for all who publish exactly once: the stream, and who sends dead letters back.

A transaction that fails is aborted, and its producer replaced. Where one of the two can't be done it is unsettled: it
may be committed, aborted or open. A new producer with the same transactional id settles it (`Transactions.open`), and
the committed offsets tell how it ended. An abort tells fencing from that, too: kafka-python reports it under several
names.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

from kafka import errors as kafka_errors

from prefstream.consumer.client.kafka_errors import (
    KafkaError,
    Meaning,
    Translator,
    meaning_of,
    tells_of_fencing,
    why_of,
)
from prefstream.consumer.client.protocols import (
    Delivery,
    GroupMetadata,
    OffsetAndMetadata,
    TopicPartition,
    TransactionalProducer,
)
from prefstream.consumer.client.watchdog import Watchdog
from prefstream.consumer.errors import BrokerUnreachableError, StreamError

CLOSE_TIMEOUT_S: Final = 5.0
"""What a producer could not deliver by then is of a transaction that was not committed."""

MAYBE_GONE: Final = (kafka_errors.UnknownTopicOrPartitionError, kafka_errors.KafkaTimeoutError)
"""What a producer raises when a topic was deleted: while it adds its partitions, and when it asks where they are."""


class AbortedError(StreamError):
    """The transaction was aborted; nothing of it is visible, and it may be tried again.

    Attributes:
        oversized: positions, in the order of sending, of the records that are too large for their topic.
    """

    def __init__(self, message: str, oversized: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.oversized = tuple(oversized)


class UnsettledError(StreamError):
    """We could not abort the transaction, or have no new producer after that; `Transactions.open` settles it."""


class Transaction:
    """An open transaction; made by `Transactions.begin`.

    Attributes:
        committed: whether it has become visible.
    """

    def __init__(self, producer: TransactionalProducer) -> None:
        self._producer = producer
        self._sent: list[tuple[Delivery, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]] = []
        self._refused: int | None = None
        self.committed = False

    def send(
        self,
        topic: str,
        *,
        value: bytes | None,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        partition: int | None = None,
    ) -> None:
        """Send a record as a part of the transaction; whether it arrives is known at `commit`."""
        try:
            delivery = self._producer.send(topic, value=value, key=key, headers=headers, partition=partition)
        except kafka_errors.MessageSizeTooLargeError:
            self._refused = len(self._sent)  # by the client itself, which has a bound of its own
            raise
        self._sent.append((delivery, value, key, headers))

    def partitions_for(self, topic: str) -> set[int]:
        """The partitions of a topic."""
        return self._producer.partitions_for(topic)

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group: GroupMetadata | str) -> None:
        """Make everything that was sent visible, and the group's offsets with it.

        Args:
            offsets: per partition, the offset behind its last record that is dealt with.
            group: our place in the group, by which the broker fences who has lost it; or the group's name alone, for a
                group without members.
        """
        self._producer.send_offsets_to_transaction(offsets, group)
        self._require_delivered()
        self._producer.commit_transaction()
        self.committed = True

    def oversized(self) -> list[int]:
        """Positions of the records that were refused for their size."""
        if self._refused is not None:
            return [self._refused]
        refused = {
            position: sum(map(len, (value or b"", key or b"", *itertools.chain.from_iterable(headers))))
            for position, (delivery, value, key, headers) in enumerate(self._sent)
            if delivery.is_done and meaning_of(delivery.exception or Exception()) is Meaning.TOO_LARGE
        }
        # The broker judges a whole produce batch, and fails small records along with the large one.
        largest = max(refused.values(), default=0)
        return [position for position, size in refused.items() if 2 * size >= largest]

    def _require_delivered(self) -> None:
        """Wait until every record is on its topic, and raise what kept one from it.

        Without this kafka-python 3.0.12 may commit a transaction of which a record failed (its delivery time-out
        passed, its sequence number was refused, and others), and the offsets with it: the record would be lost.
        """
        with suppress(kafka_errors.UnknownError):  # raised where a batch was split for its size; the parts go on
            self._producer.flush()
        for delivery, _, _, _ in self._sent:
            if not delivery.is_done or delivery.exception is not None:
                delivery.get()


class Transactions:
    """The transactions of one transactional id, one after the other. Belongs to one thread.

    Args:
        make_producer: makes a transactional producer, always with the same transactional id.
        watchdog: bounds the calls that take no time-out.
        translator: what is being done, and which ACLs it takes.
        require_topics: raises what is wrong with the topics; asked where a transaction failed as if one were gone.
    """

    def __init__(
        self,
        make_producer: Callable[[], TransactionalProducer],
        watchdog: Watchdog,
        translator: Translator,
        require_topics: Callable[[], None] = lambda: None,
    ) -> None:
        self._make_producer = make_producer
        self._watchdog = watchdog
        self._translator = translator
        self._require_topics = require_topics
        self._producer: TransactionalProducer | None = None

    def open(self) -> None:
        """Take over the transactional id: ends what a predecessor left open, and fences it if it still lives.

        Called again it replaces the producer, and ends what that one left open.

        Raises:
            NotAuthorizedError: the transactional id is not ours to write.
            BrokerUnreachableError: no broker, or not the transaction coordinator, answered in time.
        """
        opening = replace(self._translator, doing="taking over the transactional id", otherwise=BrokerUnreachableError)
        with opening.translating(), self._watchdog.guard("init_transactions"):
            self.close()
            self._producer = self._make_producer()
            self._producer.init_transactions()

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """A transaction, to be committed within the block. Whatever leaves the block before aborts it.

        Raises:
            AbortedError: nothing became visible; it may be tried again.
            UnsettledError: nobody knows; open again, then the committed offsets tell.
            FencedError: another process has our transactional id or instance id.
            NotAuthorizedError: we may not write a topic.
            TopicMissingError: a topic was deleted.
        """
        if self._producer is None:
            raise RuntimeError("open() comes first")
        transaction = Transaction(self._producer)
        with self._watchdog.guard("transaction"):
            try:
                self._producer.begin_transaction()
                yield transaction
            except KafkaError as error:
                raise self._end(self._producer, transaction, error) from error
            except BaseException as error:  # Ctrl-C, or what the caller's own work in the block raised
                if not transaction.committed:
                    self._abort(self._producer, error)
                raise

    def close(self) -> None:
        """Close the producer; an open transaction is left to its successor or to its time-out."""
        if self._producer is None:
            return
        with suppress(KafkaError):  # what it could not deliver was not committed
            self._producer.close(timeout=CLOSE_TIMEOUT_S)

    def _end(self, producer: TransactionalProducer, transaction: Transaction, error: KafkaError) -> StreamError:
        """End a transaction that failed; returns what it comes to."""
        meaning = meaning_of(error)
        if meaning is Meaning.FENCED:
            return self._translator.error(error)
        if meaning is Meaning.DENIED:
            with suppress(UnsettledError):  # then a new process ends the transaction
                self._abort(producer, error)
            return self._translator.error(error)
        self._abort(producer, error)
        self._replace()
        if isinstance(error, MAYBE_GONE):
            with suppress(BrokerUnreachableError):  # then nobody knows, and it may be tried again
                self._require_topics()
        return AbortedError(why_of(error), transaction.oversized())

    def _abort(self, producer: TransactionalProducer, cause: BaseException) -> None:
        try:
            producer.abort_transaction()
        except KafkaError as error:
            if tells_of_fencing(error):
                raise self._translator.error(_FENCED) from error
            raise UnsettledError(
                f"{type(cause).__name__} in a transaction that could not be aborted ({type(error).__name__})"
            ) from error

    def _replace(self) -> None:
        """Take a new producer for one that has aborted.

        The client keeps what the broker does not have: sequence numbers of records that failed, so that every further
        one would be out of order, and offsets that were refused, which it would send along with the next
        transaction's, whoever has their partitions by then. A new producer begins with neither.
        """
        try:
            self.open()
        except BrokerUnreachableError as error:
            raise UnsettledError(str(error)) from error


_FENCED: Final = kafka_errors.ProducerFencedError()
"""Stands for fencing that was told in words alone."""
