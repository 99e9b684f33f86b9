"""Rows of CSV.

A row that breaks CSV's quoting costs its first line only: reading goes on at the line after it, because a quote that is
never closed would otherwise swallow the rows behind it, or the rest of the file.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from prefstream.schemas import InvalidEventError, Reason
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.content import named_packer_without_its_beginning
from prefstream.scoring.files.lines import CARRIAGE_RETURN, MAX_ROW_BYTES, Lines, RowTooLargeError, utf8_remedy
from prefstream.scoring.files.rows import NOT_CSV, FileRecord, RejectedRow, RowParser

RowT = TypeVar("RowT")

_OTHER_SEPARATORS: Final = {"\t": "tabs", ";": "semicolons", "|": "bars"}

_QUOTES_DIFFER: Final = "quotes don't pair: one that opens a cell must be closed, one inside it doubled"


def read_header(lines: Lines, path: Path, parser: RowParser[object]) -> list[str]:
    """The columns, from the first line.

    Args:
        lines: of a file, at its start.
        path: the file, for messages.
        parser: what must be among the columns.

    Raises:
        FileError: the first line does not name the columns that the parser needs, each once. The header's own words
            are not repeated: in a file without one they are a user's text.
    """
    try:
        header = next(_cells(lines), [])
    except (csv.Error, RowTooLargeError):
        header = []
    if lines.bare_returns:
        raise FileError(
            f"{path}: a carriage return stands in its first line; where all lines end in nothing else, save it with "
            "line feeds"
        )
    columns = [cell.strip() for cell in header]
    if missing := parser.missing(columns):
        told = f"the first line must name the columns, separated by commas: {parser.needed}"
        if not lines.count:
            raise FileError(f"{path} is empty; {told}")
        fault = _other_separator(header, parser) or f"no column {', '.join(missing)}"
        if packer := named_packer_without_its_beginning(path):
            fault = f"its name says {packer}, but its first bytes don't; read as they are, they have {fault}"
        raise FileError(f"{path}: {fault}; {told} (others may stand among them)")
    twice = sorted(name for name in parser.known_columns if columns.count(name) > 1)
    if twice:
        raise FileError(f"{path}: more than one column {', '.join(twice)}; name each once")
    return columns


def _other_separator(header: Sequence[str], parser: RowParser[object]) -> str | None:
    for separator, name in _OTHER_SEPARATORS.items():
        columns = [cell.strip() for cell in next(csv.reader([",".join(header)], delimiter=separator), [])]
        if not parser.missing(columns):
            return f"its columns are separated by {name}"
    return None


def read_csv(lines: Lines, columns: Sequence[str], parser: RowParser[RowT]) -> Iterator[FileRecord[RowT]]:
    """The rows behind the header; blank lines are skipped.

    Args:
        lines: of a file, at the beginning of a row.
        columns: as `read_header` gave them.
        parser: makes something of the rows.
    """
    rows = _cells(lines)
    while True:
        number = lines.next_row()
        content: RowT | RejectedRow
        warnings: tuple[str, ...] = ()
        try:
            cells = next(rows)
        except StopIteration:
            return
        except RowTooLargeError:
            content = RejectedRow(Reason.FIELD_TOO_LARGE, f"the row has more than {MAX_ROW_BYTES:,} bytes")
            lines.give_back_all_but_first()
        except csv.Error:
            content = RejectedRow(NOT_CSV, _QUOTES_DIFFER)
            lines.give_back_all_but_first()
        else:
            if not cells:
                continue
            content, warnings = _parse(cells, columns, lines, number, parser)
        end = lines.end
        yield FileRecord(number, content, lines.raw, end, lines.done_bytes(end), warnings)


def _cells(lines: Lines) -> Iterator[list[str]]:
    # csv's own bound of 128 KB a cell is below what battles have. It is one setting per process: only ever raise it.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
    # Without strict, a quote that is never closed is found at the end of the file only, not at the next quote.
    return csv.reader(lines, strict=True)


def _parse(
    cells: Sequence[str], columns: Sequence[str], lines: Lines, number: int, parser: RowParser[RowT]
) -> tuple[RowT | RejectedRow, tuple[str, ...]]:
    if lines.bad_byte is not None:
        return RejectedRow(
            Reason.NOT_UTF8, f"byte {lines.bad_byte} of the row is not UTF-8{utf8_remedy(lines.raw)}"
        ), ()
    if len(cells) != len(columns):
        return _reject_count(len(cells), len(columns), lines), ()
    if lines.bare_returns:
        cells = [cell.replace(CARRIAGE_RETURN, "\r") for cell in cells]
    by_column: Mapping[str, str] = dict(zip(columns, cells, strict=True))
    try:
        content = parser.from_cells(by_column, number)
    except InvalidEventError as event:
        return RejectedRow(event.reason, event.detail), ()
    return content, () if isinstance(content, RejectedRow) else parser.warnings(by_column, content)


def _reject_count(cells: int, columns: int, lines: Lines) -> RejectedRow:
    detail = f"the row has {cells} cells, the header names {columns} columns"
    if lines.count > 1:
        # A quote that was left open takes the rows behind it into its cell, up to the next quote.
        detail += f"; it spans {lines.count} lines: is a quote left open?"
        lines.give_back_all_but_first()
    return RejectedRow(NOT_CSV, detail)
