"""What the stream counts, in the metrics of the table.

Methods of `StreamMetrics` may be called from any thread. All but `truncated` are called once a batch: per-battle values
go into a histogram together (`BatchHistogram`), which costs a tenth of `prometheus_client.Histogram.observe`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, disable_created_metrics

from prefstream.consumer.observe.ages import Ages
from prefstream.consumer.observe.histogram import BatchHistogram
from prefstream.consumer.observe.metrics import (
    BATCH_BATTLES,
    BATCH_PADDED_TOKENS,
    BATCHES_IN_FLIGHT,
    BATTLES_CONSUMED,
    BUILD_INFO,
    COMMIT_SECONDS,
    CONSUMER_LAG,
    DEAD_LETTERS,
    DISAGREEMENT,
    END_TO_END_SECONDS,
    GOLDEN_CHECKS,
    GOLDEN_RESULTS,
    INFERENCE_SECONDS,
    JUDGE_FAULTS,
    JUDGES_LEFT_OUT,
    JUDGES_RECUSED,
    PANEL_CHANGE_FAILED,
    PANEL_CHANGES,
    PANEL_INFO,
    PREFERENCES_PUBLISHED,
    QUEUE_SECONDS,
    READY,
    RECORDS_ANSWERED,
    RECORDS_PASSED_OVER,
    RECORDS_SKIPPED,
    REPLICAS_LOST,
    REVIEWS_PUBLISHED,
    REVIEWS_REFUSED,
    SKIP_REASONS,
    STALE_RECORDS_DROPPED,
    TOKENISE_SECONDS,
    TRANSACTIONS_ABORTED,
    TRUNCATED_PARTS,
    TRUNCATED_TOKENS,
    Metric,
)
from prefstream.schemas import PanelIdentity, Reason
from prefstream.scoring.short_hash import short_hash
from prefstream.scoring.version import own_version


@dataclass(frozen=True, slots=True)
class Totals:
    """What the stream has counted until some moment.

    Attributes:
        battles: records that were read.
        preferences: that were committed.
        dead_letters: that were committed, by reason.
        stale: results that were dropped because their partition had moved.
    """

    battles: int
    preferences: int
    dead_letters: Mapping[Reason, int]
    stale: int

    @property
    def unanswered(self) -> int:
        """Battles that were read, and neither answered nor left to their partition's new owner."""
        return self.battles - self.preferences - sum(self.dead_letters.values()) - self.stale


