"""What leaves the stream for one event: a preference, or a dead letter. Knows the contract, not the client.

Oversized messages have smaller forms: a preference becomes a dead letter; a dead letter loses its value, then its key
and the original's headers. A preference that only the review topic finds too large is not sent for review, and does not
say that it was.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from prefstream.consumer.client.patches.slow_sends import CommonHeaders, Header
from prefstream.consumer.observe.traces.traceparent import TRACEPARENT, producer_trace
from prefstream.consumer.stream.partitions.assignment import Event
from prefstream.schemas import Preference, PrefstreamError, Reason, decode_preference, encode_preference
from prefstream.schemas.dead_letter import (
    ERROR_HEADERS,
    HEADER_EXCEPTION,
    HEADER_KEY_SHA256,
    HEADER_KEY_SIZE,
    HEADER_MESSAGE,
    HEADER_OFFSET,
    HEADER_ORIGINAL_TIMESTAMP,
    HEADER_PARTITION,
    HEADER_REASON,
    HEADER_STACKTRACE,
    HEADER_TOPIC,
    HEADER_VALUE_SHA256,
    HEADER_VALUE_SIZE,
    NEVER_UNPACKED,
    rename_original,
)
from prefstream.schemas.wire import frame_of

CE_TYPE: Final = "prefstream.preference.v1"
CE_ID: Final = "ce_id"
CE_SOURCE: Final = "ce_source"


class PreferenceTooLargeError(PrefstreamError):
    """A preference that the broker would not take."""


@dataclass(slots=True)
class Message:
    """A record to send for one event; nobody changes it, though it is not frozen, which takes four times as long.

    `reason` is None for a preference. `omitted` counts what a dead letter lost already: 1 its value, 2 also its key
    and the original's headers. `chosen` is a preference that goes to the review topic, too; what goes there is another
    message, whose `copy_of` it is.
    """

    event: Event
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: list[Header] = field(repr=False)
    reason: Reason | None = None
    omitted: int = 0
    chosen: bool = False
    copy_of: Message | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        headers = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers


def source_of(group_id: str) -> str:
    """What a preference names as its CloudEvents source: the group that gave it."""
    return f"/prefstream/{group_id}"


class Composer:
    """Writes messages; one per stream, because part of every header is the same. Belongs to one thread.

    Args:
        group_id: named as the CloudEvents source.
        frame: stands before the JSON of each preference; by default nothing does.
    """

    def __init__(self, group_id: str, *, frame: bytes = b"") -> None:
        self._frame = frame
        self._fixed: tuple[Header, ...] = (
            ("content-type", b"application/json"),
            ("ce_specversion", b"1.0"),
            ("ce_type", CE_TYPE.encode()),
            (CE_SOURCE, source_of(group_id).encode()),
        )
        self._scored_at: datetime | None = None
        self._headers = CommonHeaders(self._fixed, CE_ID, ())

    def preference(
        self, event: Event, preference: Preference, scored_at: datetime, traceparent: bytes | None = None
    ) -> Message:
        """The preference for an event, in CloudEvents' binary mode.

        Args:
            event: what was scored.
            preference: the answer.
            scored_at: when, in UTC.
            traceparent: of the battle's own span, where it has one; else the record's is passed on.
        """
        record = event.record
        if scored_at is not self._scored_at:  # the same for a whole batch
            self._scored_at = scored_at
            time = ("ce_time", scored_at.isoformat(timespec="milliseconds").encode())
            self._headers = CommonHeaders(self._fixed, CE_ID, [time])
        trace = traceparent or producer_trace(record)
        headers = self._headers.around(
            f"{record.topic}/{record.partition}/{record.offset}".encode(),
            *([(TRACEPARENT, trace)] if trace else ()),
        )
        chosen = preference.review is not None and preference.review.chosen
        value = self._frame + encode_preference(preference)
        return Message(event, preference.id.encode(), value, headers, chosen=chosen)


def dead_letter(event: Event, reason: Reason, error: Exception) -> Message:
    """The event as it came, with headers that say why it was not scored.

    Args:
        event: the event.
        reason: the stable code.
        error: what was raised; its message must hold nothing of the event's text, as those of our errors do.
    """
    record = event.record
    headers = [(rename_original(name), value or b"") for name, value in record.headers]
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
    value = b"" if reason in NEVER_UNPACKED else record.value
    if value is None and record.key is None:
        value = b""  # kafka-python sends no record without key and value; the reason null_value says what it was
    return Message(event, record.key, value, headers, reason)


def with_copies(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Messages, and behind them the copies of those that were chosen for review."""
    return (*messages, *(replace(message, copy_of=message) for message in messages if message.chosen))


def unchoose(message: Message) -> Message:
    """The same preference, not sent for review: whether it would have been is not told, as nobody looks at it."""
    value = message.value or b""
    preference = decode_preference(value).model_copy(update={"review": None})
    return replace(message, value=frame_of(value) + encode_preference(preference), chosen=False)


def shrink(message: Message) -> Message | None:
    """The smaller form of a message that the broker found too large; None when there is none."""
    if message.reason is None:
        size = len(message.value or b"")
        error = PreferenceTooLargeError(f"the preference has {size} bytes, more than the broker takes")
        return dead_letter(message.event, Reason.PREFERENCE_TOO_LARGE, error)
    if message.omitted == 0:
        described = _describe(HEADER_VALUE_SIZE, HEADER_VALUE_SHA256, message.value or b"")
        return replace(message, value=b"", headers=[*message.headers, *described], omitted=1)
    if message.omitted == 1:
        ours = [(name, value) for name, value in message.headers if name in ERROR_HEADERS]
        described = _describe(HEADER_KEY_SIZE, HEADER_KEY_SHA256, message.key or b"")
        return replace(message, key=None, headers=[*ours, *described], omitted=2)
    return None


def _describe(size_header: str, digest_header: str, content: bytes) -> list[Header]:
    return [
        (size_header, b"%d" % len(content)),
        (digest_header, hashlib.sha256(content).hexdigest().encode()),
    ]


def _where(error: Exception) -> bytes:
    """Code positions from the stream down to where it was raised; no values, which could be a user's text."""
    frames = traceback.extract_tb(error.__traceback__, limit=20)
    return "\n".join(f"{frame.name} ({frame.filename.rsplit('/', 2)[-1]}:{frame.lineno})" for frame in frames).encode()
