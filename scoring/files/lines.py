"""The lines of a file, by which rows are read: one at a time, of bounded size, and some of them twice."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from prefstream.schemas.battle import MAX_TEXT_CHARS
from prefstream.scoring.files.content import Content
from prefstream.scoring.files.rows import START, FilePosition

MAX_ROW_BYTES: Final = 3 * 4 * MAX_TEXT_CHARS + 1_000_000
"""Bound of one row: three texts at their bound of four-byte characters, and what stands around them."""

CARRIAGE_RETURN: Final = "\udc0d"
"""A lone surrogate, which no text decoded from UTF-8 has."""

_SKIP_BYTES: Final = 1 << 20


class RowTooLargeError(Exception):
    """The row at hand has passed `MAX_ROW_BYTES`."""


def utf8_remedy(raw: bytes) -> str:
    """What to say behind "is not UTF-8" of bytes that Windows may have written; empty of others, and of UTF-8."""
    if _decodes(raw, "utf-8") or not _decodes(raw, "cp1252"):
        return ""
    return "; if the file is of Windows: iconv -f WINDOWS-1252 -t UTF-8"


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


@dataclass(slots=True)
class _Line:
    raw: bytes = field(repr=False)
    size: int
    """Bytes in the file: more than `raw` has where a byte-order mark or an over-long rest was left out."""


class Lines:
    """The physical lines of a file, taken for one row at a time; those taken too many can be given back.

    Iterating gives the lines as text, which is what `csv.reader` asks for: it takes as many as the row spans. A
    carriage return that ends no line is data, and `csv.reader` refuses it outside of quotes: in the text,
    `CARRIAGE_RETURN` stands in its place.

    Args:
        content: what the lines are of.
    """

    def __init__(self, content: Content) -> None:
        self._file = content
        self._given_back: deque[_Line] = deque()
        self._taken: list[_Line] = []
        self._taken_bytes = 0
        self._begin = START
        self.bad_byte: int | None = None
        """Offset in the row at hand of the first byte that is not UTF-8."""
        self.bare_returns = False
        """Whether `CARRIAGE_RETURN` stands in the text of the row at hand."""

    def jump(self, position: FilePosition) -> None:
        """Go to a place between two rows."""
        self._file.skip_to(position.offset)
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
    def count(self) -> int:
        """How many lines the row at hand spans."""
        return len(self._taken)

    def done_bytes(self, end: FilePosition) -> int:
        """Bytes of the file that are read where a row ends."""
        return self._file.done_bytes(end.offset)

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
            RowTooLargeError: the row has passed its bound.
        """
        line = self._given_back.popleft() if self._given_back else self._read_line()
        if not line.size:
            return b""
        self._taken.append(line)
        self._taken_bytes += len(line.raw)
        if self._taken_bytes > MAX_ROW_BYTES:
            raise RowTooLargeError
        return line.raw

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        before = self._taken_bytes
        raw = self.take()
        if not raw:
            raise StopIteration
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            if self.bad_byte is None:
                self.bad_byte = before + error.start
            text = raw.decode(errors="replace")
        return self._without_bare_returns(text) if "\r" in text else text

    def _without_bare_returns(self, text: str) -> str:
        line = text.removesuffix("\n").removesuffix("\r")
        if "\r" not in line:
            return text
        self.bare_returns = True
        return line.replace("\r", CARRIAGE_RETURN) + text[len(line) :]

    def _begin_row(self, position: FilePosition) -> None:
        self._begin = position
        self._taken = []
        self._taken_bytes = 0
        self.bad_byte = None
        self.bare_returns = False

    def _read_line(self) -> _Line:
        raw = self._file.readline(MAX_ROW_BYTES + 1)
        size = len(raw)
        if size > MAX_ROW_BYTES and not raw.endswith(b"\n"):
            while rest := self._file.readline(_SKIP_BYTES):
                size += len(rest)
                if rest.endswith(b"\n"):
                    break
        if self._begin.offset == 0 and not self._taken:
            raw = raw.removeprefix(BOM_UTF8)
        return _Line(raw, size)
