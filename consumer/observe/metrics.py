"""Metrics of the stream: one typed table, from which the collectors, the docs and the dashboard checks are made.

`METRICS` is the closed list of names; `trust_metrics` has those of the board. A dashboard or an alert that names
anything else fails a test.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

MetricKind: TypeAlias = Literal["counter", "gauge", "histogram"]

SKIP_REASONS: Final = (
    "deleted_before_first_read",
    "deleted_unread",
    "skipped_to_end",
    "topic_recreated",
    "too_far_behind",
)
"""Values of the label `reason` of skipped records."""

GOLDEN_RESULTS: Final = ("passed", "failed")
"""Values of the label `result` of golden checks."""

TRUNCATED_PARTS: Final = ("prompt", "response_a", "response_b")
"""Values of the label `part`."""

_SHORT_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Tokenising, queueing and committing: milliseconds when all is well, seconds when a broker is slow."""

_LONG_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""A forward pass takes milliseconds for a small judge and minutes for a big one on CPU."""

_AGE_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""A battle may have waited on its topic for a day before the stream came back."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table.

    Attributes:
        name: as it is scraped, without a histogram's suffixes.
        kind: counter, gauge or histogram.
        unit: what one unit of the value is.
        help: one sentence for people.
        labels: names of its labels.
        buckets: upper bounds, for a histogram; +Inf is added.
    """

    name: str
    kind: MetricKind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """Names under which this metric's samples can be queried."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "sum", "count"))
        return (self.name,)


BATTLES_CONSUMED: Final = Metric(
    "prefstream_battles_consumed_total",
    "counter",
    "records",
    "Records taken from the battles topic to be answered, dead letters included.",
)
RECORDS_PASSED_OVER: Final = Metric(
    "prefstream_records_passed_over_total",
    "counter",
    "records",
    "Records of the battles topic that a shadow does not answer, because its share did not choose them.",
)
PREFERENCES_PUBLISHED: Final = Metric(
    "prefstream_preferences_published_total", "counter", "records", "Preferences in committed transactions."
)
DEAD_LETTERS: Final = Metric(
    "prefstream_dead_letters_total",
    "counter",
    "records",
    "Dead letters in committed transactions; of a shadow, which writes none, the records that it could not score.",
    ("reason",),
)
REVIEWS_PUBLISHED: Final = Metric(
    "prefstream_reviews_published_total",
    "counter",
    "records",
    "Preferences that were chosen for review, in committed transactions.",
)
REVIEWS_REFUSED: Final = Metric(
    "prefstream_reviews_refused_total",
    "counter",
    "records",
    "Preferences that were chosen for review and are too large for its topic: published as if nobody was asked.",
)
BATCH_BATTLES: Final = Metric(
    "prefstream_batch_battles",
    "histogram",
    "battles",
    "Records of a batch, those that became dead letters among them.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096),
)
BATCH_PADDED_TOKENS: Final = Metric(
    "prefstream_batch_padded_tokens",
    "histogram",
    "tokens",
    "Tokens, padding included, that a batch's forward passes read in the costliest judge.",
    buckets=tuple(2.0**power for power in range(7, 21)),
)
TOKENISE_SECONDS: Final = Metric(
    "prefstream_tokenise_seconds",
    "histogram",
    "seconds",
    "Time to encode a batch for all judges.",
    buckets=_SHORT_SECONDS,
)
QUEUE_SECONDS: Final = Metric(
    "prefstream_queue_seconds",
    "histogram",
    "seconds",
    "Time an encoded batch waited for the judges.",
    buckets=_LONG_SECONDS,
)
INFERENCE_SECONDS: Final = Metric(
    "prefstream_inference_seconds",
    "histogram",
    "seconds",
    "Time the judges took for a batch, the slowest one counting.",
    buckets=_LONG_SECONDS,
)
COMMIT_SECONDS: Final = Metric(
    "prefstream_commit_seconds",
    "histogram",
    "seconds",
    "Time of a batch's transaction, from begin to commit.",
    buckets=_SHORT_SECONDS,
)
END_TO_END_SECONDS: Final = Metric(
    "prefstream_end_to_end_seconds",
    "histogram",
    "seconds",
    "Age of a battle, by its record's timestamp, when its answer was committed; 0 where the clocks disagree.",
    buckets=_AGE_SECONDS,
)
CONSUMER_LAG: Final = Metric(
    "prefstream_consumer_lag_records",
    "gauge",
    "records",
    "Offsets from an assigned partition's committed one to its end: what waits and what is in flight; absent while no "
    "broker tells.",
    ("topic", "partition"),
)
RECORDS_ANSWERED: Final = Metric(
    "prefstream_records_answered_total",
    "counter",
    "records",
    "Records of a partition whose answers, dead letters included, were committed by this process; stays when the "
    "partition leaves it.",
    ("topic", "partition"),
)
READY: Final = Metric("prefstream_ready", "gauge", "none", "1 while /readyz says yes, else 0.")
BATCHES_IN_FLIGHT: Final = Metric(
    "prefstream_batches_in_flight", "gauge", "batches", "Batches closed but not committed yet."
)
TRUNCATED_TOKENS: Final = Metric(
    "prefstream_truncated_tokens_total",
    "counter",
    "tokens",
    "Tokens that a judge did not get to read because they did not fit.",
    ("judge", "part"),
)
DISAGREEMENT: Final = Metric(
    "prefstream_judge_disagreement_bits",
    "histogram",
    "bits",
    "Mean Jensen-Shannon divergence over pairs of judges, per battle.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0),
)
TRANSACTIONS_ABORTED: Final = Metric(
    "prefstream_transactions_aborted_total",
    "counter",
    "transactions",
    "Transactions aborted; their batch is sent again.",
)
STALE_RECORDS_DROPPED: Final = Metric(
    "prefstream_stale_records_dropped_total",
    "counter",
    "records",
    "Results dropped before their transaction because a rebalance took the partition away; its new owner scores them.",
)
RECORDS_SKIPPED: Final = Metric(
    "prefstream_records_skipped_total",
    "counter",
    "offsets",
    "Offsets of the battles topic that get no answer, markers of transactions among them, by why; told at every start "
    "until a person has decided.",
    ("reason",),
)
JUDGE_FAULTS: Final = Metric(
    "prefstream_judge_faults_total",
    "counter",
    "faults",
    "Faults of a judge, also those that passed when it was tried again, or that cost it a replica: non-finite logits, "
    "device errors.",
    ("judge",),
)
JUDGES_LEFT_OUT: Final = Metric(
    "prefstream_judges_left_out_total",
    "counter",
    "batches",
    "Batches answered without this judge because it failed for good.",
    ("judge",),
)
REPLICAS_LOST: Final = Metric(
    "prefstream_judge_replicas_lost",
    "gauge",
    "replicas",
    "Replicas of a judge that failed for good: the others do their work until the process starts again.",
    ("judge",),
)
JUDGES_RECUSED: Final = Metric(
    "prefstream_judge_recusals_total",
    "counter",
    "battles",
    "Battles with an answer that may be of this judge's own family: it did not count, unless no other one was left.",
    ("judge",),
)
PANEL_INFO: Final = Metric(
    "prefstream_panel_info",
    "gauge",
    "panels",
    "1 for each panel that answers: its name on the panels topic or of the file that the process began with, the first "
    "digits of its hash, the version of its calibration, and whether it serves or is a canary.",
    ("panel", "hash", "calibration", "role"),
)
PANEL_CHANGES: Final = Metric(
    "prefstream_panel_changes_total",
    "counter",
    "choices",
    "Choices that changed what answers while the process ran, by what became of them: taken over, or failed. A pin "
    "changes nothing.",
    ("outcome",),
)
PANEL_CHANGE_FAILED: Final = Metric(
    "prefstream_panel_change_failed",
    "gauge",
    "choices",
    "1 while what was chosen last on the panels topic is not what answers; the log says why.",
)
GOLDEN_CHECKS: Final = Metric(
    "prefstream_golden_checks_total",
    "counter",
    "checks",
    "Times that a panel was asked for the answers of its golden set, by whether it gave them.",
    ("result",),
)
BUILD_INFO: Final = Metric(
    "prefstream_build_info",
    "gauge",
    "none",
    "Always 1; the labels say what runs; role is serving or shadow.",
    ("version", "python", "role"),
)

METRICS: Final[tuple[Metric, ...]] = (
    BATTLES_CONSUMED,
    RECORDS_PASSED_OVER,
    PREFERENCES_PUBLISHED,
    DEAD_LETTERS,
    REVIEWS_PUBLISHED,
    REVIEWS_REFUSED,
    BATCH_BATTLES,
    BATCH_PADDED_TOKENS,
    TOKENISE_SECONDS,
    QUEUE_SECONDS,
    INFERENCE_SECONDS,
    COMMIT_SECONDS,
    END_TO_END_SECONDS,
    CONSUMER_LAG,
    RECORDS_ANSWERED,
    READY,
    BATCHES_IN_FLIGHT,
    TRUNCATED_TOKENS,
    DISAGREEMENT,
    TRANSACTIONS_ABORTED,
    STALE_RECORDS_DROPPED,
    RECORDS_SKIPPED,
    JUDGE_FAULTS,
    JUDGES_LEFT_OUT,
    REPLICAS_LOST,
    JUDGES_RECUSED,
    PANEL_INFO,
    PANEL_CHANGES,
    PANEL_CHANGE_FAILED,
    GOLDEN_CHECKS,
    BUILD_INFO,
)
"""Every metric that the stream exposes, beside the `process_*` ones of prometheus_client."""


def metrics_markdown(metrics: Iterable[Metric]) -> str:
    """A table as Markdown, for the operator's guide.

    Args:
        metrics: one a row.
    """
    rows = ["| metric | type | unit | labels | meaning |", "|---|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.help} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(metrics_markdown(METRICS))
