"""The board's figures as metrics: those of the last report, and none of an older one.

A gauge keeps its value until it is set again: a figure that can no longer be told, for want of votes, would stay as it
was. So each scrape shows the samples of the report that was given last, and no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeAlias

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from prefstream.consumer.observe import trust_metrics as told
from prefstream.consumer.observe.metrics import Metric
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.trust.results import Answers, Contrast, TrustReport, TrustWindow

Sample: TypeAlias = tuple[Metric, tuple[str, ...], float]
"""A metric, its labels in their order, and its value."""

BOUNDS = ("value", "low", "high")


class TrustCollector(Collector):
    """Exposes the last report; nothing before there is one. `show` and scrapes may come from any thread."""

    def __init__(self) -> None:
        self._samples: Sequence[Sample] = ()

    def show(
        self, report: TrustReport, at: datetime, *, newest_preference: datetime | None, newest_vote: datetime | None
    ) -> None:
        """From now on expose these.

        Args:
            report: what is known of the judges.
            at: when it was computed, by this machine's clock.
            newest_preference: the latest preference's record timestamp; None where there is none.
            newest_vote: likewise of votes.
        """
        moments = ((told.COMPUTED, at), (told.NEWEST_PREFERENCE, newest_preference), (told.NEWEST_VOTE, newest_vote))
        known: list[Sample] = [(metric, (), moment.timestamp()) for metric, moment in moments if moment is not None]
        self._samples = (*samples_of(report), *known)  # one reference: a scrape sees all of it or nothing

    def collect(self) -> Iterable[Family]:
        """One family a metric, without those that have no sample."""
        families: dict[str, GaugeMetricFamily] = {}
        for metric, labels, value in self._samples:
            if (family := families.get(metric.name)) is None:
                family = families[metric.name] = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            family.add_metric(labels, value)
        return families.values()

    def describe(self) -> Iterable[Family]:
        """Without samples, for the registry, which asks at registration."""
        return ()


def samples_of(report: TrustReport) -> Iterator[Sample]:
    """A report's figures.

    Args:
        report: on trust.
    """
    for window in report.windows:
        yield from _window(window)
    for answers in report.answers:
        yield from _answers(answers)
    for drift in report.drift:
        for of, contrasts in (("inputs", drift.inputs), ("answers", drift.answers)):
            for each in contrasts:
                yield from _contrast(told.DRIFT, told.DRIFTED, each, drift.window, of)
    for each in report.selection.contrasts:
        yield from _contrast(told.SELECTION, told.SELECTED, each)


def _window(window: TrustWindow) -> Iterator[Sample]:
    name = window.window
    yield told.VOTES, (name,), float(window.votes)
    if window.quality is None:
        return
    quality, prior = window.quality, window.quality.against_prior
    yield from _estimate(told.LOG_LOSS, quality.log_loss, name)
    yield from _estimate(told.ACCURACY, quality.accuracy, name)
    yield from _estimate(told.CALIBRATION_ERROR, quality.calibration_error, name)
    yield told.CALIBRATION_BY_CHANCE, (name, "mean"), quality.calibration_error_by_chance
    yield told.CALIBRATION_BY_CHANCE, (name, "p95"), quality.calibration_error_by_chance_95
    yield from _estimate(told.LOG_LOSS_OVER_PRIOR, prior.log_loss, name)
    yield from _estimate(told.ACCURACY_OVER_PRIOR, prior.accuracy, name)
    if window.against_shipped is not None:
        yield from _estimate(told.LOG_LOSS_OVER_SHIPPED, window.against_shipped.log_loss, name)
    if window.longer_wins is not None:
        yield from _estimate(told.LONGER_WINS, window.longer_wins.people, name, "people")
        yield from _estimate(told.LONGER_WINS, window.longer_wins.judges, name, "judges")
        yield from _estimate(told.LONGER_WINS_EXCESS, window.longer_wins.excess, name)
    if window.ties is not None:
        yield from _estimate(told.TIES, window.ties.people, name, "people")
        yield from _estimate(told.TIES, window.ties.judges, name, "judges")
        yield from _estimate(told.TIES_EXCESS, window.ties.excess, name)


def _answers(answers: Answers) -> Iterator[Sample]:
    yield told.BATTLES, (answers.window,), float(answers.battles)
    values = {
        told.POSITION_GAP: answers.position_gap,
        told.FLIPPED: answers.flipped,
        told.JUDGES_DISAGREEMENT: answers.disagreement,
        told.DISAGREE: answers.disagree,
        told.ENTROPY: answers.entropy,
        told.TRUNCATED: answers.truncated,
    }
    for metric, value in values.items():
        if value is not None:
            yield metric, (answers.window,), value


def _contrast(distance: Metric, differs: Metric, contrast: Contrast, *labels: str) -> Iterator[Sample]:
    if contrast.distance is not None:
        yield distance, (*labels, contrast.what), contrast.distance
        yield differs, (*labels, contrast.what), float(contrast.differs)


def _estimate(metric: Metric, estimate: Estimate, window: str, *labels: str) -> Iterator[Sample]:
    for bound in BOUNDS:
        value = getattr(estimate, bound)
        if value is not None:
            yield metric, (window, bound, *labels), value
