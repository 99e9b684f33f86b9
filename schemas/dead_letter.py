"""Dead letters: why an input was not scored, and the headers that say so.

A dead letter is the original record, key, value and headers untouched, plus the headers named here. What Kafka's client
can't send becomes empty (a null header; a null value without a key), and what is too large is left out. Those under
``__streams.errors`` are the names of Kafka's KIP-1034, so that existing tools can read them.

A header of the original that has one of these names gets another one, `rename_original`, until the record is sent back:
whichever of several headers of a name a reader takes, what it reads was written here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field

HEADER_EXCEPTION = "__streams.errors.exception"
HEADER_MESSAGE = "__streams.errors.message"
HEADER_STACKTRACE = "__streams.errors.stacktrace"
HEADER_TOPIC = "__streams.errors.topic"
HEADER_PARTITION = "__streams.errors.partition"
HEADER_OFFSET = "__streams.errors.offset"
HEADER_REASON = "prefstream.reason"
HEADER_GROUP = "prefstream.group"
HEADER_ORIGINAL_TIMESTAMP = "prefstream.original.timestamp"
HEADER_VALUE_SIZE = "prefstream.value.size"
HEADER_VALUE_SHA256 = "prefstream.value.sha256"
HEADER_KEY_SIZE = "prefstream.key.size"
HEADER_KEY_SHA256 = "prefstream.key.sha256"
HEADER_RETRIES = "prefstream.retries"
"""How many times a record was sent back to its topic; it stays on the record, so a loop can be seen."""

ORIGINAL_PREFIX = "prefstream.original."
"""Stands before the name of an original's header that would be taken for one of ours."""

ERROR_HEADERS = frozenset(
    {
        HEADER_EXCEPTION,
        HEADER_MESSAGE,
        HEADER_STACKTRACE,
        HEADER_TOPIC,
        HEADER_PARTITION,
        HEADER_OFFSET,
        HEADER_REASON,
        HEADER_GROUP,
        HEADER_ORIGINAL_TIMESTAMP,
        HEADER_VALUE_SIZE,
        HEADER_VALUE_SHA256,
        HEADER_KEY_SIZE,
        HEADER_KEY_SHA256,
    }
)
"""Headers that prefstream adds; `dead-letters retry` takes them off again."""


_TAKEN_FOR_OURS = re.compile(rf"(?:{re.escape(ORIGINAL_PREFIX)})*(?:{'|'.join(map(re.escape, ERROR_HEADERS))})")
"""Names of ours, and what they are renamed to, so that each renamed one has its own name back."""


def rename_original(name: str) -> str:
    """What a header of the original record is called on its dead letter."""
    return ORIGINAL_PREFIX + name if _TAKEN_FOR_OURS.fullmatch(name) else name


def restore_original(name: str) -> str:
    """What a dead letter's header that is not one of ours was called on the original record."""
    renamed = name.startswith(ORIGINAL_PREFIX) and _TAKEN_FOR_OURS.fullmatch(name, len(ORIGINAL_PREFIX))
    return name[len(ORIGINAL_PREFIX) :] if renamed else name


_WHOLE_NUMBER = re.compile(r"[0-9]{1,19}")  # of more than 4,300 digits `int` makes none


class WithHeaders(Protocol):
    """A record, of whatever client."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Names and values in their order; a name may stand there more than once."""


def header(record: WithHeaders, name: str) -> str | None:
    """The text of a record's header; None where it has no such header, or none with a value.

    Of several the last counts: in dead letters of early versions prefstream's own stand behind those of the original
    record, which could otherwise claim to come from another topic. What is no UTF-8 becomes U+FFFD.
    """
    for key, value in reversed(record.headers):
        if key == name and value is not None:
            return bytes(value).decode(errors="replace")
    return None


def whole_number(text: str | None) -> int | None:
    """A header's text as a number from 0 that fits 64 bits, as offsets do; None where it is none."""
    if text is None or not _WHOLE_NUMBER.fullmatch(text):
        return None
    number = int(text)
    return number if number < 1 << 63 else None


class Reason(StrEnum):
    """Why a record became a dead letter. Codes are stable: metrics and alerts are built on them."""

    NULL_VALUE = "null_value"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_FINITE = "not_finite"
    TOO_DEEP = "too_deep"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    TURNS_DIFFER = "turns_differ"
    FIELD_TOO_LARGE = "field_too_large"
    TOO_LARGE_FOR_JUDGE = "too_large_for_judge"
    PREFERENCE_TOO_LARGE = "preference_too_large"
    TOO_LARGE_UNPACKED = "too_large_unpacked"
    NOT_UNPACKED = "not_unpacked"


NEVER_UNPACKED = frozenset({Reason.TOO_LARGE_UNPACKED, Reason.NOT_UNPACKED})
"""Reasons of dead letters that have nothing of their record, because it was never read."""


class DeadLetterHeaders(BaseModel):
    """Headers that a dead letter has beside the record's own; values are UTF-8 text.

    Each stands there once. A header of the record that has one of these names begins with `prefstream.original.` here,
    and has its name back when the record is sent back.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="allow")

    reason: Annotated[Reason, Field(alias=HEADER_REASON, description="Stable code of what was wrong.")]
    exception: Annotated[str, Field(alias=HEADER_EXCEPTION, description="Full name of the exception's class.")]
    message: Annotated[str, Field(alias=HEADER_MESSAGE, description="What was wrong and where; no text of the event.")]
    stacktrace: Annotated[
        str, Field(alias=HEADER_STACKTRACE, description="Where in prefstream it was found; no values.")
    ]
    topic: Annotated[str, Field(alias=HEADER_TOPIC, description="Topic of the original record.")]
    partition: Annotated[
        str, Field(alias=HEADER_PARTITION, pattern=r"^\d+$", description="Partition of the original record.")
    ]
    offset: Annotated[str, Field(alias=HEADER_OFFSET, pattern=r"^\d+$", description="Offset of the original record.")]
    original_timestamp: Annotated[
        str,
        Field(
            alias=HEADER_ORIGINAL_TIMESTAMP,
            pattern=r"^-?\d+$",
            description="The original record's timestamp, ms since the epoch. The dead letter's own is the time "
            "of its writing: an old one would be deleted by retention at once.",
        ),
    ]
    group: Annotated[str | None, Field(alias=HEADER_GROUP, description="Consumer group that could not score it.")] = (
        None
    )
    value_size: Annotated[
        str | None,
        Field(
            alias=HEADER_VALUE_SIZE,
            pattern=r"^\d+$",
            description="Only where the value was too large to copy: its size in bytes.",
        ),
    ] = None
    value_sha256: Annotated[
        str | None,
        Field(
            alias=HEADER_VALUE_SHA256,
            pattern=r"^[0-9a-f]{64}$",
            description="Only where the value was too large to copy: its SHA-256.",
        ),
    ] = None
    key_size: Annotated[
        str | None,
        Field(
            alias=HEADER_KEY_SIZE,
            pattern=r"^\d+$",
            description="Only where key and original headers were too large to copy: the key's size in bytes.",
        ),
    ] = None
    key_sha256: Annotated[
        str | None,
        Field(
            alias=HEADER_KEY_SHA256,
            pattern=r"^[0-9a-f]{64}$",
            description="Only where key and original headers were too large to copy: the key's SHA-256.",
        ),
    ] = None
    retries: Annotated[
        str | None,
        Field(
            alias=HEADER_RETRIES,
            description="Only where the record was sent back before: how many times, a decimal number. It is the "
            "battle's own header.",
        ),
    ] = None
