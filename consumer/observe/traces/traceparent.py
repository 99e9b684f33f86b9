"""The trace that a record is part of, as its header says: W3C Trace Context."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

TRACEPARENT: Final = "traceparent"

_VALID: Final = re.compile(
    rb"""
    (?! ff | 00 .{54} )  # version ff is forbidden, and 00 ends with the flags
    [0-9a-f]{2}  # version
    - (?!0{32}) [0-9a-f]{32}  # trace id
    - (?!0{16}) [0-9a-f]{16}  # parent id
    - [0-9a-f]{2}  # flags
    (?: - [\x20-\x7e]* )?  # what a later version says
    """,
    re.VERBOSE,
)
"""https://www.w3.org/TR/trace-context/#traceparent-header"""

_TRACE_ID: Final = slice(3, 35)
_SPAN_ID: Final = slice(36, 52)
_FLAGS: Final = slice(53, 55)
_SAMPLED: Final = 1


def traceparent_of(headers: Iterable[tuple[str, bytes | None]]) -> bytes | None:
    """The trace that a record is part of; None where it names none, or several, or what is no trace.

    Args:
        headers: of the record.
    """
    traces = [value for name, value in headers if name == TRACEPARENT]
    if len(traces) == 1 and traces[0] is not None and _VALID.fullmatch(traces[0]):
        return traces[0]
    return None


def is_sampled(traceparent: bytes) -> bool:
    """Whether who wrote it records that trace."""
    return bool(int(traceparent[_FLAGS], 16) & _SAMPLED)


def parse_traceparent(traceparent: bytes) -> tuple[int, int, int]:
    """Trace id, span id and flags of what `traceparent_of` returned."""
    return int(traceparent[_TRACE_ID], 16), int(traceparent[_SPAN_ID], 16), int(traceparent[_FLAGS], 16)


def write_traceparent(trace_id: int, span_id: int, flags: int) -> bytes:
    """The header for a span, of version 00."""
    return b"00-%032x-%016x-%02x" % (trace_id, span_id, flags)
