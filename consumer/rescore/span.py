"""Which records of a topic are meant: `TOPIC@FROM..TO`, from the first one on, up to the second one without it.

    span    = topic "@" bound ".." bound
    bound   = "earliest" | "latest" | time | offset | offsets
    time    = ISO 8601 with a zone, such as 2026-11-22T17:00Z     the first record that is as young, in each partition
    offset  = digits                                              of a topic with one partition
    offsets = partition ":" offset { "," partition ":" offset }   of these partitions, and of no others

`latest` is where the topic ends when it is first asked, however long the run takes and however often it is resumed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from prefstream.consumer.errors import UsageError

SPAN_METAVAR: Final = "TOPIC@FROM..TO"

Bound: TypeAlias = Literal["earliest", "latest"] | datetime | int | Mapping[int, int]
"""One end of a span, as it was asked for; a number is an offset, a mapping has offsets by partition."""

_SPAN: Final = re.compile(r"([A-Za-z0-9._-]{1,249})@(.+?)\.\.(.+)")
_OFFSET: Final = re.compile(r"[0-9]{1,19}")
_OFFSETS: Final = re.compile(r"[0-9]{1,9}:[0-9]{1,19}(,[0-9]{1,9}:[0-9]{1,19})*")


@dataclass(frozen=True, slots=True)
class TopicSpan:
    """Records of a topic, as they were asked for.

    Attributes:
        topic: its name.
        begin: the first that is meant.
        end: the first that is not meant any more.
        text: all of it, as it was written.
    """

    topic: str
    begin: Bound
    end: Bound
    text: str

    @classmethod
    def parse(cls, text: str) -> TopicSpan:
        """Read what a person wrote.

        Raises:
            UsageError: it is no span; the message says how one is written.
        """
        found = _SPAN.fullmatch(text)
        if found is None:
            raise UsageError(f"{text!r} is no range; write {SPAN_METAVAR}, such as battles@earliest..latest")
        topic, begin, end = found.groups()
        span = cls(topic, _bound(begin), _bound(end), text)
        if _is_empty(span.begin, span.end):
            raise UsageError(f"{text!r} is empty: it ends where it begins, or before that")
        return span

    @property
    def partitions(self) -> frozenset[int] | None:
        """The partitions that are meant; None: all that there are."""
        named = [frozenset(bound) for bound in (self.begin, self.end) if isinstance(bound, Mapping)]
        return frozenset.intersection(*named) if named else None


def _is_empty(begin: Bound, end: Bound) -> bool:
    """Whether nothing can be meant, whatever stands on the topic."""
    if isinstance(begin, datetime) and isinstance(end, datetime):
        return begin >= end
    if isinstance(begin, int) and isinstance(end, int):
        return begin >= end
    if isinstance(begin, Mapping) and isinstance(end, Mapping):
        return all(begin[one] >= end[one] for one in begin.keys() & end.keys())
    return begin == "latest" or end == "earliest"


def _bound(text: str) -> Bound:
    if text == "earliest":
        return "earliest"
    if text == "latest":
        return "latest"
    if _OFFSET.fullmatch(text):
        return int(text)
    if _OFFSETS.fullmatch(text):
        pairs = [pair.split(":") for pair in text.split(",")]
        offsets = {int(partition): int(offset) for partition, offset in pairs}
        if len(offsets) < len(pairs):
            raise UsageError(f"{text!r} names a partition twice")
        return offsets
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no bound of a range; write earliest, latest, a time such as 2026-11-22T17:00Z, an offset, or "
            "offsets by partition such as 0:1500,1:1480"
        ) from None
    if time.tzinfo is None:
        raise UsageError(f"{text!r} has no zone; write {text}Z for UTC, or {text}+01:00")
    return time
