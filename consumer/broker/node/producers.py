"""What one partition remembers of each idempotent producer, to keep its batches unique and in order."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from prefstream.consumer.broker.node.batch import NO_SEQUENCE, SEQUENCE_MODULO, RecordBatch
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError

# A producer may have five requests in flight, so a repeated batch is one of its last five.
_REMEMBERED_BATCHES: Final = 5


@dataclass(slots=True)
class _Producer:
    """Epoch and last batches of one producer; `batches` holds (first sequence, last sequence, offset)."""

    epoch: int
    batches: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_BATCHES))

    @property
    def last_sequence(self) -> int:
        return self.batches[-1][1] if self.batches else NO_SEQUENCE


class ProducerStates:
    """Sequence numbers and epochs of all producers of one partition."""

    def __init__(self) -> None:
        self._producers: dict[int, _Producer] = {}

    def check(self, batch: RecordBatch) -> int | None:
        """Decide about a batch before it is appended.

        Returns:
            None if it is new and in order; the offset it already has if it is a repetition.

        Raises:
            RequestRefusedError: the batch is from a fenced epoch, or batches before it are missing.
        """
        producer = self._producers.get(batch.producer_id)
        if producer is None:
            # Nothing is known, perhaps because the producer's records were deleted: any start is right.
            return None
        if batch.producer_epoch < producer.epoch:
            raise RequestRefusedError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"producer {batch.producer_id} is fenced: epoch {batch.producer_epoch}, newest {producer.epoch}",
            )
        if batch.producer_epoch > producer.epoch:
            expected = 0
        else:
            for first, last, offset in producer.batches:
                if first == batch.first_sequence and last == batch.last_sequence:
                    return offset
            expected = (producer.last_sequence + 1) % SEQUENCE_MODULO
        if batch.first_sequence != expected:
            raise RequestRefusedError(
                ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
                f"producer {batch.producer_id} sent sequence {batch.first_sequence}, expected {expected}",
            )
        return None

    def record(self, batch: RecordBatch) -> None:
        """Remember a batch that was appended."""
        producer = self._at_epoch(batch.producer_id, batch.producer_epoch)
        producer.batches.append((batch.first_sequence, batch.last_sequence, batch.base_offset))

    def fence(self, producer_id: int, epoch: int) -> None:
        """Remember the epoch of a transaction marker: batches of older epochs are refused from now on."""
        self._at_epoch(producer_id, epoch)

    def _at_epoch(self, producer_id: int, epoch: int) -> _Producer:
        producer = self._producers.get(producer_id)
        if producer is None or epoch > producer.epoch:
            producer = self._producers[producer_id] = _Producer(epoch)
        return producer
