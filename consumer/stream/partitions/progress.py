"""How far we are in each partition: what was handed out of it, what of that is answered, and so what can be committed.

Where nothing of a partition is in flight, everything before its position is dealt with, and the position is what is
committed: behind the last record may stand transaction markers, records of aborted transactions, and what was skipped
because we were told so. Left uncommitted they would be lag for ever; and once retention has deleted them, the offset
before them would be taken for one of records that were lost.
"""

from __future__ import annotations

from collections.abc import Mapping

from prefstream.consumer.client.kafka_errors import KafkaError
from prefstream.consumer.client.protocols import GroupConsumer, TopicPartition
from prefstream.consumer.stream.partitions.assignment import Assignment
from prefstream.consumer.stream.partitions.committed_offsets import CommittedOffsets


class Progress:
    """Belongs to the polling thread.

    Args:
        consumer: knows the positions.
        assignment: what is ours; an epoch that was raised begins with nothing in flight.
        committed: what the group has committed.
    """

    def __init__(self, consumer: GroupConsumer, assignment: Assignment, committed: CommittedOffsets) -> None:
        self._consumer = consumer
        self._assignment = assignment
        self._committed = committed
        self._handed_out: dict[TopicPartition, tuple[int, int]] = {}  # epoch, offset behind the last record
        self._answered: dict[TopicPartition, tuple[int, int]] = {}

    def handed_out(self, partition: TopicPartition, epoch: int, end: int) -> None:
        """Records of a partition up to before an offset went out, to be answered."""
        self._handed_out[partition] = (epoch, end)

    def answered(self, ends: Mapping[TopicPartition, int], epochs: Mapping[TopicPartition, int]) -> None:
        """Answers to all records up to before these offsets are committed, under these epochs."""
        self._answered |= {partition: (epochs[partition], end) for partition, end in ends.items()}

    def committable(
        self, epochs: Mapping[TopicPartition, int], answering: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """The offsets that can be committed, of those partitions where it is another one than what is committed.

        Args:
            epochs: of our partitions, from the snapshot that the commit is checked against.
            answering: offsets behind the last records that are answered in the same transaction.

        Raises:
            BrokerUnreachableError: the coordinator does not tell what is committed; it may be asked again.
            StreamError: a fault that asking again can't mend.
        """
        offsets = dict(answering)
        for partition, epoch in epochs.items():
            if (position := self._free_position(partition, epoch, answering.get(partition))) is None:
                continue
            if partition in answering:
                offsets[partition] = max(position, answering[partition])
            else:
                committed = self._committed.of(partition)
                if committed is None or committed.offset != position:
                    offsets[partition] = position
        return offsets

    def lag(self) -> dict[TopicPartition, int]:
        """Offsets from what is committed to the end of each of our partitions, as far as we know; asks no broker.

        It is what any other client finds that asks for the group's lag.
        """
        lags = {}
        for partition in self._assignment.epochs():
            committed = self._committed.known(partition)
            known = committed and committed.offset >= 0  # else it waits to be replaced
            done = committed.offset if committed and known else self._consumer.known_position(partition)
            try:
                end = self._consumer.highwater(partition)
            except KafkaError:  # taken from us this moment
                continue
            if end is not None and done is not None:
                lags[partition] = max(0, end - done)
        return lags

    def _free_position(self, partition: TopicPartition, epoch: int, answering: int | None) -> int | None:
        """The position of a partition of which nothing is in flight beyond what is answered now; else None."""
        out = self._handed_out.get(partition)
        if out is not None and out[0] == epoch:
            answered = self._answered.get(partition)
            end = answering or (answered[1] if answered and answered[0] == epoch else 0)
            if out[1] > end:
                return None
        position = self._consumer.known_position(partition)
        # Looked at once more: read under another epoch, it may be beyond records that we don't hold any more.
        return position if self._assignment.epoch(partition) == epoch else None
