"""The table of metrics."""

from __future__ import annotations

from prefstream.consumer.observe.metrics import METRICS, metrics_markdown
from prefstream.consumer.observe.trust_metrics import BOARD_METRICS


def test_every_name_follows_the_conventions() -> None:
    for metric in (*METRICS, *BOARD_METRICS):
        assert metric.name.startswith("prefstream_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert list(metric.buckets) == sorted(set(metric.buckets))


def test_markdown_has_one_row_per_metric() -> None:
    rows = metrics_markdown(METRICS).splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [metric.name for metric in METRICS]
