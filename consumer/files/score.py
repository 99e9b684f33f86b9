"""Scores a file without Kafka. The same input and panel give the same bytes, interrupted or not.

A chunk is the unit of everything: read together, scored together, written together, and then counted in the
checkpoint. Its boundaries follow from the input alone, so a resumed run scores the very batches that an uninterrupted
one would have: the composition of a batch decides the last bits of its probabilities. While one chunk is scored, a
thread reads and tokenises the next.

    1. Score the chunk                      a crash here: nothing of it is on the disk
    2. Append its rows, rejected ones too   a crash here: they stand beyond the checkpoint and are cut off on resuming
    3. Replace the checkpoint               a crash here: the chunk counts or it doesn't, as 2 says or as 4 does
    4. Go on with the next                  a crash here: resuming begins behind this chunk
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from prefstream.consumer.errors import UsageError
from prefstream.consumer.files.observer import FileObserver
from prefstream.consumer.files.score_output import ScoreOutput, ScorePaths, score_output
from prefstream.consumer.files.score_progress import Checkpoint, PrefixHash
from prefstream.consumer.files.score_rows import RowWriter
from prefstream.schemas import Battle, Reason
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.files.battles import check_battles_file, read_battles
from prefstream.scoring.files.row_warnings import REPEATED_ID, SeenIds
from prefstream.scoring.files.rows import START, FileRecord, RejectedRow
from prefstream.scoring.panel.panel import EncodedBatch, Panel

DEFAULT_CHUNK_ROWS: Final = 128
"""Enough battles to sort by length into full micro-batches; on two cores with judges of 300 million weights less than
a minute of work, which is what an interruption loses or waits for, and how often progress shows."""

MAX_CHUNK_BYTES: Final = 64 << 20
"""A chunk ends early at this size: a hundred rows of the largest size would not fit in memory."""


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """What a run did.

    Attributes:
        scored: rows in the output, those from before an interruption too.
        rejected: rows rejected, likewise.
        resumed_rows: how many of both came from before.
        seconds: time of this run, without loading the panel.
        complete: whether the input's end was reached.
    """

    scored: int
    rejected: int
    resumed_rows: int
    seconds: float
    complete: bool

    @property
    def battles_per_s(self) -> float:
        """Rows that this run went through, per second."""
        return (self.scored + self.rejected - self.resumed_rows) / self.seconds if self.seconds else 0.0


def check_score(
    paths: ScorePaths,
    *,
    resume: bool,
    force: bool,
    chunk_rows: int = DEFAULT_CHUNK_ROWS,
    publish_models: bool = True,
) -> None:
    """Refuse what can't work, before judges are loaded.

    Raises:
        FileError: the input can't be used.
        UsageError: output or checkpoint can't be used as asked. Whether the panel is that of the interrupted run shows
            when it is loaded.
    """
    _check_files(paths, resume=resume, force=force)
    saved = Checkpoint.load(paths.checkpoint) if resume else None
    if saved:
        with PrefixHash(paths.source) as hashed:
            begin = _beginning(paths, hashed, saved, saved.panel, chunk_rows, publish_models=publish_models)
            saved.refuse_other(begin, paths.checkpoint)


def _check_files(paths: ScorePaths, *, resume: bool, force: bool) -> None:
    check_battles_file(paths.source)
    paths.check(resume=resume, force=force)


def panel_identity(config: PanelConfig, panel: Panel) -> str:
    """Hash of all that decides a panel's answers to the last bit: two of one hash give the same probabilities.

    Stricter than `Panel.identity`, which answers carry and which is the same on another device.
    """
    calibration = Path(config.calibration).read_bytes() if config.calibration else b""
    judges = [judge.provenance.model_dump(mode="json") for judge in panel.judges]
    # Not by orjson: the path of a file may be no UTF-8.
    described = json.dumps([config.model_dump(mode="json"), judges, hashlib.sha256(calibration).hexdigest()])
    return hashlib.sha256(described.encode()).hexdigest()


def score_file(
    paths: ScorePaths,
    panel: Panel,
    *,
    identity: str,
    observer: FileObserver,
    stop: threading.Event,
    resume: bool = False,
    force: bool = False,
    chunk_rows: int = DEFAULT_CHUNK_ROWS,
    publish_models: bool = True,
) -> ScoreSummary:
    """Score every row of a file.

    Args:
        paths: input and output.
        panel: who scores; stays open.
        identity: `panel_identity` of it; a run is resumed only with the same.
        observer: is told of progress and rejected rows.
        stop: when set, the run ends after the chunk at hand and can be resumed.
        resume: go on where an interrupted run stopped; without one, begin.
        force: overwrite what is there.
        chunk_rows: rows of a chunk; part of what decides the last bits of the result.
        publish_models: in preferences, pass on who wrote the responses.

    Raises:
        FileError: the input can't be used.
        UsageError: output or checkpoint can't be used as asked.
        StreamError: the output can't be written.
        JudgeFaultError: the panel can't answer; what was written can be resumed.
    """
    _check_files(paths, resume=resume, force=force)
    with score_output(paths) as output, PrefixHash(paths.source) as hashed:
        begin = partial(_beginning, paths, hashed, panel=identity, chunk_rows=chunk_rows, publish_models=publish_models)
        checkpoint = _begin(paths, output, begin, resume=resume)
        output.cut_to(checkpoint)
        return _Run(paths, panel, output, hashed, observer, publish_models=publish_models).until_end(checkpoint, stop)


def _begin(
    paths: ScorePaths, output: ScoreOutput, beginning: Callable[[Checkpoint | None], Checkpoint], *, resume: bool
) -> Checkpoint:
    """The checkpoint to go on from. A new one is on the disk before the output changes: a crash then resumes it."""
    saved = Checkpoint.load(paths.checkpoint) if resume else None
    begin = beginning(saved)
    if saved:
        saved.refuse_other(begin, paths.checkpoint)
        return saved
    if resume and paths.finished:
        raise UsageError(f"{paths.out} is finished: there is nothing to resume; score again with --force")
    output.keep(begin)
    return begin


def _beginning(
    paths: ScorePaths,
    hashed: PrefixHash,
    saved: Checkpoint | None,
    panel: str,
    chunk_rows: int,
    *,
    publish_models: bool,
) -> Checkpoint:
    """What this run would start with; its input's hash reaches as far as that of the one that was saved."""
    return Checkpoint(
        input_bytes=paths.source.stat().st_size,
        input_sha256=hashed.up_to(saved.offset if saved else START.offset),
        output_format=paths.format,
        panel=panel,
        chunk_rows=chunk_rows,
        publish_models=publish_models,
    )


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Rows that are scored together; `encoded` holds the battles among them, None where there are none."""

    records: list[FileRecord[Battle]]
    encoded: EncodedBatch | None

    @property
    def last(self) -> FileRecord[Battle]:
        return self.records[-1]


class _Run:
    """One run of `score_file`, between opening its files and closing them."""

    def __init__(
        self,
        paths: ScorePaths,
        panel: Panel,
        output: ScoreOutput,
        hashed: PrefixHash,
        observer: FileObserver,
        *,
        publish_models: bool,
    ) -> None:
        self._paths = paths
        self._panel = panel
        self._rows = RowWriter(paths.format, paths.source, publish_models=publish_models)
        self._output = output
        self._hashed = hashed
        self._observer = observer
        self._ids = SeenIds()  # of this run: those from before an interruption are not read again

    def until_end(self, checkpoint: Checkpoint, stop: threading.Event) -> ScoreSummary:
        """Score chunk by chunk until the input ends or `stop` is set."""
        started = time.perf_counter()
        resumed_rows = checkpoint.scored + checkpoint.rejected
        with (
            closing(read_battles(self._paths.source, start=checkpoint.position)) as records,
            ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as ahead,
        ):
            upcoming = ahead.submit(self._next_chunk, records, checkpoint.chunk_rows)
            while chunk := upcoming.result():
                if stop.is_set():
                    break
                upcoming = ahead.submit(self._next_chunk, records, checkpoint.chunk_rows)
                checkpoint = self._finish_chunk(chunk, checkpoint)
                rows = checkpoint.scored + checkpoint.rejected - resumed_rows
                self._observer.advanced(checkpoint.done_bytes, rows)
        complete = chunk is None
        if complete:
            if not checkpoint.output_bytes:
                self._output.append(self._rows.header(), b"")  # an input without rows has a header all the same
            self._output.finish()
        return ScoreSummary(
            scored=checkpoint.scored,
            rejected=checkpoint.rejected,
            resumed_rows=resumed_rows,
            seconds=time.perf_counter() - started,
            complete=complete,
        )

    def _next_chunk(self, records: Iterator[FileRecord[Battle]], rows: int) -> _Chunk | None:
        """Read and tokenise, on the read-ahead thread. Its calls follow one another, so `records` has one user."""
        chunk: list[FileRecord[Battle]] = []
        size = 0
        for record in records:
            chunk.append(record)
            size += len(record.raw)
            if len(chunk) == rows or size >= MAX_CHUNK_BYTES:
                break
        if not chunk:
            return None
        battles = [record.content for record in chunk if isinstance(record.content, Battle)]
        return _Chunk(chunk, self._panel.encode(battles) if battles else None)

    def _finish_chunk(self, chunk: _Chunk, before: Checkpoint) -> Checkpoint:
        scored, rejected = [], []
        answers = iter(self._panel.score_encoded(chunk.encoded) if chunk.encoded else [])
        for record in chunk.records:
            if isinstance(record.content, RejectedRow):
                rejected.append(self._reject(record, record.content))
                continue
            for warning in record.warnings:
                self._observer.warned(record.line, warning)
            if self._ids.is_repeated(record.content.id):
                self._observer.warned(record.line, REPEATED_ID)
            answer = next(answers)
            if isinstance(answer, BattleTooLargeError):
                rejected.append(self._reject(record, RejectedRow(Reason.TOO_LARGE_FOR_JUDGE, str(answer))))
            else:
                scored.append(self._rows.row(record.content, record.line, answer))
        header = b"" if before.output_bytes else self._rows.header()
        output_bytes, rejected_bytes = self._output.append(header + b"".join(scored), b"".join(rejected))
        after = before.model_copy(
            update={
                "offset": chunk.last.end.offset,
                "done_bytes": chunk.last.done_bytes,
                "line": chunk.last.end.line,
                "input_sha256": self._hashed.up_to(chunk.last.end.offset),
                "scored": before.scored + len(scored),
                "rejected": before.rejected + len(rejected),
                "output_bytes": output_bytes,
                "rejected_bytes": rejected_bytes,
            }
        )
        self._output.keep(after)
        return after

    def _reject(self, record: FileRecord[Battle], row: RejectedRow) -> bytes:
        self._observer.rejected(record.line, row)
        return self._rows.rejected_row(record, row)
