"""What `score` writes: the output, and the rejected rows beside it.

One process writes at a time. Both files are only ever appended to, and on resuming cut back to the checkpoint.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Literal, Self, TypeAlias

import orjson
from filelock import lock_descriptor

from prefstream.consumer.errors import StreamError, UsageError
from prefstream.consumer.files.score_progress import Checkpoint
from prefstream.schemas import OUTCOMES, Battle, FileSource, encode_preference
from prefstream.scoring.atomic_file import draft_path
from prefstream.scoring.files.rows import FileRecord, RejectedRow
from prefstream.scoring.files.submission import SUBMISSION_COLUMNS, csv_line
from prefstream.scoring.panel.combine import PanelAnswer

OutputFormat: TypeAlias = Literal["csv", "jsonl"]

_ENDINGS: Final[dict[str, OutputFormat]] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@dataclass(frozen=True, slots=True)
class ScorePaths:
    """The files of one `score` run: the input, the output, and the two that stand beside the output."""

    source: Path
    out: Path

    @property
    def rejected(self) -> Path:
        """The rows that could not be scored; absent when there are none."""
        return self.out.with_name(self.out.name + ".rejected")

    @property
    def checkpoint(self) -> Path:
        """The checkpoint; there only while the run is unfinished."""
        return self.out.with_name(self.out.name + ".progress")

    @property
    def format(self) -> OutputFormat:
        """The output's format, by its ending.

        Raises:
            UsageError: the ending is none that is known.
        """
        known = _ENDINGS.get(self.out.suffix.lower())
        if known is None:
            raise UsageError(
                f"{self.out}: the ending decides the format; use .csv (Kaggle's submission format) or .jsonl "
                "(preferences)"
            )
        return known

    @property
    def finished(self) -> bool:
        """Whether an earlier run finished this output: it has something in it and no checkpoint beside it."""
        return self.out.exists() and self.out.stat().st_size > 0 and not self.checkpoint.exists()

    def check(self, *, resume: bool, force: bool) -> None:
        """Refuse what would lose a file or make no sense, before anything costly starts.

        Raises:
            UsageError: saying what to do instead.
        """
        if resume and force:
            raise UsageError("--resume goes on with a run and --force starts anew: choose one")
        _ = self.format
        if not self.out.parent.is_dir():
            raise UsageError(f"there is no folder {self.out.parent} to write {self.out.name} to")
        if self.source.resolve() in {path.resolve() for path in (self.out, self.rejected, self.checkpoint)}:
            raise UsageError(f"{self.source} can't be input and output at once")
        if resume or force:
            return
        if self.checkpoint.exists():
            raise UsageError(
                f"{self.checkpoint} shows an interrupted run: go on with --resume, or start anew with --force"
            )
        for path in (self.out, self.rejected):
            if path.exists():
                raise UsageError(f"{path} exists already: write it anew with --force, or choose another output")


class ScoreOutput:
    """The output and the rejected rows, open for appending and locked against a second run.

    Args:
        paths: the files of the run.

    Raises:
        UsageError: the output can't be opened, or another process writes it.
    """

    def __init__(self, paths: ScorePaths) -> None:
        self._paths = paths
        self._is_csv = paths.format == "csv"
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
        self._out.close()
        if self._rejected:
            self._rejected.close()

    def cut_to(self, checkpoint: Checkpoint) -> None:
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

    def finish(self) -> None:
        """The run is complete: remove the checkpoint, what a crash left of it, and an empty file of rejected rows."""
        draft_path(self._paths.checkpoint).unlink(missing_ok=True)
        if self._rejected and self._rejected.tell() == 0:
            self._paths.rejected.unlink()
        self._paths.checkpoint.unlink()

    def header(self) -> bytes:
        """What stands above the first row."""
        return csv_line(SUBMISSION_COLUMNS) if self._is_csv else b""

    def row(self, battle_id: str, line: int, answer: PanelAnswer) -> bytes:
        """One scored row: a line of the submission, or a preference without timings, which would differ every time."""
        if self._is_csv:
            chances = (getattr(answer.probabilities, outcome) for outcome in OUTCOMES)
            return csv_line((battle_id, *map(repr, chances)))
        source = FileSource(file=self._paths.source.name, line=line)
        return encode_preference(answer.to_preference(battle_id, source)) + b"\n"

    def rejected_row(self, record: FileRecord[Battle], row: RejectedRow) -> bytes:
        """One rejected row, as it was given: a JSON object, with the bytes in base64 where they are no text."""
        entry: dict[str, object] = {"line": record.line, "reason": row.reason, "detail": row.detail}
        try:
            entry["raw"] = record.raw.decode()
        except UnicodeDecodeError:
            entry["raw_base64"] = base64.b64encode(record.raw).decode()
        return orjson.dumps(entry) + b"\n"


def _open_to_append(path: Path) -> BinaryIO:
    try:
        return path.open("ab")
    except OSError as error:
        raise UsageError(f"can't write {path}: {error.strerror}") from None


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
