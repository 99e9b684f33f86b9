"""Rows of a file: CSV, or a JSON object a line (JSONL), parsed to battles or whatever else a `RowParser` makes of them.

Promise: every row comes back exactly once, parsed or with what is wrong with it; one bad row never costs its
neighbours.

Files are read as bytes, a row at a time, so that a file larger than memory works and a row that is not UTF-8 can be
named. A row that breaks CSV's quoting costs its first line only: reading goes on at the line after it, because a quote
that is never closed would otherwise swallow the rest of the file.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Generic, Literal, TypeAlias, TypeVar

from prefstream.schemas import InvalidEventError, Reason
from prefstream.schemas.battle import MAX_TEXT_CHARS
from prefstream.schemas.wire import decode_object
from prefstream.scoring.errors import FileError

RowT = TypeVar("RowT")
RowT_co = TypeVar("RowT_co", covariant=True)

FileFormat: TypeAlias = Literal["csv", "jsonl"]

ENDINGS: Final[dict[str, FileFormat]] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}

NOT_CSV: Final = "not_csv"
"""Reason of a row that breaks CSV itself; most other reasons are those of dead letters."""

MAX_ROW_BYTES: Final = 3 * 4 * MAX_TEXT_CHARS + 1_000_000
"""Bound of one row: three texts at their bound of four-byte characters, and what stands around them."""

_BOM: Final = b"\xef\xbb\xbf"
_UTF16_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")
_SKIP_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class FilePosition:
    """A place between two rows: the byte offset, and the number of the line that begins there."""

    offset: int
    line: int


START: Final = FilePosition(offset=0, line=1)


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that can't be used: why it is no battle.

    Attributes:
        reason: a `schemas.Reason`, `not_csv`, or `bad_label` of a row whose battle is good but not its label.
        detail: what was wrong, free of the row's own text.
    """

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True, slots=True)
class FileRecord(Generic[RowT_co]):
    """One row of a file.

    Attributes:
        line: number of the line where the row starts, from 1. A row of CSV may span several.
        content: the battle, or why the row is none.
        raw: the row's bytes without the line end (of a row over `MAX_ROW_BYTES` only the beginning).
        end: where the next row begins; reading can start there again.
    """

    line: int
    content: RowT_co | RejectedRow
    raw: bytes = field(repr=False)
    end: FilePosition

    @property
    def battle(self) -> RowT_co | None:
        """The battle as the reader gives it, plain or labelled; None when the row is none."""
        return None if isinstance(self.content, RejectedRow) else self.content

    @property
    def rejected(self) -> RejectedRow | None:
        """Why the row is no battle, None when it is one."""
        return self.content if isinstance(self.content, RejectedRow) else None


@dataclass(frozen=True, slots=True)
class RowParser(Generic[RowT_co]):
    """What the rows of a file are parsed to.

    Both functions may raise `InvalidEventError`, which becomes a `RejectedRow`.

    Attributes:
        columns: columns that CSV must have.
        optional_columns: further ones that are read; no column that is read may stand twice.
        from_object: for JSONL; gets the decoded object and the number of its line.
        from_cells: for CSV; gets the cells by column and the number of the row's first line.
    """

    columns: tuple[str, ...]
    optional_columns: tuple[str, ...]
    from_object: Callable[[Mapping[str, Any], int], RowT_co | RejectedRow]
    from_cells: Callable[[Mapping[str, str], int], RowT_co | RejectedRow]


def file_format(path: Path) -> FileFormat:
    """CSV or JSONL: by the file's ending, else by its first character.

    Raises:
        FileError: the file can't be read, or is UTF-16.
    """
    known = ENDINGS.get(path.suffix.lower())
    if known:
        return known
    with _opened(path) as file:
        head = file.read(4096).removeprefix(_BOM).lstrip()
    return "jsonl" if head.startswith(b"{") else "csv"


