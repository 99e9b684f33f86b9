"""One file of a run of `score`: its rows chunk by chunk, and what became of them on the disk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from typing import Final, Self

from prefstream.consumer.errors import UsageError
from prefstream.consumer.files.observer import FileObserver
from prefstream.consumer.files.score_chunks import Chunk, ScoredRow
from prefstream.consumer.files.score_output import ScorePaths, score_output
from prefstream.consumer.files.score_progress import Checkpoint, PrefixHash
from prefstream.consumer.files.score_rows import RowWriter
from prefstream.schemas import Battle
from prefstream.scoring.files.battles import check_battles_file, read_battles
from prefstream.scoring.files.row_warnings import REPEATED_ID, SeenIds
from prefstream.scoring.files.rows import START, FileRecord, RejectedRow

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

    @classmethod
    def of_all(cls, parts: Sequence[ScoreSummary], seconds: float, *, of: int) -> Self:
        """Several files as one run.

        Args:
            parts: of the files that were begun.
            seconds: of all of it: of two files, the second begins before the first one ends.
            of: how many files there are.
        """
        return cls(
            scored=sum(part.scored for part in parts),
            rejected=sum(part.rejected for part in parts),
            resumed_rows=sum(part.resumed_rows for part in parts),
            seconds=seconds,
            complete=len(parts) == of and all(part.complete for part in parts),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How files are scored.

    Attributes:
        resume: go on where an interrupted run stopped; without one, begin.
        force: overwrite what is there.
        chunk_rows: rows of a chunk; part of what decides the last bits of the result.
        publish_models: in preferences, pass on who wrote the responses.
    """

    resume: bool = False
    force: bool = False
    chunk_rows: int = DEFAULT_CHUNK_ROWS
    publish_models: bool = True

    def check(self, paths: ScorePaths) -> None:
        """Refuse what can't work.

        Raises:
            FileError: the input can't be used.
            UsageError: output or checkpoint can't be used as asked.
        """
        check_battles_file(paths.source)
        paths.check(resume=self.resume, force=self.force)

    def beginning(self, paths: ScorePaths, hashed: PrefixHash, saved: Checkpoint | None, panel: str) -> Checkpoint:
        """What a run would start with; its input's hash reaches as far as that of the one that was saved."""
        return Checkpoint(
            input_bytes=paths.source.stat().st_size,
            input_sha256=hashed.up_to(saved.offset if saved else START.offset),
            output_format=paths.format,
            panel=panel,
            chunk_rows=self.chunk_rows,
            publish_models=self.publish_models,
        )


class ScoreRun:
    """A file that is being scored, open until it is closed.

    Args:
        paths: input and output.
        settings: how it is scored.
        identity: `panel_identity` of the panel.
        present: entered before the input is looked at, left when it is done with.

    Raises:
        FileError: the input can't be used.
        UsageError: output or checkpoint can't be used as asked.
        StreamError: the output can't be written.
    """

    def __init__(
        self, paths: ScorePaths, settings: RunSettings, *, identity: str, present: AbstractContextManager[object]
    ) -> None:
        self._began = time.perf_counter()
        self._paths = paths
        self._rows = RowWriter(paths.format, paths.source, publish_models=settings.publish_models)
        self._ids = SeenIds()  # of this run: those from before an interruption are not read again
        self._complete = False
        with ExitStack() as opening:
            opening.enter_context(present)
            settings.check(paths)
            self._output = opening.enter_context(score_output(paths))
            self._hashed = opening.enter_context(PrefixHash(paths.source))
            self._checkpoint = self._begin(settings, identity)
            self._output.cut_to(self._checkpoint)
            self._open = opening.pop_all()
        self._resumed_rows = self._checkpoint.scored + self._checkpoint.rejected

    def _begin(self, settings: RunSettings, identity: str) -> Checkpoint:
        """The checkpoint to go on from. A new one is on the disk before the output changes: a crash then resumes it."""
        paths = self._paths
        saved = Checkpoint.load(paths.checkpoint) if settings.resume else None
        begin = settings.beginning(paths, self._hashed, saved, identity)
        if saved:
            saved.refuse_other(begin, paths.checkpoint)
            return saved
        if settings.resume and paths.finished:
            raise UsageError(f"{paths.out} is finished: there is nothing to resume; score again with --force")
        self._output.keep(begin)
        return begin

    def close(self) -> None:
        """Close its files; what is written can be resumed. Does nothing the second time."""
        self._open.close()

    def chunks(self) -> Iterator[Chunk]:
        """What is left of the input, and at its end a chunk without rows."""
        most_rows = self._checkpoint.chunk_rows
        chunk: list[FileRecord[Battle]] = []
        size = 0
        with closing(read_battles(self._paths.source, start=self._checkpoint.position)) as records:
            for record in records:
                chunk.append(record)
                size += len(record.raw)
                if len(chunk) == most_rows or size >= MAX_CHUNK_BYTES:
                    yield Chunk(self._rows, chunk)
                    chunk, size = [], 0
        if chunk:
            yield Chunk(self._rows, chunk)
        yield Chunk(self._rows, ())

    def write(self, chunk: Chunk, scored: Sequence[ScoredRow], observer: FileObserver) -> None:
        """Write the next chunk, and count it once it is on the disk.

        Args:
            chunk: with rows.
            scored: what became of its battles.
            observer: is told of it.

        Raises:
            StreamError: the output can't be written.
        """
        before = self._checkpoint
        written, rejected = [], []
        answers = iter(scored)
        for record in chunk.records:
            row: ScoredRow
            if isinstance(record.content, RejectedRow):
                row = record.content
            else:
                self._warn(record, record.content, observer)
                row = next(answers)
            if isinstance(row, RejectedRow):
                observer.rejected(record.line, row)
                rejected.append(self._rows.rejected_row(record, row))
            else:
                written.append(row)
        header = b"" if before.output_bytes else self._rows.header()
        output_bytes, rejected_bytes = self._output.append(header + b"".join(written), b"".join(rejected))
        last = chunk.records[-1]
        self._checkpoint = before.model_copy(
            update={
                "offset": last.end.offset,
                "done_bytes": last.done_bytes,
                "line": last.end.line,
                "input_sha256": self._hashed.up_to(last.end.offset),
                "scored": before.scored + len(written),
                "rejected": before.rejected + len(rejected),
                "output_bytes": output_bytes,
                "rejected_bytes": rejected_bytes,
            }
        )
        self._output.keep(self._checkpoint)
        observer.advanced(last.done_bytes, self._checkpoint.scored + self._checkpoint.rejected - self._resumed_rows)

    def _warn(self, record: FileRecord[Battle], battle: Battle, observer: FileObserver) -> None:
        for warning in record.warnings:
            observer.warned(record.line, warning)
        if self._ids.is_repeated(battle.id):
            observer.warned(record.line, REPEATED_ID)

    def finish(self) -> None:
        """The input's end is reached and all of it is written."""
        if not self._checkpoint.output_bytes:
            self._output.append(self._rows.header(), b"")  # an input without rows has a header all the same
        self._output.finish()
        self._complete = True

    def summary(self) -> ScoreSummary:
        """What was done so far."""
        return ScoreSummary(
            scored=self._checkpoint.scored,
            rejected=self._checkpoint.rejected,
            resumed_rows=self._resumed_rows,
            seconds=time.perf_counter() - self._began,
            complete=self._complete,
        )
