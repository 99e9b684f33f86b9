"""Libraries' running commentary on what comes and goes, folded into a count: our own lines say what it means.

A broker that is away for half a minute makes hundreds of kafka-python's lines. What they tell we tell once: that nobody
answers, that a transaction was aborted, that partitions moved. A line whose words are not known here passes, once a
minute at most, as does all that OpenTelemetry says of a collector that is away. At log level `debug` all of them do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Lock
from typing import Final

LIBRARIES: Final = frozenset({"kafka", "opentelemetry"})

COMMENTARY: Final = (
    # connections, and the brokers behind them
    "%s: Abort (",
    "%s: Connection lost",
    "%s: Error receiving network data",
    "%s: Error sending request data",
    "%s: Request timed out",
    "%s: socket disconnected",
    "Bootstrap",
    "Connection failed",
    "DNS lookup failed",
    "Fetch to node",
    "Metadata refresh",
    "No broker metadata found",
    "No node available for metadata refresh",
    # the group and its coordinator
    "Error sending %s to node",
    "Group Coordinator",
    "Heartbeat failed for group %s: coordinator",
    "Heartbeat failed for group %s: generation",
    "Heartbeat session expired",
    "Heartbeat: local member_id",
    "Marking the coordinator dead",
    "Unhandled Heartbeat loop error",
    # the producer, whose errors come back from the transaction
    "%s: Aborting producer batches",
    "%s: Error sending produce request",
    "%s: Got an exception when trying to find a node",
    "%s: Got error produce response",
    "%s: Received unknown topic or partition error in produce request",
    "Bumping producer epoch",
    "Could not add partition",
    "Failed to produce messages",
    "Fatal Error handling request",
    # a machine that has other work to do
    "Task <",
)
"""How the lines begin that are folded, as kafka-python's sources have them: before their arguments are put in."""

REPEAT_S: Final = 60.0
"""A line that is none of these is shown once in so many seconds: a fault that lasts repeats it at every retry."""

MOST_KINDS: Final = 1_000
"""Kinds of such lines whose time is remembered; beyond that all are forgotten, and shown once more."""


class LibraryNoise(logging.Filter):
    """Lets through what is ours, what is another library's, and of those named above what is news.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = Lock()
        self._folded = 0
        self._shown_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; one that is not is counted."""
        if record.name.partition(".")[0] not in LIBRARIES:
            return True
        with self._lock:
            news = self._is_news(record)
            self._folded += not news
        return news

    def take(self) -> int:
        """How many lines were folded since this was asked last."""
        with self._lock:
            folded, self._folded = self._folded, 0
        return folded

    def _is_news(self, record: logging.LogRecord) -> bool:
        line = str(record.msg)
        if line.startswith(COMMENTARY):
            return False
        now, kind = self._clock(), (record.name, line)
        if now - self._shown_at.get(kind, -REPEAT_S) < REPEAT_S:
            return False
        if len(self._shown_at) >= MOST_KINDS:
            self._shown_at.clear()
        self._shown_at[kind] = now
        return True


NOISE: Final = LibraryNoise()
"""The one of this process: its count is told each minute."""