class StreamMetrics:
    """What the stream counts, in a registry of its own.

    Args:
        role: whether it serves; a label of what tells the version.

    Attributes:
        registry: what `/metrics` exposes.
        ages: of all records that were committed.
    """

    def __init__(self, role: Literal["serving", "shadow"] = "serving") -> None:
        self.ages = Ages()
        # The `_created` twin of every counter doubles what is stored and nothing reads it; prometheus_client has no
        # switch per registry.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._battles_consumed = self._counter(BATTLES_CONSUMED)
        self._passed_over = self._counter(RECORDS_PASSED_OVER)
        self._preferences_published = self._counter(PREFERENCES_PUBLISHED)
        self._dead_letters = self._counter(DEAD_LETTERS)
        self._reviews_published = self._counter(REVIEWS_PUBLISHED)
        self._reviews_refused = self._counter(REVIEWS_REFUSED)
        self._batch_battles = self._histogram(BATCH_BATTLES)
        self._batch_padded_tokens = self._histogram(BATCH_PADDED_TOKENS)
        self._tokenise = self._histogram(TOKENISE_SECONDS)
        self._queue = self._histogram(QUEUE_SECONDS)
        self._inference = self._histogram(INFERENCE_SECONDS)
        self._commit = self._histogram(COMMIT_SECONDS)
        self._end_to_end = self._histogram(END_TO_END_SECONDS)
        self._lag = self._gauge(CONSUMER_LAG)
        self._answered = self._counter(RECORDS_ANSWERED)
        self._ready = self._gauge(READY)
        self._in_flight = self._gauge(BATCHES_IN_FLIGHT)
        self._truncated = self._counter(TRUNCATED_TOKENS)
        self._truncated_by_judge: dict[str, tuple[Counter, ...]] = {}
        self._disagreement = self._histogram(DISAGREEMENT)
        self._aborted = self._counter(TRANSACTIONS_ABORTED)
        self._stale = self._counter(STALE_RECORDS_DROPPED)
        self._skipped = self._counter(RECORDS_SKIPPED)
        self._judge_faults = self._counter(JUDGE_FAULTS)
        self._left_out = self._counter(JUDGES_LEFT_OUT)
        self._replicas_lost = self._gauge(REPLICAS_LOST)
        self._recused = self._counter(JUDGES_RECUSED)
        self._panels = self._gauge(PANEL_INFO)
        self._panel_changes = self._counter(PANEL_CHANGES)
        self._panel_change_failed = self._gauge(PANEL_CHANGE_FAILED)
        build = {"version": own_version(), "python": platform.python_version(), "role": role}
        self._golden_checks = self._counter(GOLDEN_CHECKS)
        self._gauge(BUILD_INFO).labels(**build).set(1)
        # An alert on a rate misses the first increment of a series that did not exist before: see `expect_judges` and
        # `lag`, too.
        for reason in Reason:
            self._dead_letters.labels(reason.value)
        for why in SKIP_REASONS:
            self._skipped.labels(why)
        for outcome in ("taken", "failed"):
            self._panel_changes.labels(outcome)
        for result in GOLDEN_RESULTS:
            self._golden_checks.labels(result)

    def expect_judges(self, names: Iterable[str]) -> None:
        """These judges serve: what is counted of each begins at 0 now, and not at its first fault."""
        for name in names:
            self._judge_faults.labels(name)
            self._left_out.labels(name)
            self._replicas_lost.labels(name)
            self._recused.labels(name)
            self._truncated_of(name)

    def watch_readiness(self, ready: Callable[[], bool]) -> None:
        """Ask this at each scrape whether the process is ready; until then it is not."""
        self._ready.set_function(lambda: float(ready()))

    def battles_consumed(self, count: int) -> None:
        """Records were taken from the battles topic."""
        self._battles_consumed.inc(count)

    def passed_over(self, count: int) -> None:
        """Records were read that a shadow's share did not choose."""
        self._passed_over.inc(count)

    def preferences_published(self, count: int) -> None:
        """A transaction with this many preferences was committed."""
        self._preferences_published.inc(count)

    def reviews_published(self, count: int) -> None:
        """A transaction with this many preferences for review was committed."""
        self._reviews_published.inc(count)

    def reviews_refused(self, count: int) -> None:
        """This many preferences that were chosen for review are too large for its topic."""
        self._reviews_refused.inc(count)

    def dead_letter(self, reason: Reason, count: int = 1) -> None:
        """A transaction with this many dead letters for `reason` was committed."""
        self._dead_letters.labels(reason.value).inc(count)

    def batch_scored(
        self, size: int, padded_tokens: int, tokenise_s: float, queue_s: float, inference_s: float
    ) -> None:
        """A batch of `size` battles was encoded, waited, and was scored."""
        self._batch_battles.observe_many((size,))
        self._batch_padded_tokens.observe_many((padded_tokens,))
        self._tokenise.observe_many((tokenise_s,))
        self._queue.observe_many((queue_s,))
        self._inference.observe_many((inference_s,))

    def batch_committed(self, commit_s: float, latencies_s: Sequence[float]) -> None:
        """A batch's transaction was committed.

        Args:
            commit_s: from begin to commit.
            latencies_s: per record, commit time minus the record's timestamp; leave records without a timestamp out.
                A producer's clock that is ahead makes it negative: it counts as 0.
        """
        self._commit.observe_many((commit_s,))
        self._end_to_end.observe_many(latencies_s)
        self.ages.add(latencies_s)

    def disagreements(self, values: Iterable[float]) -> None:
        """The judges' disagreement on each battle of a batch, in bits."""
        self._disagreement.observe_many(values)

    def truncated(self, judge: str, prompt: int, response_a: int, response_b: int) -> None:
        """Tokens that `judge` did not get to read, by the part they were cut from."""
        for child, tokens in zip(self._truncated_of(judge), (prompt, response_a, response_b), strict=True):
            if tokens:  # most battles fit, and this is called for each
                child.inc(tokens)

    def lag(self, topic: str, partition: int, records: int) -> None:
        """So far is an assigned partition's committed offset from its end."""
        self._lag.labels(topic, str(partition)).set(records)
        self._answered.labels(topic, str(partition))

    def answered(self, topic: str, partition: int, records: int) -> None:
        """A transaction with the answers to so many records of a partition was committed."""
        self._answered.labels(topic, str(partition)).inc(records)

    def forget_partitions(self, partitions: Iterable[tuple[str, int]]) -> None:
        """The lag of these is not known any more: another process reports it from now on, or no broker answers.

        Args:
            partitions: pairs of topic and partition; kafka-python's `TopicPartition` is one.
        """
        for topic, partition in partitions:
            # What was answered stays: a counter that goes and comes back at 0 looks like a process that was restarted.
            with suppress(KeyError):  # revoked before its lag was ever known
                self._lag.remove(topic, str(partition))

    def in_flight(self, batches: int) -> None:
        """This many batches are closed but not committed yet."""
        self._in_flight.set(batches)

    def transaction_aborted(self) -> None:
        """A transaction was aborted."""
        self._aborted.inc()

    def dropped_stale(self, count: int) -> None:
        """Results were dropped because a rebalance took their partition away."""
        self._stale.inc(count)

    def records_skipped(self, reason: str, offsets: int) -> None:
        """So many offsets will get no answer, for one of `SKIP_REASONS`."""
        self._skipped.labels(reason).inc(offsets)

    def judge_fault(self, judge: str, *, lost_replica: bool = False) -> None:
        """`judge` had a fault.

        Args:
            judge: name of it.
            lost_replica: it goes on with one replica fewer.
        """
        self._judge_faults.labels(judge).inc()
        if lost_replica:
            self._replicas_lost.labels(judge).inc()

    def judge_left_out(self, judge: str) -> None:
        """A batch was answered without `judge`."""
        self._left_out.labels(judge).inc()

    def panels(self, answering: Iterable[tuple[PanelIdentity, str, str]]) -> None:
        """These panels answer now, and no others.

        Args:
            answering: identity, name and role of each.
        """
        self._panels.clear()
        for identity, name, role in answering:
            self._panels.labels(name, short_hash(identity.hash), identity.calibration or "", role).set(1)

    def panel_taken_over(self) -> None:
        """What was chosen on the panels topic answers now, and something else did before."""
        self._panel_changes.labels("taken").inc()

    def panel_choice(self, *, failed: bool) -> None:
        """What was chosen last on the panels topic answers now, or could not be taken over."""
        self._panel_changes.labels("failed").inc(failed)
        self._panel_change_failed.set(failed)

    def judge_recused(self, judge: str, battles: int) -> None:
        """`judge` was recused from so many battles of a batch."""
        self._recused.labels(judge).inc(battles)

    def golden_checked(self, *, passed: bool) -> None:
        """A panel was asked for the answers of its golden set, and gave them or did not."""
        self._golden_checks.labels(GOLDEN_RESULTS[not passed]).inc()

    def totals(self) -> Totals:
        """What was counted until now, as a scrape would tell it."""
        return Totals(
            battles=_total(self._battles_consumed),
            preferences=_total(self._preferences_published),
            dead_letters={reason: _total(self._dead_letters.labels(reason.value)) for reason in Reason},
            stale=_total(self._stale),
        )

    def _truncated_of(self, judge: str) -> tuple[Counter, ...]:
        children = self._truncated_by_judge.get(judge)
        if children is None:
            children = tuple(self._truncated.labels(judge, part) for part in TRUNCATED_PARTS)
            self._truncated_by_judge[judge] = children
        return children

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)

    def _histogram(self, metric: Metric) -> BatchHistogram:
        return BatchHistogram(metric.name, metric.help, metric.buckets, self.registry)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)


def _total(counter: Counter) -> int:
    return int(next(iter(counter.collect())).samples[0].value)
