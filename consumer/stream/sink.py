"""Kafka out: messages and consumed offsets in one transaction. The polling thread alone calls it.

Exactly once, step by step (the numbers are those of deploy/README.md, which says what a crash after each leaves):

    1. Every record carries the assignment epoch of its partition          (source.py)
    2. The batch is scored; no transaction is open meanwhile               (pipeline.py)
    3. Records of stale epochs are dropped                                 (publisher.py)
    4. Begin; send messages; send offsets with the group's metadata; commit   (here, by client/transaction.py)
    5. After an abort, what is still owned is sent again, before any later batch   (publisher.py)
    6. Where nothing of a partition is in flight, its position is committed, if it is another   (progress.py)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from prefstream.consumer.client.acl import GRANT, acls_of_stream, topic_operations
from prefstream.consumer.client.kafka_errors import Meaning, Translator
from prefstream.consumer.client.protocols import OffsetAndMetadata, TopicPartition, TransactionalProducer
from prefstream.consumer.client.transaction import Transactions
from prefstream.consumer.client.watchdog import Watchdog
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.stream.messages import Message
from prefstream.consumer.stream.partitions.assignment import Membership
from prefstream.schemas.dead_letter import HEADER_GROUP


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
        make_producer: Callable[[], TransactionalProducer],
        config: StreamConfig,
        watchdog: Watchdog,
        *,
        require_topics: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._group = (HEADER_GROUP, config.group.encode())
        translator = Translator(
            "publishing",
            acls=acls_of_stream(
                config, [topic for topic, needed in topic_operations(config).items() if needed == "WRITE"]
            ),
            remedies={
                Meaning.DENIED: GRANT,
                Meaning.FENCED: "another process uses our transactional id, or the broker timed our transaction out: "
                "give every process an instance_id of its own",
            },
        )
        self._transactions = Transactions(make_producer, watchdog, translator, require_topics)

    def open(self) -> None:
        """Take over the transactional id, again where a transaction is unsettled; raises as `Transactions.open`."""
        self._transactions.open()

    def publish(
        self, messages: Sequence[Message], offsets: Mapping[TopicPartition, OffsetAndMetadata], membership: Membership
    ) -> None:
        """Step 4: begin, send, send offsets, commit. Raises what `Transactions.begin` does.

        A shadow sends no dead letters.

        Args:
            messages: one per record, all of partitions that `membership` owns, and copies for review; none where
                positions are.
            offsets: per partition, the offset behind its last record here, or behind what follows that and is none.
            membership: the snapshot that the messages were checked against; the broker fences a stale one.
        """
        with self._transactions.begin() as transaction:  # 4.1
            for message in messages:
                if message.reason is not None and self._config.shadow:
                    continue  # those who serve write the dead letter
                headers = message.headers if message.reason is None else [*message.headers, self._group]
                transaction.send(self._topic_of(message), value=message.value, key=message.key, headers=headers)  # 4.2
            transaction.commit(offsets, membership.metadata)  # 4.3, 4.4

    def _topic_of(self, message: Message) -> str:
        if message.copy_of is not None and self._config.review_topic:
            return self._config.review_topic
        return self._config.answers_topic if message.reason is None else self._config.dead_letters_topic

    def close(self) -> None:
        """Close the producer; an open transaction is left to its successor or to its time-out."""
        self._transactions.close()
