"""Where answers of a run go, and where it is kept how far it is: in one step with them, whatever the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from prefstream.consumer.client.protocols import ConsumerRecord
from prefstream.consumer.rescore.chunks import RefusedRecord
from prefstream.consumer.rescore.progress import RangeProgress
from prefstream.schemas import Battle, KafkaSource, Timings
from prefstream.scoring.panel.combine import PanelAnswer


@dataclass(frozen=True, slots=True)
class RescoredBattle:
    """A battle with its new answer."""

    record: ConsumerRecord = field(repr=False)
    battle: Battle = field(repr=False)
    answer: PanelAnswer

    @property
    def source(self) -> KafkaSource:
        """Where the battle stands: by this the answer is joined with others."""
        return KafkaSource(topic=self.record.topic, partition=self.record.partition, offset=self.record.offset)


@dataclass(frozen=True, slots=True)
class RescoredChunk:
    """What is written together.

    Attributes:
        partition: its number.
        next: offset behind what was read.
        scored: battles with their answers, in order.
        refused: records that have none.
        timings: what the chunk took.
    """

    partition: int
    next: int
    scored: tuple[RescoredBattle, ...]
    refused: tuple[RefusedRecord, ...]
    timings: Timings


class RescoreTarget(Protocol):
    """Where answers go. A context manager."""

    def __enter__(self) -> Self:
        """Open; from here on nobody else writes this run."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what is open."""

    def begin(self, fixed: RangeProgress) -> RangeProgress:
        """Where to go on.

        Args:
            fixed: a run that has read nothing, over the range as it is now.

        Returns:
            The same, or how far an earlier run came, over the range that it was given.

        Raises:
            StreamError: it can't be gone on with, or nobody tells.
        """

    def write(self, chunk: RescoredChunk, progress: RangeProgress) -> tuple[RangeProgress, Sequence[RefusedRecord]]:
        """Write answers, and return when they are safe, and it is, too, how far the run is.

        Args:
            chunk: what was answered.
            progress: before it.

        Returns:
            Behind it; and what the target itself refused.

        Raises:
            StreamError: they could not be written; the run may be started again.
        """

    def finish(self) -> None:
        """The range is done."""


def advanced(progress: RangeProgress, chunk: RescoredChunk, *, refused_there: int = 0) -> RangeProgress:
    """How far a run is behind a chunk.

    Args:
        progress: before it.
        chunk: what was written.
        refused_there: answers that the target refused.
    """
    [before] = [one for one in progress.partitions if one.partition == chunk.partition]
    return progress.with_partition(
        before.model_copy(
            update={
                "next": chunk.next,
                "scored": before.scored + len(chunk.scored) - refused_there,
                "rejected": before.rejected + len(chunk.refused) + refused_there,
            }
        )
    )
