"""The board's metrics: those of the table, of the last report alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from prefstream.consumer.board.trust.gauges import TrustCollector
from prefstream.consumer.observe.trust_metrics import TRUST_METRICS
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.trust.results import Shipped, TrustReport
from tests.unit.consumer.board.trust.test_build import DAY, NOW, NOW_MS, battles, report_on, votes_for

NEWEST = {"newest_preference": NOW - timedelta(minutes=1), "newest_vote": NOW - timedelta(hours=1)}


@pytest.fixture(scope="module")
def full() -> TrustReport:
    found = battles(1_600, NOW_MS - 20 * DAY, NOW_MS - DAY // 24)
    good = Estimate(value=0.9, low=0.8, high=1.0)
    shipped = Shipped(
        file="test.jsonl",
        version="0.1.0",
        battles=500,
        log_loss=good,
        accuracy=good,
        calibration_error=good,
        calibration_error_by_chance=0.02,
        longer_excess=None,
    )
    return report_on(found, votes_for(found[::2], after_ms=1_000), shipped=shipped)


def scrape(collector: TrustCollector) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    registry = CollectorRegistry()
    registry.register(collector)
    text = generate_latest(registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_before_the_first_report_nothing_is_exposed() -> None:
    assert scrape(TrustCollector()) == {}


def test_a_full_report_has_every_metric_of_the_table_with_its_labels_and_no_other(full: TrustReport) -> None:
    collector = TrustCollector()
    collector.show(full, NOW, **NEWEST)
    samples = scrape(collector)
    assert {name for name, _ in samples} == {metric.name for metric in TRUST_METRICS}
    labels = {metric.name: set(metric.labels) for metric in TRUST_METRICS}
    assert all({name for name, _ in given} == labels[metric] for metric, given in samples)


def test_values_are_those_of_the_report(full: TrustReport) -> None:
    collector = TrustCollector()
    collector.show(full, NOW, **NEWEST)
    samples = scrape(collector)
    week = full.windows[1]
    assert week.quality is not None

    def of(name: str, **labels: str) -> float:
        return samples[f"prefstream_board_{name}", frozenset(labels.items())]

    assert of("scored_votes", window="week") == week.votes
    assert of("log_loss_nats", window="week", bound="high") == week.quality.log_loss.high
    by_chance = of("calibration_error_by_chance_ratio", window="week", statistic="p95")
    assert by_chance == week.quality.calibration_error_by_chance_95
    drift = of("drift_ratio", window="day", of="inputs", feature="language")
    assert drift == full.drift[0].inputs[0].distance
    assert of("newest_vote_timestamp_seconds") == (NOW - timedelta(hours=1)).timestamp()
    assert of("computed_timestamp_seconds") == NOW.timestamp()


def test_a_figure_that_can_no_longer_be_told_is_gone(full: TrustReport) -> None:
    collector = TrustCollector()
    collector.show(full, NOW, **NEWEST)
    later = datetime(2027, 1, 1, tzinfo=UTC)
    collector.show(report_on([], []), later, newest_preference=None, newest_vote=None)
    names = {name for name, _ in scrape(collector)}
    assert names == {
        "prefstream_board_scored_votes",
        "prefstream_board_answered_battles",
        "prefstream_board_computed_timestamp_seconds",
    }
