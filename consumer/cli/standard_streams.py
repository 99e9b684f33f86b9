"""Standard input, output and error as a command can rely on them, however it was started."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Final

_MODES: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))

_ESCAPES: Final = "prefstream.escapes"


def mend_standard_streams() -> None:
    r"""Let closed streams lead nowhere, and let every text be printed.

    A stream that was closed (`>&-`) leaves its number free: the next file or socket that is opened would take it, and
    get what is printed. Text that the terminal's encoding lacks, such as a box's lines where it is ASCII, is printed as
    escapes, and so are bytes of a file's name that are no UTF-8: `\xe9`, as shells read them.
    """
    for number, (name, mode) in enumerate(_MODES):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    codecs.register_error(_ESCAPES, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPES)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escaped, error.object[error.start : error.end])), error.end


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python holds a byte of a name that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("ascii", errors="backslashreplace").decode()
