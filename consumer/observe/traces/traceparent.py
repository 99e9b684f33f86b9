"""The trace that a record is part of, as its header says: W3C Trace Context."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from prefstream.consumer.client.protocols import ConsumerRecord
from prefstream.schemas import InvalidEventError
from prefstream.schemas.cloud_event import content_type_of, is_structured
from prefstream.schemas.wire import envelope_trace

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


def producer_trace(record: ConsumerRecord) -> bytes | None:
    """The trace that a record is part of, by its header or, in CloudEvents' structured mode, by its envelope.

    Args:
        record: of the battles' topic.
    """
    if not record.headers:
        return None
    if trace := traceparent_of(record.headers):
        return trace
    try:
        structured = is_structured(content_type_of(record))
    except InvalidEventError:
        return None
    told = envelope_trace(record.value, framing="confluent") if structured and record.value else None
    return traceparent_of([(TRACEPARENT, told.encode(errors="replace"))]) if told else None


def is_sampled(traceparent: bytes) -> bool:
    """Whether who wrote it records that trace."""
    return bool(int(traceparent[_FLAGS], 16) & _SAMPLED)


def parse_traceparent(traceparent: bytes) -> tuple[int, int, int]:
    """Trace id, span id and flags of what `traceparent_of` returned."""
    return int(traceparent[_TRACE_ID], 16), int(traceparent[_SPAN_ID], 16), int(traceparent[_FLAGS], 16)


def write_traceparent(trace_id: int, span_id: int, flags: int) -> bytes:
    """The header for a span, of version 00."""
    return b"00-%032x-%016x-%02x" % (trace_id, span_id, flags)
