"""Histograms that take a batch at once: scraped as Prometheus' own are, and estimated as it does."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics, generate_latest
from prometheus_client.registry import DuplicateTimeseries

from prefstream.consumer.observe.histogram import BatchHistogram, quantile

BOUNDS = (0.1, 0.5, 1.0)


def test_a_name_that_is_taken_is_refused() -> None:
    registry = CollectorRegistry()
    BatchHistogram("age_seconds", "Age.", BOUNDS, registry)
    with pytest.raises(DuplicateTimeseries):
        BatchHistogram("age_seconds", "Age.", BOUNDS, registry)


def test_it_is_scraped_as_prometheus_clients_own_is() -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]  # as StreamMetrics does, for the whole process
    theirs = CollectorRegistry()
    reference = Histogram("age_seconds", "Age.", buckets=BOUNDS, registry=theirs)
    ours = CollectorRegistry()
    histogram = BatchHistogram("age_seconds", "Age.", BOUNDS, ours)
    values = [0.0, 0.1, 0.10001, 0.5, 0.7, 1.0, 3.0]
    for number in values:
        reference.observe(number)
    histogram.observe_many(values)
    assert generate_latest(ours) == generate_latest(theirs)
    assert histogram.counts() == (2, 2, 2, 1)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ((0, 0, 0, 0), 0.5, None),
        ((10, 0, 0, 0), 0.5, 0.05),
        ((0, 10, 0, 0), 0.25, 0.2),
        ((5, 0, 5, 0), 0.5, 0.1),
        ((5, 0, 5, 0), 0.99, 0.99),
        ((0, 0, 0, 3), 0.5, 1.0),
    ],
)
def test_a_quantile_lies_in_its_bucket(counts: tuple[int, ...], share: float, expected: float | None) -> None:
    """Interpolated, and the largest bound where it lies above it, as `histogram_quantile` does."""
    assert quantile(BOUNDS, counts, share) == (expected if expected is None else pytest.approx(expected))
