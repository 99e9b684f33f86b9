"""Where `score` and `rescore` write: a file, with the rejected rows and the checkpoint beside it, or standard output.

One process writes at a time. Both files are only ever appended to, and on resuming cut back to the checkpoint.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Protocol, Self

from filelock import lock_descriptor

from prefstream.consumer.errors import StreamError, UsageError
from prefstream.consumer.files.score_progress import OutputCheckpoint
from prefstream.consumer.files.score_rows import ENDINGS, OutputFormat
from prefstream.scoring.atomic_file import draft_path

STANDARD_OUTPUT: Final = Path("-")


@dataclass(frozen=True, slots=True)
class OutputPaths:
    """An output that can be resumed, and the two files that stand beside it.

    Attributes:
        out: the output; `STANDARD_OUTPUT` has nothing beside it.
    """

    out: Path

    @property
    def rejected(self) -> Path:
        """What could not be scored; absent when there is none."""
        return self.out.with_name(self.out.name + ".rejected")

    @property
    def checkpoint(self) -> Path:
        """The checkpoint; there only while the run is unfinished."""
        return self.out.with_name(self.out.name + ".progress")

    @property
    def finished(self) -> bool:
        """Whether an earlier run finished this output: it has something in it and no checkpoint beside it."""
        return (
            self.out != STANDARD_OUTPUT
            and self.out.exists()
            and self.out.stat().st_size > 0
            and not self.checkpoint.exists()
        )

    def check_output(self, *, resume: bool, force: bool) -> None:
        """Refuse what would lose a file or make no sense, before anything costly starts.

        Raises:
            UsageError: saying what to do instead.
        """
        if resume and force:
            raise UsageError("--resume goes on with a run and --force starts anew: choose one")
        if self.out == STANDARD_OUTPUT:
            if resume:
                raise UsageError("--resume needs a file: of standard output nothing is kept")
            return
        if not self.out.parent.is_dir():
            raise UsageError(f"there is no folder {self.out.parent} to write {self.out.name} to")
        if resume or force:
            return
        if self.checkpoint.exists():
            raise UsageError(
                f"{self.checkpoint} shows an interrupted run: go on with --resume, or start anew with --force"
            )
        for path in (self.out, self.rejected):
            if path.exists():
                raise UsageError(f"{path} exists already: write it anew with --force, or choose another output")


@dataclass(frozen=True, slots=True)
class ScorePaths(OutputPaths):
    """The files of one `score` run.

    Attributes:
        source: the input.
        asked_format: the output's format, where its ending does not tell enough.
    """

    source: Path = field(kw_only=True)
    asked_format: OutputFormat | None = field(default=None, kw_only=True)

    @property
    def format(self) -> OutputFormat:
        """The output's format: what was asked for, else what the ending says; preferences on standard output.

        Raises:
            UsageError: the ending is none that is known, or that of another format.
        """
        if self.out == STANDARD_OUTPUT:
            return self.asked_format or "jsonl"
        known = ENDINGS.get(self.out.suffix.lower())
        if known is None:
            raise UsageError(
                f"{self.out}: the ending decides the format; use .csv (a submission to Kaggle) or .jsonl (preferences)"
            )
        if self.asked_format is not None and self.asked_format not in known:
            raise UsageError(
                f"{self.out}: a file with this ending does not hold {self.asked_format}; choose one of both"
            )
        return self.asked_format or known[0]

    def check(self, *, resume: bool, force: bool) -> None:
        """Refuse what would lose a file or make no sense, before anything costly starts.

        Raises:
            UsageError: saying what to do instead.
        """
        _ = self.format
        if self.out != STANDARD_OUTPUT and self.source.resolve() in {
            path.resolve() for path in (self.out, self.rejected, self.checkpoint)
        }:
            raise UsageError(f"{self.source} can't be input and output at once")
        self.check_output(resume=resume, force=force)


class ScoreOutput(Protocol):
    """Where rows go, in the order of their chunks. A context manager."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what is open."""

    def cut_to(self, checkpoint: OutputCheckpoint) -> None:
        """Drop what stands beyond the checkpoint.

        Raises:
            UsageError: a file is shorter than the checkpoint says, so it was changed by others.
        """

    def append(self, scored: bytes, rejected: bytes) -> tuple[int, int]:
        """Write rows, and return when they are safe.

        Returns:
            The lengths of the output and of the rejected rows.

        Raises:
            StreamError: the disk is full, or fails otherwise.
        """

    def keep(self, checkpoint: OutputCheckpoint) -> None:
        """Note that what was written up to here counts.

        Raises:
            StreamError: it can't be written.
        """

    def finish(self) -> None:
        """The run is complete."""


