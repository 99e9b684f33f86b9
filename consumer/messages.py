"""What leaves the stream for one event: a preference, or a dead letter. Knows the contract, not the client.

Oversized messages have a smaller form each: a preference becomes a dead letter, a dead letter loses its value.
"""

from __future__ import annotations

import hashlib
import traceback
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from consumer.source import Event
from schemas import Preference, PrefstreamError, Reason, encode_preference
from schemas.dead_letter import (
    HEADER_EXCEPTION,
    HEADER_MESSAGE,
    HEADER_OFFSET,
    HEADER_ORIGINAL_TIMESTAMP,
    HEADER_PARTITION,
    HEADER_REASON,
    HEADER_STACKTRACE,
    HEADER_TOPIC,
    HEADER_VALUE_SHA256,
    HEADER_VALUE_SIZE,
)

Header = tuple[str, bytes]

CE_TYPE: Final = "prefstream.preference.v1"
TRACEPARENT: Final = "traceparent"


class PreferenceTooLarge(PrefstreamError):
    """A preference that the broker would not take."""


@dataclass(frozen=True, slots=True)
class Message:
    """A record to send for one event.

    `reason` is None for a preference. `shrunk` marks a dead letter whose value was left out already.
    """

    event: Event
    key: bytes | None
    value: bytes | None
    headers: list[Header]
    reason: Reason | None = None
    shrunk: bool = False


class Composer:
    """Writes messages; one per stream, because part of every header is the same.

    Args:
        group_id: named as the CloudEvents source.
    """

    def __init__(self, group_id: str) -> None:
        self._fixed: tuple[Header, ...] = (
            ("content-type", b"application/json"),
            ("ce_specversion", b"1.0"),
            ("ce_type", CE_TYPE.encode()),
            ("ce_source", f"/prefstream/{group_id}".encode()),
        )

    def preference(self, event: Event, preference: Preference, scored_at: datetime) -> Message:
        """The preference for an event, in CloudEvents' binary mode.

        Args:
            event: what was scored.
            preference: the answer.
            scored_at: when, in UTC.
        """
        record = event.record
        headers = [
            *self._fixed,
            ("ce_id", f"{record.topic}/{record.partition}/{record.offset}".encode()),
            ("ce_time", scored_at.isoformat(timespec="milliseconds").encode()),
        ]
        if record.headers:
            headers += [(name, value) for name, value in record.headers if name == TRACEPARENT and value is not None]
        return Message(event, preference.id.encode(), encode_preference(preference), headers)


def dead_letter(event: Event, reason: Reason, error: Exception) -> Message:
    """The event as it came, with headers that say why it was not scored.

    Args:
        event: the event.
        reason: the stable code.
        error: what was raised; its message must hold nothing of the event's text, as those of our errors do.
    """
    record = event.record
    headers = [(name, value or b"") for name, value in record.headers]
    headers += [
        (HEADER_REASON, reason.encode()),
        (HEADER_EXCEPTION, f"{type(error).__module__}.{type(error).__qualname__}".encode()),
        (HEADER_MESSAGE, str(error).encode()),
        (HEADER_STACKTRACE, _where(error)),
        (HEADER_TOPIC, record.topic.encode()),
        (HEADER_PARTITION, b"%d" % record.partition),
        (HEADER_OFFSET, b"%d" % record.offset),
        (HEADER_ORIGINAL_TIMESTAMP, b"%d" % record.timestamp),
    ]
    value = record.value
    if value is None and record.key is None:
        value = b""  # kafka-python sends no record without key and value; the reason null_value says what it was
    return Message(event, record.key, value, headers, reason)


def shrink(message: Message) -> Message | None:
    """The smaller form of a message that the broker found too large; None when there is none."""
    if message.reason is None:
        size = len(message.value or b"")
        error = PreferenceTooLarge(f"the preference has {size} bytes, more than the broker takes")
        return dead_letter(message.event, Reason.PREFERENCE_TOO_LARGE, error)
    if message.shrunk:
        return None
    value = message.value or b""
    headers = [
        *message.headers,
        (HEADER_VALUE_SIZE, b"%d" % len(value)),
        (HEADER_VALUE_SHA256, hashlib.sha256(value).hexdigest().encode()),
    ]
    return Message(message.event, message.key, b"", headers, message.reason, shrunk=True)


def header(record: Any, name: str) -> str | None:
    """The text of a record's header, None where it has no such header."""
    for key, value in record.headers:
        if key == name and value is not None:
            return bytes(value).decode(errors="replace")
    return None


def _where(error: Exception) -> bytes:
    """Code positions from the stream down to the fault; no values, which could be a user's text."""
    frames = traceback.extract_tb(error.__traceback__, limit=20)
    return "\n".join(f"{frame.name} ({frame.filename.rsplit('/', 2)[-1]}:{frame.lineno})" for frame in frames).encode()
