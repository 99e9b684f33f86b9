"""Tells pages of inputs that have just become dead letters: who sent one sees that no verdict will come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeAlias

from pydantic import BaseModel

from prefstream.consumer.board.report.stream_payloads import NewDeadLetter, NewDeadLetters
from prefstream.consumer.dead_letters.reader import RecordPosition

EVENT: Final = "dead_letters"

MOST_TOLD: Final = 20
"""Of an event: the newest. Of a flood nobody reads more."""

Publish: TypeAlias = Callable[[str, BaseModel], None]
"""Tells pages of an event, by its type."""


class Announcer:
    """Gathers dead letters of one topic's records. Belongs to the thread that reads.

    Args:
        topic: whose records are told of; that of others is none of its business, and text of strangers.
        publish: tells them.
    """

    def __init__(self, topic: str, publish: Publish) -> None:
        self._topic = topic
        self._publish = publish
        self._newest: deque[NewDeadLetter] = deque(maxlen=MOST_TOLD)
        self._came = 0

    def add(self, origin: RecordPosition | None, reason: str, at: datetime) -> None:
        """There is another one.

        Args:
            origin: where its input stands; None where its headers don't say.
            reason: what was wrong.
            at: when it was written.
        """
        if origin is None or origin.topic != self._topic:
            return
        self._came += 1
        self._newest.append(
            NewDeadLetter(topic=origin.topic, partition=origin.partition, offset=origin.offset, reason=reason, at=at)
        )

    def publish(self) -> None:
        """Tell of what came since the last time, if anything did."""
        if self._came:
            told = tuple(self._newest)
            self._publish(EVENT, NewDeadLetters(dead_letters=told, skipped=self._came - len(told)))
            self._newest.clear()
            self._came = 0