def check_file(path: Path, parser: RowParser[object]) -> None:
    """Find what makes the whole file unusable, before anything costly starts.

    Args:
        path: CSV or JSONL, told apart by `file_format`.
        parser: what its rows are parsed to.

    Raises:
        FileError: the file can't be read, is UTF-16, or is CSV without the parser's columns.
    """
    if file_format(path) == "csv":
        with _opened(path) as file:
            _read_header(_Lines(file), path, parser)
    else:
        with _opened(path):
            pass


def read_file(
    path: Path, parser: RowParser[RowT], *, start: FilePosition = START
) -> Generator[FileRecord[RowT], None, None]:
    """Read a file row by row; blank lines are skipped.

    Args:
        path: CSV or JSONL, told apart by `file_format`.
        parser: what its rows are parsed to.
        start: where to begin: the `end` of a record read from this very file before.

    Raises:
        FileError: as `check_file`, when the first row is asked for.
    """
    is_csv = file_format(path) == "csv"
    with _opened(path) as file:
        lines = _Lines(file)
        columns = _read_header(lines, path, parser) if is_csv else []
        if start != START:
            lines.jump(start)
        yield from _read_csv(lines, columns, parser) if is_csv else _read_jsonl(lines, parser)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            if file.read(2) in _UTF16_BOMS:
                raise FileError(f"{path} is UTF-16; save it as UTF-8")
            file.seek(0)
            yield file
    except OSError as error:
        raise FileError(f"can't read {path}: {error.strerror}") from error


class _RowTooLargeError(Exception):
    """The row at hand has passed `MAX_ROW_BYTES`."""


@dataclass(slots=True)
class _Line:
    raw: bytes = field(repr=False)
    size: int
    """Bytes in the file: more than `raw` has where a byte-order mark or an over-long rest was left out."""


