"""Histograms that take a batch at once: scraped as Prometheus' own are."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics, generate_latest
from prometheus_client.registry import DuplicateTimeseries

from prefstream.consumer.observe.histogram import BatchHistogram

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
