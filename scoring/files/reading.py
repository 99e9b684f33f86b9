"""Files of rows, read: CSV, a JSON object a line (JSONL), or Parquet; plain or compressed.

Promise: every row comes back exactly once, parsed or with what is wrong with it; one bad row never costs its
neighbours.

Files are read as bytes, a row at a time, so that a file larger than memory works and a row that is not UTF-8 can be
named.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

from prefstream.schemas import InvalidEventError, Reason
from prefstream.schemas.wire import decode_object
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.content import Content, opened
from prefstream.scoring.files.csv_rows import read_csv, read_header
from prefstream.scoring.files.lines import MAX_ROW_BYTES, Lines, RowTooLargeError, utf8_remedy
from prefstream.scoring.files.rows import START, FilePosition, FileRecord, RejectedRow, RowParser

RowT = TypeVar("RowT")


def check_file(path: Path, parser: RowParser[object]) -> None:
    """Find what makes the whole file unusable, before anything costly starts.

    Args:
        path: CSV, JSONL or Parquet, as `prefstream.scoring.files.content.opened` tells them apart.
        parser: what its rows are parsed to.

    Raises:
        FileError: the file can't be read, is of another kind, or lacks columns that the parser needs.
    """
    with opened(path, parser.known_columns) as content:
        _check(content, Lines(content), path, parser)


def read_file(
    path: Path, parser: RowParser[RowT], *, start: FilePosition = START
) -> Generator[FileRecord[RowT], None, None]:
    """Read a file row by row; blank lines are skipped.

    Args:
        path: as for `check_file`.
        parser: what its rows are parsed to.
        start: where to begin: the `end` of a record read from this very file before.

    Raises:
        FileError: as `check_file`, when the first row is asked for; later, where a compressed file is damaged.
    """
    with opened(path, parser.known_columns) as content:
        lines = Lines(content)
        columns = _check(content, lines, path, parser)
        if start != START:
            lines.jump(start)
        yield from read_csv(lines, columns, parser) if content.format == "csv" else _read_jsonl(lines, parser)


def _check(content: Content, lines: Lines, path: Path, parser: RowParser[object]) -> list[str]:
    """The columns of CSV, if it has those that the parser needs; as for Parquet."""
    if content.format == "csv":
        return read_header(lines, path, parser)
    if content.columns is not None and (missing := parser.missing(content.columns)):
        raise FileError(f"{path}: no column {', '.join(missing)}; it must have {parser.needed}")
    return []


def _read_jsonl(lines: Lines, parser: RowParser[RowT]) -> Iterator[FileRecord[RowT]]:
    while True:
        number = lines.next_row()
        content: RowT | RejectedRow
        try:
            raw = lines.take()
        except RowTooLargeError:
            content = RejectedRow(Reason.FIELD_TOO_LARGE, f"the row has more than {MAX_ROW_BYTES:,} bytes")
        else:
            if not raw and lines.end.line == number:
                return
            if not raw.strip():
                continue
            content = _parse_line(raw, number, parser)
        end = lines.end
        yield FileRecord(number, content, lines.raw, end, lines.done_bytes(end))


def _parse_line(raw: bytes, number: int, parser: RowParser[RowT]) -> RowT | RejectedRow:
    try:
        return parser.from_object(decode_object(raw, most_bytes=MAX_ROW_BYTES), number)
    except InvalidEventError as event:
        remedy = utf8_remedy(raw) if event.reason == Reason.NOT_UTF8 else ""
        return RejectedRow(event.reason, event.detail + remedy)
