"""What the board's reading counts, for `/metrics` and for the log."""

from __future__ import annotations

import time
from collections import Counter as Counts
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from prefstream.consumer.board.ingest.decode import Decoded
from prefstream.consumer.client.protocols import TopicPartition
from prefstream.consumer.config import TopicNames
from prefstream.consumer.observe.board_metrics import (
    BOARD_APPLY_SECONDS,
    BOARD_LAG,
    BOARD_LAST_RECORD,
    BOARD_PREFERENCES,
    BOARD_UNCOUNTED,
    BOARD_VOTES,
    UNCOUNTED_REASONS,
)


class IngestMetrics:
    """Counts of this process. The reading thread calls all here.

    Args:
        names: the topics.
        registry: what `/metrics` exposes; None makes one.

    Attributes:
        registry: that one.
    """

    def __init__(self, names: TopicNames, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._names = names
        self._began = time.monotonic()
        self._counts: Counts[str] = Counts()
        self._behind: int | None = None
        self._preferences = Counter(BOARD_PREFERENCES.name, BOARD_PREFERENCES.help, registry=self.registry)
        self._votes = Counter(BOARD_VOTES.name, BOARD_VOTES.help, registry=self.registry)
        self._uncounted = Counter(
            BOARD_UNCOUNTED.name, BOARD_UNCOUNTED.help, BOARD_UNCOUNTED.labels, registry=self.registry
        )
        self._lag = Gauge(BOARD_LAG.name, BOARD_LAG.help, BOARD_LAG.labels, registry=self.registry)
        self._last = Gauge(
            BOARD_LAST_RECORD.name, BOARD_LAST_RECORD.help, BOARD_LAST_RECORD.labels, registry=self.registry
        )
        self._apply = Histogram(
            BOARD_APPLY_SECONDS.name,
            BOARD_APPLY_SECONDS.help,
            registry=self.registry,
            buckets=BOARD_APPLY_SECONDS.buckets,
        )
        for reason in UNCOUNTED_REASONS:  # an alert on a rate misses the first increment of a series
            self._uncounted.labels(reason)

    def applied(self, counted: Mapping[str, int], decoded: Decoded, took_s: float) -> None:
        """A batch is in the file.

        Args:
            counted: what was added to the file's counters.
            decoded: the batch.
            took_s: its transaction.
        """
        self._counts.update(counted)
        self._preferences.inc(counted.get("preferences", 0))
        self._votes.inc(counted.get("votes", 0))
        for reason in UNCOUNTED_REASONS:
            if count := counted.get(reason):
                self._uncounted.labels(reason).inc(count)
        self._apply.observe(took_s)
        for topic, records in (
            (self._names.preferences_topic, decoded.preferences),
            (self._names.votes_topic, decoded.votes),
        ):
            if records:
                self._last.labels(topic).set(max(record.at for record in records) / 1000)

    def lag(self, lags: Mapping[TopicPartition, int]) -> None:
        """How far reading is behind; nothing where no broker tells."""
        self._behind = sum(lags.values()) if lags else None
        if not lags:
            self._lag.clear()
        for partition, lag in lags.items():
            self._lag.labels(partition.topic, partition.partition).set(lag)

    @property
    def behind(self) -> int | None:
        """Records that were not taken in, when that was looked at last; None where nobody knows."""
        return self._behind

    def totals(self) -> dict[str, float]:
        """For the log: what this process took in, and how far it is behind."""
        since_s = time.monotonic() - self._began
        return {
            **self._counts,
            "behind": self._behind or 0,
            "records_per_s": round((self._counts["preferences"] + self._counts["votes"]) / max(since_s, 1e-3), 1),
        }
