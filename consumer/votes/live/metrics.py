"""What live calibration counts, for `/metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from prefstream.consumer.observe.metrics import Metric
from prefstream.consumer.observe.recalibrate_metrics import (
    BEHIND,
    CHANGE,
    DECISIONS,
    PARAMETER,
    UNCOUNTED,
    VOTES,
    WAITING,
)
from prefstream.scoring.calibration.live import Decision, ServedCalibration
from prefstream.scoring.judges.calibration import Calibration


class LiveMetrics:
    """Counts of this process.

    Args:
        outcomes: that decisions may have.
        reasons: why a record may count for nothing.

    Attributes:
        registry: what `/metrics` exposes.
    """

    def __init__(self, outcomes: Iterable[str], reasons: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._votes, self._waiting, self._behind = map(self._gauge, (VOTES, WAITING, BEHIND))
        self._change, self._parameter = map(self._gauge, (CHANGE, PARAMETER))
        self._uncounted, self._decisions = (
            Counter(metric.name, metric.help, metric.labels, registry=self.registry)
            for metric in (UNCOUNTED, DECISIONS)
        )
        for reason in reasons:
            self._uncounted.labels(reason)
        for outcome in outcomes:
            self._decisions.labels(outcome)

    def took_in(self, held: int, battles: int, waiting: int, behind: int, uncounted: Mapping[str, int]) -> None:
        """Records were taken in."""
        self._votes.set(held)
        self._behind.set(behind)
        self._waiting.labels("battles").set(battles)
        self._waiting.labels("votes").set(waiting)
        for reason, count in uncounted.items():
            self._uncounted.labels(reason).inc(count)

    def decided(self, outcome: str, served: ServedCalibration | None, decision: Decision | None) -> None:
        """A look was taken.

        Args:
            outcome: what came of it.
            served: what serves; None where that could not be told.
            decision: by the votes; None where none was made.
        """
        self._decisions.labels(outcome).inc()
        if served is not None:
            self._show("serving", served.file.panel)
        if decision is None or decision.file is None or decision.change is None or decision.error is None:
            return
        self._show("fitted", decision.file.panel)
        for bound, errors in (("value", 0), ("low", -2), ("high", 2)):
            self._change.labels(bound).set(decision.change + errors * decision.error)

    def _show(self, of: str, calibration: Calibration) -> None:
        self._parameter.labels(of, "temperature").set(calibration.temperature)
        self._parameter.labels(of, "tie_bias").set(calibration.tie_bias)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)
