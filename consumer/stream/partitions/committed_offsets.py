"""What the group has committed of our partitions. The polling thread calls everything here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from prefstream.consumer.client.kafka_errors import KafkaError, Translator, is_retriable
from prefstream.consumer.client.protocols import GroupConsumer, OffsetAndMetadata, TopicPartition
from prefstream.consumer.errors import BrokerUnreachableError, StreamError
from prefstream.consumer.stream.partitions.assignment import Assignment

COMMITTED_TIMEOUT_MS: Final = 10_000
"""A coordinator fails over in about 9 s; what is not known by then is asked again at the next poll."""


class CommittedOffsets:
    """Committed offsets, asked for once per partition and assignment: from then on nobody but us commits them.

    Args:
        consumer: asks the coordinator.
        assignment: what is ours.
        translator: of errors of reading.
    """

    def __init__(self, consumer: GroupConsumer, assignment: Assignment, translator: Translator) -> None:
        self._consumer = consumer
        self._assignment = assignment
        self._translator = translator
        self._known: dict[TopicPartition, tuple[int, OffsetAndMetadata | None]] = {}

    def ask(self, partition: TopicPartition) -> OffsetAndMetadata | None:
        """What the coordinator says now; None where nothing is committed.

        Raises:
            BrokerUnreachableError: it did not tell in time; it may be asked again.
            StreamError: a fault that asking again can't mend.
        """
        try:
            return self._consumer.committed(partition, metadata=True, timeout_ms=COMMITTED_TIMEOUT_MS)
        except KafkaError as error:
            becomes = BrokerUnreachableError if is_retriable(error) else StreamError
            where = f"what was committed for {partition.topic}/{partition.partition} is not known"
            raise replace(self._translator, otherwise=becomes).error(error, where) from error

    def of(self, partition: TopicPartition) -> OffsetAndMetadata | None:
        """What is committed; asked where it is not known under the partition's epoch. Raises as `ask`."""
        epoch = self._assignment.epoch(partition)
        known = self._known.get(partition)
        if known is None or known[0] != epoch:
            known = (epoch, self.ask(partition))
            if epoch:
                self._known[partition] = known
        return known[1]

    def known(self, partition: TopicPartition) -> OffsetAndMetadata | None:
        """What is committed, as far as it is known; asks nobody."""
        known = self._known.get(partition)
        return known[1] if known and known[0] == self._assignment.epoch(partition) else None

    def note(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], epochs: Mapping[TopicPartition, int]) -> None:
        """We have committed these, under these epochs."""
        self._known |= {partition: (epochs[partition], offset) for partition, offset in offsets.items()}

    def forget(self) -> None:
        """How our last transaction ended is not known: ask again for everything."""
        self._known.clear()