class _Lines:
    """The physical lines of a file, taken for one row at a time; those taken too many can be given back.

    Iterating gives the lines as text, which is what `csv.reader` asks for: it takes as many as the row spans.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._given_back: deque[_Line] = deque()
        self._taken: list[_Line] = []
        self._taken_bytes = 0
        self._begin = START
        self.bad_byte: int | None = None
        """Offset in the row at hand of the first byte that is not UTF-8."""

    def jump(self, position: FilePosition) -> None:
        """Go to a place between two rows."""
        self._file.seek(position.offset)
        self._given_back.clear()
        self._begin_row(position)

    def next_row(self) -> int:
        """Leave the row at hand behind; returns the number of the line where the next one starts."""
        self._begin_row(self.end)
        return self._begin.line

    @property
    def end(self) -> FilePosition:
        """Where the row after the one at hand begins."""
        size = sum([line.size for line in self._taken])
        return FilePosition(self._begin.offset + size, self._begin.line + len(self._taken))

    @property
    def raw(self) -> bytes:
        """The row at hand, without its line end."""
        return b"".join([line.raw for line in self._taken]).rstrip(b"\r\n")

    def give_back_all_but_first(self) -> None:
        """Shorten the row at hand to its first line."""
        self._given_back.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]

    def take(self) -> bytes:
        """The next line, added to the row at hand; empty at the end of the file.

        Raises:
            _RowTooLargeError: the row has passed its bound.
        """
        line = self._given_back.popleft() if self._given_back else self._read_line()
        if not line.size:
            return b""
        self._taken.append(line)
        self._taken_bytes += len(line.raw)
        if self._taken_bytes > MAX_ROW_BYTES:
            raise _RowTooLargeError
        return line.raw

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        before = self._taken_bytes
        raw = self.take()
        if not raw:
            raise StopIteration
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            if self.bad_byte is None:
                self.bad_byte = before + error.start
            return raw.decode(errors="replace")

    def _begin_row(self, position: FilePosition) -> None:
        self._begin = position
        self._taken = []
        self._taken_bytes = 0
        self.bad_byte = None

    def _read_line(self) -> _Line:
        raw = self._file.readline(MAX_ROW_BYTES + 1)
        size = len(raw)
        if size > MAX_ROW_BYTES and not raw.endswith(b"\n"):
            while rest := self._file.readline(_SKIP_BYTES):
                size += len(rest)
                if rest.endswith(b"\n"):
                    break
        if self._begin.offset == 0 and not self._taken:
            raw = raw.removeprefix(_BOM)
        return _Line(raw, size)


def _read_jsonl(lines: _Lines, parser: RowParser[RowT]) -> Iterator[FileRecord[RowT]]:
    while True:
        number = lines.next_row()
        content: RowT | RejectedRow
        try:
            raw = lines.take()
        except _RowTooLargeError:
            content = _too_large()
        else:
            if not raw and lines.end.line == number:
                return
            if not raw.strip():
                continue
            content = _parse_line(raw, number, parser)
        yield FileRecord(number, content, lines.raw, lines.end)


def _parse_line(raw: bytes, number: int, parser: RowParser[RowT]) -> RowT | RejectedRow:
    try:
        return parser.from_object(decode_object(raw), number)
    except InvalidEventError as event:
        return RejectedRow(event.reason, event.detail)


def _read_csv(lines: _Lines, columns: Sequence[str], parser: RowParser[RowT]) -> Iterator[FileRecord[RowT]]:
    rows = _csv_rows(lines)
    while True:
        number = lines.next_row()
        content: RowT | RejectedRow
        try:
            cells = next(rows)
        except StopIteration:
            return
        except _RowTooLargeError:
            content = _too_large()
            lines.give_back_all_but_first()
        except csv.Error:
            content = RejectedRow(
                NOT_CSV, "quotes don't pair: one that opens a cell must be closed, one inside it doubled"
            )
            lines.give_back_all_but_first()
        else:
            if not cells:
                continue
            rejected = _check_cells(cells, columns, lines)
            if rejected is None:
                content = _parse_cells(dict(zip(columns, cells, strict=True)), number, parser)
            else:
                content = rejected
        yield FileRecord(number, content, lines.raw, lines.end)


def _csv_rows(lines: _Lines) -> Iterator[list[str]]:
    # csv's own bound of 128 KB a cell is below what battles have. It is one setting per process: only ever raise it.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
    # Without strict, a quote that is never closed is found at the end of the file only, not at the next quote.
    return csv.reader(lines, strict=True)


def _check_cells(cells: Sequence[str], columns: Sequence[str], lines: _Lines) -> RejectedRow | None:
    if lines.bad_byte is not None:
        return RejectedRow(Reason.NOT_UTF8, f"byte {lines.bad_byte} of the row is not UTF-8")
    if b"\0" in lines.raw:
        return RejectedRow(NOT_CSV, "the row holds a NUL byte, which no text has")
    if len(cells) != len(columns):
        return RejectedRow(NOT_CSV, f"the row has {len(cells)} cells, the header names {len(columns)} columns")
    return None


def _parse_cells(cells: Mapping[str, str], number: int, parser: RowParser[RowT]) -> RowT | RejectedRow:
    try:
        return parser.from_cells(cells, number)
    except InvalidEventError as event:
        return RejectedRow(event.reason, event.detail)


def _read_header(lines: _Lines, path: Path, parser: RowParser[object]) -> list[str]:
    # The header's own words are not repeated in errors: in a file without one they are a user's text.
    try:
        columns = [cell.strip() for cell in next(_csv_rows(lines), [])]
    except (csv.Error, _RowTooLargeError):
        columns = []
    missing = [name for name in parser.columns if name not in columns]
    if missing:
        raise FileError(
            f"{path}: no column {', '.join(missing)}; the first line must name the columns, separated by commas: "
            f"{', '.join(parser.columns)} (others may stand among them)"
        )
    twice = [name for name in parser.columns + parser.optional_columns if columns.count(name) > 1]
    if twice:
        raise FileError(f"{path}: more than one column {', '.join(twice)}; name each once")
    return columns


def _too_large() -> RejectedRow:
    return RejectedRow(Reason.FIELD_TOO_LARGE, f"the row has more than {MAX_ROW_BYTES:,} bytes")
