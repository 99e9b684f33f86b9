"""Metrics of live calibration: rows as those of the stream in `metrics`."""

from __future__ import annotations

import sys
from typing import Final

from prefstream.consumer.observe.metrics import Metric, metrics_markdown


def _metric(kind: str, name: str, unit: str, help_text: str, *labels: str) -> Metric:
    return Metric(
        f"prefstream_recalibrate_{name}", "counter" if kind == "counter" else "gauge", unit, help_text, labels
    )


VOTES: Final = _metric("gauge", "votes", "votes", "Votes that are held, each of which met its battle.")
WAITING: Final = _metric(
    "gauge", "waiting_rows", "rows", "In memory: battles that wait for votes, and votes that wait for battles.", "what"
)
UNCOUNTED: Final = _metric(
    "counter", "uncounted_total", "records", "Records that were read or missed and count for nothing, by why.", "reason"
)
DECISIONS: Final = _metric(
    "counter", "decisions_total", "decisions", "Looks at whether another calibration is better, by outcome.", "outcome"
)
CHANGE: Final = _metric(
    "gauge",
    "log_loss_change_nats",
    "nats",
    "Log loss of the last fit less that of what serves, on votes after the fit; value, and low and high, two standard "
    "errors away. Absent before there is one.",
    "bound",
)
PARAMETER: Final = _metric(
    "gauge",
    "parameter",
    "none",
    "Temperature and tie bias of the panel: of what serves, and of the last fit.",
    "of",
    "parameter",
)
BEHIND: Final = _metric("gauge", "lag_records", "records", "Records of both topics that are not read yet.")

RECALIBRATE_METRICS: Final[tuple[Metric, ...]] = (VOTES, WAITING, UNCOUNTED, DECISIONS, CHANGE, PARAMETER, BEHIND)
"""Every metric that live calibration exposes."""


if __name__ == "__main__":
    sys.stdout.write(metrics_markdown(RECALIBRATE_METRICS))
