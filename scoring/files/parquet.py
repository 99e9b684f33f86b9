"""Rows of a Parquet file, as a JSON object a line: from there on they are read as JSONL is.

A line holds the columns that are asked for, and no others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from prefstream.scoring.errors import FileError
from prefstream.scoring.extras import explain

_BATCH_ROWS: Final = 64
"""Rows in memory at once: a row has a few kilobytes, and a hundred of the largest ones would be a gigabyte."""

_NOT_UTF8: Final = b"\xff\n"
"""Stands for a row that can't be a JSON object, because its text is no UTF-8."""


class ParquetRows:
    """The rows of an opened Parquet file.

    Args:
        path: the file, for messages and its size.
        file: the same, opened.
        columns: those to read, where they are there.

    Attributes:
        columns: all that the file has.

    Raises:
        FileError: pyarrow is not installed, or the file is damaged.
    """

    def __init__(self, path: Path, file: BinaryIO, columns: Collection[str]) -> None:
        try:
            import pyarrow as pa
            from pyarrow.parquet import ParquetFile
        except ImportError as error:
            if explain(error, str(path)) is None:
                raise
            raise FileError(f"{path} is Parquet, which needs pyarrow: pip install 'prefstream[parquet]'") from None
        self._path = path
        self._damage: tuple[type[Exception], ...] = (pa.ArrowException, OSError)
        try:
            self._file: Any = ParquetFile(file, pre_buffer=False)
        except self._damage as error:
            raise self._damaged() from error
        self.columns: tuple[str, ...] = tuple(self._file.schema_arrow.names)
        self._wanted = [name for name in self.columns if name in columns]
        self._bytes = path.stat().st_size
        self._all_rows = max(1, int(self._file.metadata.num_rows))
        self._rows = 0

    def done_bytes(self) -> int:
        """The share of the rows that is read, in bytes of the file."""
        return self._bytes * self._rows // self._all_rows

    def lines(self) -> Iterator[bytes]:
        """The rows.

        Raises:
            FileError: the file is damaged.
        """
        try:
            for batch in self._file.iter_batches(_BATCH_ROWS, columns=self._wanted, use_threads=False):
                for row in range(batch.num_rows):
                    self._rows += 1
                    yield _line(batch.slice(row, 1))
        except self._damage as error:
            raise self._damaged() from error

    def _damaged(self) -> FileError:
        return FileError(f"{self._path} is damaged: it can't be read as Parquet; copy or download it again")


def _line(row: Any) -> bytes:
    try:
        [fields] = row.to_pylist()
        return orjson.dumps(fields, default=_plain) + b"\n"
    except (UnicodeDecodeError, orjson.JSONEncodeError):
        return _NOT_UTF8


def _plain(value: object) -> str:
    """What JSON has no type for: text that was written as bytes, as Spark does, is text."""
    return value.decode() if isinstance(value, bytes) else str(value)
