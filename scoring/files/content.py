"""What stands in a file of rows: its bytes, unpacked where they are compressed, and Parquet as a JSON object a line.

What a file is, is told by its first bytes; its name only tells CSV from JSONL. Memory stays bounded whatever a
compressed file unpacks to.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, TypeAlias

import zstandard

from prefstream.scoring.errors import FileError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FileFormat: TypeAlias = Literal["csv", "jsonl"]

ENDINGS: Final[dict[str, FileFormat]] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_PACKED_ENDINGS: Final = {".gz", ".zst"}

_HEAD_BYTES: Final = 4096
_BUFFER_BYTES: Final = 1 << 16

_ZSTD_STEP_BYTES: Final = 256
"""What is unpacked at a time: four bytes of zstd can stand for 128 KB, so that this is never more than 8 MB. It is
still unpacked twice as fast as gzip."""

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_PARQUET: Final = b"PAR1"

_FOREIGN: Final = (
    ((b"\xff\xfe", b"\xfe\xff"), "UTF-16; save it as UTF-8"),
    (
        (b"PK\x03\x04", b"PK\x05\x06"),
        "a zip archive or a workbook of Excel; unpack it, or save the sheet as CSV (UTF-8)",
    ),
    ((b"\xd0\xcf\x11\xe0",), "a workbook of Excel; save the sheet as CSV (UTF-8)"),
    ((b"BZh",), "compressed by bzip2; unpack it (gzip and zstd are read as they are)"),
    ((b"\xfd7zXZ",), "compressed by xz; unpack it (gzip and zstd are read as they are)"),
    ((b"7z\xbc\xaf",), "a 7z archive; unpack it"),
    (
        (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        "a pickle, which is no data but a program; save it as CSV, JSONL or Parquet",
    ),
    ((b"ARROW1", b"\xff\xff\xff\xff"), "an Arrow file; save it as Parquet"),
    ((b"version https://git-lfs",), "the pointer that Git LFS leaves in place of a file; fetch it with git lfs pull"),
    ((b"<!DOCTYPE", b"<!doctype", b"<html"), "a web page, not the file behind it; download that"),
)
"""Beginnings of files that are taken for data again and again, and what to say."""

_JSON_OF_COLUMNS: Final = re.compile(
    rb"""\{\s*(?: "[^"]{1,100}"\s*:\s*\{\s*"0"\s*: | "0"\s*:\s*\{ | "columns"\s*:\s*\[ )""", re.VERBOSE
)
"""What pandas' `to_json` writes unless told otherwise, and two more of its spellings: a whole frame as one object."""

_TAR_MAGIC: Final = slice(257, 262)


class Content:
    """The bytes of an opened file of rows, read once from the beginning to the end.

    Attributes:
        format: how they are to be read.
        columns: those of a Parquet file; None of others.
    """

    def __init__(
        self,
        path: Path,
        stream: BinaryIO,
        file_format: FileFormat,
        *,
        columns: Collection[str] | None = None,
        done_bytes: Callable[[], int] | None = None,
    ) -> None:
        self.format = file_format
        self.columns = columns
        self._path = path
        self._stream = stream
        self._done_bytes = done_bytes
        self._offset = 0

    def readline(self, limit: int) -> bytes:
        """The next line with its end, or as much of it as the limit allows; empty at the end of the file.

        Raises:
            FileError: the file can't be read on, because it is damaged or cut short.
        """
        try:
            line = self._stream.readline(limit)
        except _UNREADABLE as error:
            raise _unreadable(self._path, error) from error
        self._offset += len(line)
        return line

    def read(self, limit: int) -> bytes:
        """Some of the next bytes; empty at the end of the file.

        Raises:
            FileError: as `readline`.
        """
        try:
            block = self._stream.read(limit)
        except _UNREADABLE as error:
            raise _unreadable(self._path, error) from error
        self._offset += len(block)
        return block

    def skip_to(self, offset: int) -> None:
        """Go on at an offset that was not passed yet; one that was, only where the file is plain.

        Raises:
            FileError: as `readline`.
        """
        if self._done_bytes is None:
            self._stream.seek(offset)
            self._offset = offset
        while self._offset < offset and self.read(min(_BUFFER_BYTES, offset - self._offset)):
            pass

    def done_bytes(self, offset: int) -> int:
        """How far in the file an offset of the content is: exactly where it is plain, else as far as was read."""
        return offset if self._done_bytes is None else self._done_bytes()


