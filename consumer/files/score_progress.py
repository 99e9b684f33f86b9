"""How far `score` has come: a small file beside the output, so that an interrupted run can go on.

The checkpoint is replaced in one step, and only after the output that it counts is on the disk. Whenever the process
dies, the file on disk is whole and the output is at least as long as it says; what stands beyond that is cut off on
resuming and scored again. The part of the input that was read is held by its hash, so that going on with another file
is refused.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prefstream.consumer.errors import StreamError, UsageError
from prefstream.scoring.atomic_file import write_json
from prefstream.scoring.files.battles import BATTLE_COLUMNS
from prefstream.scoring.files.content import opened
from prefstream.scoring.files.rows import START, FilePosition

_HASH_BLOCK_BYTES: Final = 1 << 20

Count = Annotated[int, Field(ge=0)]


class OutputCheckpoint(BaseModel):
    """State of a run between two chunks, as far as its output goes; what was read is told by those made of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    output_bytes: Annotated[Count, Field(description="Length of the output.")] = 0
    rejected_bytes: Annotated[Count, Field(description="Length of the file of rejected rows.")] = 0

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read a checkpoint; None where there is none.

        Raises:
            UsageError: the file is no checkpoint of this version.
        """
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"can't read {path}: {error.strerror}") from None
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            raise UsageError(
                f"{path} is no progress file of this version of prefstream; score again from the beginning with --force"
            ) from None

    def save(self, path: Path) -> None:
        """Replace the checkpoint in one step, and return when it is on the disk.

        Raises:
            StreamError: it can't be written.
        """
        try:
            write_json(path, self.model_dump())
        except OSError as error:
            raise StreamError(f"can't write {path}: {error.strerror}") from error


class Checkpoint(OutputCheckpoint):
    """State of a run of `score` between two chunks."""

    version: Annotated[int, Field(ge=3, le=3, description="Layout of this file.")] = 3
    input_bytes: Annotated[Count, Field(description="Size of the input.")]
    input_sha256: Annotated[str, Field(description="SHA-256 of the input's content up to `offset`.")]
    output_format: Annotated[str, Field(description="Format of the output.")]
    panel: Annotated[str, Field(description="Identity of the panel: what decides its every answer.")]
    chunk_rows: Annotated[int, Field(ge=1, description="Rows of a chunk.")]
    publish_models: Annotated[bool, Field(description="Whether preferences say who wrote the responses.")]
    offset: Annotated[Count, Field(description="Bytes of the input's content, unpacked, that are done.")] = START.offset
    done_bytes: Annotated[Count, Field(description="Bytes of the input itself that are done, for the bar.")] = 0
    line: Annotated[int, Field(ge=1, description="Line of the input that comes next.")] = START.line
    scored: Annotated[Count, Field(description="Rows in the output.")] = 0
    rejected: Annotated[Count, Field(description="Rows in the file of rejected rows.")] = 0

    @property
    def position(self) -> FilePosition:
        """Where the next chunk begins."""
        return FilePosition(self.offset, self.line)

    def refuse_other(self, now: Checkpoint, path: Path) -> None:
        """Refuse to go on when input, panel or chunks are not those of the interrupted run.

        Args:
            now: what this run would start with, its `input_sha256` taken up to this checkpoint's offset.
            path: where this checkpoint stands, for the message.

        Raises:
            UsageError: naming all that differs.
        """
        differing = [
            name
            for name, same in (
                (
                    "the input file",
                    (self.input_bytes, self.input_sha256) == (now.input_bytes, now.input_sha256),
                ),
                ("the panel", self.panel == now.panel),
                (f"--format (it was {self.output_format})", self.output_format == now.output_format),
                (f"--chunk (it was {self.chunk_rows})", self.chunk_rows == now.chunk_rows),
                ("--publish-models", self.publish_models == now.publish_models),
            )
            if not same
        ]
        if differing:
            raise UsageError(
                f"can't resume from {path}: not the same as in the interrupted run: {', '.join(differing)}. "
                "Give back what was given then, or score again from the beginning with --force"
            )


class PrefixHash:
    """SHA-256 of a growing beginning of a file's content. Reads it anew: what was just scored is in the page cache.

    A context manager.
    """

    def __init__(self, path: Path) -> None:
        self._opened = opened(path, BATTLE_COLUMNS)
        self._hash = hashlib.sha256()
        self._offset = 0

    def __enter__(self) -> Self:
        self._content = self._opened.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    def up_to(self, offset: int) -> str:
        """The hash of the first `offset` bytes; offsets only grow."""
        while self._offset < offset:
            block = self._content.read(min(_HASH_BLOCK_BYTES, offset - self._offset))
            if not block:
                break  # the file is shorter now: its hash will be another's, too
            self._hash.update(block)
            self._offset += len(block)
        return self._hash.hexdigest()
