"""Scores a range of a topic once more. While one chunk is scored, a thread reads and tokenises the next."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from prefstream.consumer.client.protocols import Consumer
from prefstream.consumer.client.values import place_of
from prefstream.consumer.rescore.chunks import ChunkReader, RecordChunk, RefusedRecord
from prefstream.consumer.rescore.observer import RangeObserver
from prefstream.consumer.rescore.progress import RangeProgress
from prefstream.consumer.rescore.targets import RescoredBattle, RescoredChunk, RescoreTarget
from prefstream.schemas import Framing, Reason, Timings
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.panel.scorer import Scorer


@dataclass(frozen=True, slots=True)
class RescoreSummary:
    """What a run did.

    Attributes:
        progress: how far the range is done, by this run and those before.
        before: how far it was when this run began.
        seconds: time of this run, without loading the panel.
        complete: whether the end of the range was reached.
    """

    progress: RangeProgress
    before: RangeProgress
    seconds: float
    complete: bool

    @property
    def battles_per_s(self) -> float:
        """Battles that this run answered, per second."""
        return (self.progress.scored - self.before.scored) / self.seconds if self.seconds else 0.0


def rescore_range(
    consumer: Consumer,
    fixed: RangeProgress,
    scorer: Scorer,
    target: RescoreTarget,
    *,
    framing: Framing,
    chunk_rows: int,
    observer: RangeObserver,
    stop: threading.Event,
) -> RescoreSummary:
    """Score what is left of a range.

    Args:
        consumer: without a group; used by one thread at a time.
        fixed: a run that has read nothing, over the range as it is now.
        scorer: the panel.
        target: opened already.
        framing: what stands before a battle's JSON.
        chunk_rows: records that are scored and written together.
        observer: is told what happens.
        stop: when set, the run ends after the chunk at hand and can be gone on with.

    Raises:
        StreamError: reading or writing failed; what was written counts.
        JudgeFaultError: the panel can't answer; likewise.
    """
    started = time.perf_counter()
    before = progress = target.begin(fixed)
    observer.began(str(before), before.left)
    reader = ChunkReader(consumer, scorer, framing=framing, rows=chunk_rows, on_deleted=observer.deleted)
    with (
        closing(reader.read(before)) as chunks,
        ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as ahead,
    ):
        upcoming = ahead.submit(next, chunks, None)
        while chunk := upcoming.result():
            if stop.is_set():
                break
            upcoming = ahead.submit(next, chunks, None)
            answered = _answer(scorer, chunk)
            progress, refused = target.write(answered, progress)
            for record in (*answered.refused, *refused):
                observer.rejected(place_of(record.record), f"{record.reason}: {record.detail}")
            observer.advanced(before.left - progress.left)
        complete = chunk is None
        if complete:
            target.finish()
    return RescoreSummary(progress, before, time.perf_counter() - started, complete)


def _answer(scorer: Scorer, chunk: RecordChunk) -> RescoredChunk:
    began = time.perf_counter()
    results = scorer.score_encoded(chunk.encoded) if chunk.encoded else []
    timings = Timings(
        queue_s=0.0, tokenise_s=chunk.tokenise_s, inference_s=time.perf_counter() - began, scored_at=datetime.now(UTC)
    )
    scored, refused = [], list(chunk.refused)
    for record, battle, result in zip(chunk.records, chunk.battles, results, strict=True):
        if isinstance(result, BattleTooLargeError):
            refused.append(RefusedRecord(record, Reason.TOO_LARGE_FOR_JUDGE, str(result)))
        else:
            scored.append(RescoredBattle(record, battle, result))
    return RescoredChunk(chunk.partition, chunk.next, tuple(scored), tuple(refused), timings)
