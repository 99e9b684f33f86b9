"""Metrics of the board: rows as those of the stream in `metrics`."""

from __future__ import annotations

from typing import Final

from prefstream.consumer.observe.metrics import Metric

UNCOUNTED_REASONS: Final = (
    "duplicate_battles",
    "replaced_votes",
    "too_late",
    "unknown_battles",
    "bad_preferences",
    "bad_votes",
    "lost_preferences",
    "lost_votes",
)
"""Values of the label `reason` of what was not counted."""

BOARD_PREFERENCES: Final = Metric(
    "prefstream_board_preferences_total", "counter", "battles", "Preferences that this process took into the board."
)
BOARD_VOTES: Final = Metric(
    "prefstream_board_votes_total", "counter", "votes", "Votes that this process read, whatever became of them."
)
BOARD_UNCOUNTED: Final = Metric(
    "prefstream_board_uncounted_total",
    "counter",
    "records",
    "Records that this process read or missed, and that count for nothing, by why.",
    ("reason",),
)
BOARD_LAG: Final = Metric(
    "prefstream_board_lag_records",
    "gauge",
    "records",
    "Offsets from what the board's file holds to the partition's end; absent while no broker tells.",
    ("topic", "partition"),
)
BOARD_LAST_RECORD: Final = Metric(
    "prefstream_board_last_record_timestamp_seconds",
    "gauge",
    "seconds",
    "Timestamp of the latest record that was taken in; absent before the first one.",
    ("topic",),
)
BOARD_APPLY_SECONDS: Final = Metric(
    "prefstream_board_apply_seconds",
    "histogram",
    "seconds",
    "Time of a batch's transaction in the board's file.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

INGEST_METRICS: Final[tuple[Metric, ...]] = (
    BOARD_PREFERENCES,
    BOARD_VOTES,
    BOARD_UNCOUNTED,
    BOARD_LAG,
    BOARD_LAST_RECORD,
    BOARD_APPLY_SECONDS,
)
"""What the board's reading exposes."""
