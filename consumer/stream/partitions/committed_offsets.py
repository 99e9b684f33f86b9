"""What the group has committed of our partitions. The polling thread calls everything here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
        on_learned: called with what was found for a partition and its epoch; returns what is remembered of both.
    """

    def __init__(
        self,
        consumer: GroupConsumer,
        assignment: Assignment,
        translator: Translator,
        on_learned: Callable[[TopicPartition, int, OffsetAndMetadata], tuple[int, OffsetAndMetadata]] = (
            lambda _, epoch, committed: (epoch, committed)
        ),
    ) -> None:
        self._consumer = consumer
        self._assignment = assignment
        self._translator = translator
        self._on_learned = on_learned
        self._known: dict[TopicPartition, tuple[int, OffsetAndMetadata | None]] = {}

    def ask(self, partition: TopicPartition) -> OffsetAndMetadata | None:
        """What the coordinator says now; None where nothing is committed.

        Raises:
            BrokerUnreachableError: it did not tell in time; it may be asked again.
            StreamError: a fault that asking again can't mend.
        """
        with self._translating(f"what was committed for {partition.topic}/{partition.partition} is not known"):
            return self._consumer.committed(partition, metadata=True, timeout_ms=COMMITTED_TIMEOUT_MS)

    def of(self, partition: TopicPartition) -> OffsetAndMetadata | None:
        """What is committed; asked where it is not known under the partition's epoch. Raises as `ask`."""
        epoch = self._assignment.epoch(partition)
        known = self._known.get(partition)
        if known and known[0] == epoch:
            return known[1]
        committed = self.ask(partition)
        if not epoch:
            return committed
        if committed:
            with self._translating(f"where to go on in {partition.topic}/{partition.partition} is not known"):
                epoch, committed = self._on_learned(partition, epoch, committed)
        self._known[partition] = (epoch, committed)
        return committed

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

    @contextmanager
    def _translating(self, where: str) -> Iterator[None]:
        try:
            yield
        except KafkaError as error:
            becomes = BrokerUnreachableError if is_retriable(error) else StreamError
            raise replace(self._translator, otherwise=becomes).error(error, where) from error