def score_output(paths: OutputPaths) -> ScoreOutput:
    """The output of a run.

    Raises:
        UsageError: it can't be opened, or another process writes it.
    """
    return StandardOutput() if paths.out == STANDARD_OUTPUT else FileOutput(paths)


class StandardOutput:
    """Rows to standard output. Rejected ones go nowhere, and nothing can be resumed."""

    def __init__(self) -> None:
        self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def cut_to(self, checkpoint: OutputCheckpoint) -> None:
        """Nothing was written before."""

    def append(self, scored: bytes, rejected: bytes) -> tuple[int, int]:
        """Write rows for whoever reads them to have them now."""
        del rejected
        try:
            sys.stdout.buffer.write(scored)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise  # whoever read has enough: no fault, and the command line ends by it
        except OSError as error:
            raise StreamError(f"can't write to standard output: {error.strerror}") from error
        self._written += len(scored)
        return self._written, 0

    def keep(self, checkpoint: OutputCheckpoint) -> None:
        """Nothing is kept."""

    def finish(self) -> None:
        """Nothing is left to do."""


class FileOutput:
    """The output and the rejected rows, open for appending and locked against a second run.

    Args:
        paths: the files of the run.

    Raises:
        UsageError: the output can't be opened, or another process writes it.
    """

    def __init__(self, paths: OutputPaths) -> None:
        self._paths = paths
        self._rejected: BinaryIO | None = None
        self._out = _open_to_append(paths.out)
        try:
            _lock(self._out, paths.out)
        except UsageError:
            self._out.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as closing:  # of each, whatever becomes of the others
            for file in filter(None, (self._out, self._rejected)):
                closing.callback(_close, file, quietly=error is not None)

    def cut_to(self, checkpoint: OutputCheckpoint) -> None:
        """Drop what stands beyond the checkpoint.

        Raises:
            UsageError: a file is shorter than the checkpoint says, so it was changed by others.
        """
        if self._paths.rejected.exists() or checkpoint.rejected_bytes:
            self._rejected = _open_to_append(self._paths.rejected)
            _cut(self._rejected, checkpoint.rejected_bytes, self._paths.rejected)
        _cut(self._out, checkpoint.output_bytes, self._paths.out)

    def append(self, scored: bytes, rejected: bytes) -> tuple[int, int]:
        """Write rows, and return when they are on the disk.

        Returns:
            The lengths of the output and of the rejected rows.

        Raises:
            StreamError: the disk is full, or fails otherwise.
        """
        try:
            if rejected and self._rejected is None:
                self._rejected = _open_to_append(self._paths.rejected)
            return _write(self._out, scored), _write(self._rejected, rejected) if self._rejected else 0
        except OSError as error:
            raise StreamError(f"can't write {self._paths.out}: {error.strerror}") from error

    def keep(self, checkpoint: OutputCheckpoint) -> None:
        """Replace the checkpoint, once what it counts is on the disk."""
        checkpoint.save(self._paths.checkpoint)

    def finish(self) -> None:
        """The run is complete: remove the checkpoint, what a crash left of it, and an empty file of rejected rows."""
        draft_path(self._paths.checkpoint).unlink(missing_ok=True)
        if self._rejected and self._rejected.tell() == 0:
            self._paths.rejected.unlink()
        self._paths.checkpoint.unlink()


def _open_to_append(path: Path) -> BinaryIO:
    try:
        return path.open("ab")
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}") from None


def _close(file: BinaryIO, *, quietly: bool) -> None:
    try:
        file.close()
    except OSError as failed:  # once more what it could not write before
        if not quietly:
            raise StreamError(f"can't write {file.name}: {failed.strerror}") from failed


def _lock(file: BinaryIO, path: Path) -> None:
    """Lock the output itself: no lock file is left beside it, and the kernel frees it however the process dies."""
    try:
        locked = lock_descriptor(file.fileno(), blocking=False)
    except OSError as error:
        raise UsageError(f"can't lock {path}: {error.strerror}") from None
    if not locked:
        raise UsageError(f"another process is writing {path}; wait for it, or end it first")


def _cut(file: BinaryIO, length: int, path: Path) -> None:
    if file.seek(0, os.SEEK_END) < length:
        raise UsageError(
            f"{path} is shorter than when the run was interrupted: something changed it; start anew with --force"
        )
    file.truncate(length)
    file.seek(length)


def _write(file: BinaryIO, rows: bytes) -> int:
    file.write(rows)
    file.flush()
    os.fsync(file.fileno())
    return file.tell()
