"""Records of a range, read by a consumer outside of any group, in chunks that follow from the range alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Final

from prefstream.consumer.client.offsets import read_ranges, refuse_shorter
from prefstream.consumer.client.protocols import Consumer, ConsumerRecord, TopicPartition
from prefstream.consumer.rescore.progress import RangeProgress
from prefstream.consumer.stream.pipeline import battle_of
from prefstream.schemas import Battle, Framing, InvalidEventError, Reason
from prefstream.scoring.panel.panel import EncodedBatch
from prefstream.scoring.panel.scorer import Scorer

MAX_CHUNK_BYTES: Final = 64 << 20
"""A chunk ends early at this size: a hundred records of the largest size would not fit in memory."""


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A record that can't be scored, and why; no text of it."""

    record: ConsumerRecord = field(repr=False)
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class RecordChunk:
    """Records of one partition that are scored together, decoded and tokenised.

    Attributes:
        partition: its number.
        next: offset behind what was read.
        records: those that hold a battle.
        battles: theirs.
        refused: those that hold none.
        encoded: the battles; None where there are none.
        tokenise_s: seconds that decoding and tokenising took.
    """

    partition: int
    next: int
    records: tuple[ConsumerRecord, ...] = field(repr=False)
    battles: tuple[Battle, ...] = field(repr=False)
    refused: tuple[RefusedRecord, ...]
    encoded: EncodedBatch | None
    tokenise_s: float


class ChunkReader:
    """Reads what is left of a range, partition after partition, so that the order is the same each time.

    Args:
        consumer: without a group; belongs to whoever iterates.
        scorer: tokenises.
        framing: what stands before a battle's JSON.
        rows: records of a chunk, at most.
        on_deleted: told a partition, as topic/partition, and how many offsets of the range were deleted unread.
    """

    def __init__(
        self,
        consumer: Consumer,
        scorer: Scorer,
        *,
        framing: Framing,
        rows: int,
        on_deleted: Callable[[str, int], None],
    ) -> None:
        self._consumer = consumer
        self._scorer = scorer
        self._framing = framing
        self._rows = rows
        self._on_deleted = on_deleted

    def read(self, progress: RangeProgress) -> Generator[RecordChunk]:
        """Chunks up to the end of the range; the last one of a partition may be without records.

        Raises:
            KafkaError: reading failed.
            DataLossError: the topic was made anew meanwhile.
        """
        for partition in progress.partitions:
            if not partition.left:
                continue
            place = TopicPartition(progress.topic, partition.partition)
            gathered: list[ConsumerRecord] = []
            size = 0
            span = range(partition.next, partition.end)
            for record in read_ranges(self._consumer, {place: span}, on_deleted=self._deleted):
                gathered.append(record)
                size += len(record.value or b"")
                if len(gathered) == self._rows or size >= MAX_CHUNK_BYTES:
                    yield self._chunk(partition.partition, gathered, gathered[-1].offset + 1)
                    gathered, size = [], 0
            yield self._chunk(partition.partition, gathered, partition.end)

    def _deleted(self, partition: TopicPartition, offsets: range) -> None:
        refuse_shorter(partition, offsets)
        self._on_deleted(f"{partition.topic}/{partition.partition}", len(offsets))

    def _chunk(self, partition: int, gathered: list[ConsumerRecord], behind: int) -> RecordChunk:
        began = time.perf_counter()
        records, battles, refused = [], [], []
        for record in gathered:
            try:
                battles.append(battle_of(record, self._framing))
            except InvalidEventError as error:
                refused.append(RefusedRecord(record, error.reason, error.detail))
            else:
                records.append(record)
        encoded = self._scorer.encode(battles) if battles else None
        return RecordChunk(
            partition,
            behind,
            tuple(records),
            tuple(battles),
            tuple(refused),
            encoded,
            time.perf_counter() - began,
        )
