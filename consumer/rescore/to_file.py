"""Answers to a file of preferences, one JSON object a line, as `score` writes them; or to standard output."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Annotated, Final, Self

import orjson
from pydantic import Field

from prefstream.consumer.errors import UsageError
from prefstream.consumer.files.score_output import OutputPaths, ScoreOutput, score_output
from prefstream.consumer.files.score_progress import OutputCheckpoint
from prefstream.consumer.rescore.chunks import RefusedRecord
from prefstream.consumer.rescore.progress import RangeProgress
from prefstream.consumer.rescore.targets import RescoredChunk, advanced
from prefstream.schemas import encode_preference

FILE_ENDINGS: Final = (".jsonl", ".ndjson")


class RescoreCheckpoint(OutputCheckpoint):
    """State of a run of `rescore` between two chunks."""

    rescore: Annotated[int, Field(ge=1, le=1, description="Layout of this file.")] = 1
    span: Annotated[str, Field(description="The range, as it was asked for.")]
    panel: Annotated[str, Field(description="Identity of the panel: what decides its every answer.")]
    chunk_rows: Annotated[int, Field(ge=1, description="Records of a chunk.")]
    publish_models: Annotated[bool, Field(description="Whether preferences say who wrote the responses.")]
    progress: RangeProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRun:
    """What must be the same where a run goes on: it decides the bytes of the file."""

    span: str
    panel: str
    chunk_rows: int
    publish_models: bool

    def refuse_other(self, saved: RescoreCheckpoint, paths: OutputPaths) -> None:
        """Refuse to go on with another run's file.

        Raises:
            UsageError: naming all that differs.
        """
        names = {
            "span": "the range",
            "panel": "the panel",
            "chunk_rows": "--chunk",
            "publish_models": "--publish-models",
        }
        differing = [told for name, told in names.items() if getattr(saved, name) != getattr(self, name)]
        if differing:
            raise UsageError(
                f"can't resume from {paths.checkpoint}: not the same as in the interrupted run: "
                f"{', '.join(differing)}. Give back what was given then, or score again from the beginning with --force"
            )


class FileTarget:
    """A file that can be resumed: answers without timings, so that the same range and panel give the same bytes.

    Args:
        paths: the file, and what stands beside it.
        run: what is written.
        resume: go on where an interrupted run stopped; without one, begin.
    """

    def __init__(self, paths: OutputPaths, run: FileRun, *, resume: bool) -> None:
        self._paths = paths
        self._run = run
        self._resume = resume
        self._output: ScoreOutput = score_output(paths)
        self._lengths = (0, 0)

    def __enter__(self) -> Self:
        self._output.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._output.__exit__(kind, error, trace)

    def begin(self, fixed: RangeProgress) -> RangeProgress:
        """As `RescoreTarget.begin`; what stands in the file beyond the checkpoint is cut off."""
        saved = RescoreCheckpoint.load(self._paths.checkpoint) if self._resume else None
        if saved:
            self._run.refuse_other(saved, self._paths)
            saved.progress.refuse_recreated(fixed.topic_id)
        elif self._resume and self._paths.finished:
            raise UsageError(f"{self._paths.out} is finished: there is nothing to resume; score again with --force")
        checkpoint = saved or self._checkpoint(fixed)
        if not saved:
            self._output.keep(checkpoint)
        self._output.cut_to(checkpoint)
        self._lengths = (checkpoint.output_bytes, checkpoint.rejected_bytes)
        return checkpoint.progress

    def write(self, chunk: RescoredChunk, progress: RangeProgress) -> tuple[RangeProgress, tuple[RefusedRecord, ...]]:
        """As `RescoreTarget.write`."""
        rows = [
            encode_preference(one.answer.to_preference(one.battle, one.source, publish_models=self._run.publish_models))
            for one in chunk.scored
        ]
        self._lengths = self._output.append(_lines(rows), _lines(map(_rejected_row, chunk.refused)))
        progress = advanced(progress, chunk)
        self._output.keep(self._checkpoint(progress))
        return progress, ()

    def finish(self) -> None:
        """As `RescoreTarget.finish`: the checkpoint is removed."""
        self._output.finish()

    def _checkpoint(self, progress: RangeProgress) -> RescoreCheckpoint:
        return RescoreCheckpoint(
            output_bytes=self._lengths[0],
            rejected_bytes=self._lengths[1],
            span=self._run.span,
            panel=self._run.panel,
            chunk_rows=self._run.chunk_rows,
            publish_models=self._run.publish_models,
            progress=progress,
        )


def _lines(rows: Iterable[bytes]) -> bytes:
    return b"".join(row + b"\n" for row in rows)


def _rejected_row(refused: RefusedRecord) -> bytes:
    """Where the record stands, and why it was refused; its value stays on the topic."""
    record = refused.record
    return orjson.dumps(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "reason": refused.reason,
            "detail": refused.detail,
        }
    )
