"""Batches: events polled together, scored together, committed in one transaction."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prefstream.consumer.client.patches.unfair_polls import HEADER_BYTES
from prefstream.consumer.client.protocols import ConsumerRecord
from prefstream.consumer.config import BYTES_PER_TOKEN
from prefstream.consumer.stream.partitions.assignment import Event


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that travel together.

    Attributes:
        events: in the order in which they came.
        opened_at: monotonic time at which the first one arrived.
        weight_bytes: about what their records take of memory.
    """

    events: tuple[Event, ...]
    opened_at: float
    weight_bytes: int = 0


class Batcher:
    """Closes a batch on count or on estimated tokens; one that is not full is due some time after the one before.

    So a lone event leaves at once, and where few come at a time they don't leave one by one.

    Args:
        max_events: a batch has at most so many events.
        max_tokens: a batch closes when its events are estimated at so many tokens.
        linger_s: a batch that is not full is due so many seconds after the last one closed.
        clock: monotonic seconds.
    """

    def __init__(
        self, max_events: int, max_tokens: int, linger_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_events = max_events
        self._max_tokens = max_tokens
        self._linger_s = linger_s
        self._clock = clock
        self._events: list[Event] = []
        self._tokens = 0
        self._weight_bytes = 0
        self._opened_at = 0.0
        self._closed_at = -math.inf

    @property
    def room(self) -> int:
        """Events that still fit into the open batch."""
        return self._max_events - len(self._events)

    def add(self, events: Iterable[Event]) -> list[Batch]:
        """Add events in order; the batches that they closed."""
        closed = []
        for event in events:
            if not self._events:
                self._opened_at = self._clock()
            self._events.append(event)
            self._tokens += len(event.record.value or b"") // BYTES_PER_TOKEN
            self._weight_bytes += _weight_bytes(event.record)
            if len(self._events) >= self._max_events or self._tokens >= self._max_tokens:
                closed.append(self._close())
        return closed

    def due(self) -> Batch | None:
        """The open batch, closed, if it is due."""
        return self._close() if self.wait_s() == 0.0 else None

    def wait_s(self) -> float | None:
        """Seconds until the open batch is due; None when none is open."""
        if not self._events:
            return None
        return max(0.0, self._closed_at + self._linger_s - self._clock())

    def _close(self) -> Batch:
        batch = Batch(tuple(self._events), self._opened_at, self._weight_bytes)
        self._events, self._tokens, self._weight_bytes = [], 0, 0
        self._closed_at = self._clock()
        return batch


def _weight_bytes(record: ConsumerRecord) -> int:
    weight = len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers:
        weight += HEADER_BYTES + len(name) + len(value or b"")
    return weight