@contextmanager
def opened(path: Path, columns: Collection[str]) -> Iterator[Content]:
    """Open a file of rows.

    Args:
        path: CSV, JSONL or Parquet; CSV and JSONL also compressed by gzip or zstd.
        columns: of Parquet, those that are read.

    Raises:
        FileError: the file can't be read, or is of another kind.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        yield _content(path, file, columns)


def file_format(path: Path) -> FileFormat:
    """How a file is read: by its ending, else by its first character; Parquet comes as JSONL.

    Raises:
        FileError: as `opened`.
    """
    with opened(path, ()) as content:
        return content.format


def named_packer_without_its_beginning(path: Path) -> str | None:
    """What compressed a file by its name, but not by its first bytes; None where both agree."""
    name, beginning = {".gz": ("gzip", _GZIP), ".zst": ("zstd", _ZSTD)}.get(path.suffix.lower(), (None, b""))
    if name is None:
        return None
    try:
        with path.open("rb") as file:
            return None if file.read(len(beginning)) == beginning else name
    except OSError as error:
        raise _unreadable(path, error) from error


def _content(path: Path, file: BinaryIO, columns: Collection[str]) -> Content:
    try:
        head = file.read(_HEAD_BYTES)
        file.seek(0)
        if head.startswith(_PARQUET):
            from prefstream.scoring.files.parquet import ParquetRows

            rows = ParquetRows(path, file, columns)
            return Content(path, _stream(rows.lines()), "jsonl", columns=rows.columns, done_bytes=rows.done_bytes)
        unpack = _unpacker(head)
        if unpack is None:
            return Content(path, file, _told_format(path, head))
        with io.BufferedReader(_Pieces(unpack(file))) as beginning:
            told = _told_format(path, beginning.read(_HEAD_BYTES))
        file.seek(0)
        return Content(path, _stream(unpack(file)), told, done_bytes=file.tell)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _told_format(path: Path, head: bytes) -> FileFormat:
    for beginnings, what in _FOREIGN:
        if head.startswith(beginnings):
            raise FileError(f"{path} is {what}")
    if head[_TAR_MAGIC] == b"ustar":
        raise FileError(f"{path} is a tar archive; unpack it")
    endings = [ending.lower() for ending in path.suffixes]
    if endings and endings[-1] in _PACKED_ENDINGS:
        endings.pop()
    known = ENDINGS.get(endings[-1]) if endings else None
    text = head.removeprefix(BOM_UTF8).lstrip()
    if known != "csv" and text[:1] == b"[" and text[1:].lstrip()[:1] in (b"{", b""):
        raise FileError(f"{path} is one JSON list; write an object a line (jq -c '.[]' {path.name})")
    if known != "csv" and _JSON_OF_COLUMNS.match(text):
        raise FileError(
            f"{path} is one JSON object of columns, not an object a line; from pandas: "
            "to_json(orient='records', lines=True)"
        )
    return known or ("jsonl" if text.startswith(b"{") else "csv")


class _Pieces(io.RawIOBase):
    """Bytes that come in pieces, as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        room = memoryview(buffer).cast("B")
        count = min(len(room), len(self._rest))
        room[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _stream(pieces: Iterator[bytes]) -> BinaryIO:
    return io.BufferedReader(_Pieces(pieces), _BUFFER_BYTES)


def _unpacker(head: bytes) -> Callable[[BinaryIO], Iterator[bytes]] | None:
    if head.startswith(_GZIP):
        return _unpack_gzip
    return _unpack_zstd if head.startswith(_ZSTD) else None


def _unpack_gzip(file: BinaryIO) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as unpacked:
        while piece := unpacked.read1(_BUFFER_BYTES):
            yield piece


def _unpack_zstd(file: BinaryIO) -> Iterator[bytes]:
    # The library's own reader takes a file that is cut short for one that ends.
    frame = None
    rest = b""
    while block := rest or file.read(_ZSTD_STEP_BYTES):
        frame = frame or zstandard.ZstdDecompressor().decompressobj()
        yield frame.decompress(block)
        rest = frame.unused_data if frame.eof else b""
        if frame.eof:
            frame = None
    if frame is not None:
        raise EOFError


_UNREADABLE: Final = (OSError, EOFError, zlib.error, zstandard.ZstdError)


def _unreadable(path: Path, error: Exception) -> FileError:
    if isinstance(error, EOFError):
        return FileError(f"{path} is cut short: what it unpacks to has no end; copy or download it again")
    if isinstance(error, OSError) and error.strerror:
        return FileError(f"can't read {path}: {error.strerror}")
    return FileError(f"{path} is damaged: it can't be unpacked; copy or download it again")
