"""Metrics of whether the judges can be trusted: rows as those of the stream in `metrics`."""

from __future__ import annotations

import sys
from typing import Final

from prefstream.consumer.observe.board_metrics import INGEST_METRICS
from prefstream.consumer.observe.metrics import Metric, metrics_markdown

_ESTIMATE: Final = ("window", "bound")
"""`window` is `day` or `week`; `bound` is `value`, or `low` or `high`, the ends of its 95 % interval."""


def _estimate(name: str, unit: str, help_text: str, *labels: str) -> Metric:
    return Metric(f"prefstream_board_{name}", "gauge", unit, help_text, (*_ESTIMATE, *labels))


def _gauge(name: str, unit: str, help_text: str, *labels: str) -> Metric:
    return Metric(f"prefstream_board_{name}", "gauge", unit, help_text, labels)


VOTES: Final = _gauge(
    "scored_votes", "votes", "Votes that the judges are scored by: the preference came first.", "window"
)
LOG_LOSS: Final = _estimate("log_loss_nats", "nats", "Of the panel, by votes; absent without enough of them.")
ACCURACY: Final = _estimate("accuracy_ratio", "ratio", "Share of votes that were the panel's most probable outcome.")
CALIBRATION_ERROR: Final = _estimate(
    "calibration_error_ratio", "ratio", "Expected calibration error of the top outcome, over 10 bins."
)
CALIBRATION_BY_CHANCE: Final = _gauge(
    "calibration_error_by_chance_ratio",
    "ratio",
    "What a perfect panel with these probabilities and votes would show: its mean, and its 95th percentile.",
    "window",
    "statistic",
)
LOG_LOSS_OVER_PRIOR: Final = _estimate(
    "log_loss_over_prior_nats", "nats", "Log loss less that of the class prior; below 0: better than knowing nothing."
)
ACCURACY_OVER_PRIOR: Final = _estimate("accuracy_over_prior_ratio", "ratio", "Accuracy less that of the class prior.")
LOG_LOSS_OVER_SHIPPED: Final = _estimate(
    "log_loss_over_shipped_nats",
    "nats",
    "Log loss less that with which the panel was shipped; absent where nobody says.",
)
LONGER_WINS: Final = _estimate(
    "longer_wins_ratio", "ratio", "How often the longer answer wins: as people decide, and as the judges have it.", "by"
)
LONGER_WINS_EXCESS: Final = _estimate("longer_wins_excess_ratio", "ratio", "That of the judges less that of people.")
TIES: Final = _estimate("ties_ratio", "ratio", "Share of ties: as people decide, and as the judges have it.", "by")
TIES_EXCESS: Final = _estimate("ties_excess_ratio", "ratio", "That of the judges less that of people.")
BATTLES: Final = _gauge("answered_battles", "battles", "Battles with a preference, voted on or not.", "window")
POSITION_GAP: Final = _gauge(
    "position_gap_ratio", "ratio", "Mean distance between the answers to both orders; absent without swap.", "window"
)
FLIPPED: Final = _gauge(
    "flipped_ratio", "ratio", "Share of the judges' verdicts that the order decides; absent without swap.", "window"
)
JUDGES_DISAGREEMENT: Final = _gauge("disagreement_bits", "bits", "Mean disagreement of the judges.", "window")
DISAGREE: Final = _gauge("disagree_ratio", "ratio", "Share of battles on which judges disagree widely.", "window")
ENTROPY: Final = _gauge("entropy_bits", "bits", "Mean entropy of the panel's answers.", "window")
TRUNCATED: Final = _gauge("truncated_ratio", "ratio", "Share of battles of which a judge did not read all.", "window")
DRIFT: Final = _gauge(
    "drift_ratio",
    "ratio",
    "Share of battles that would have to be of other categories to be as those of the four weeks before, by feature.",
    "window",
    "of",
    "feature",
)
DRIFTED: Final = _gauge(
    "drifted",
    "none",
    "1 where that is more than chance, and enough to matter; else 0.",
    "window",
    "of",
    "feature",
)
SELECTION: Final = _gauge(
    "selection_ratio", "ratio", "As drift, between battles with a vote and those without.", "feature"
)
SELECTED: Final = _gauge(
    "selected",
    "none",
    "1 where that is more than chance, and enough to matter; else 0.",
    "feature",
)
NEWEST_PREFERENCE: Final = _gauge(
    "newest_preference_timestamp_seconds", "seconds", "Of the newest preference's record."
)
NEWEST_VOTE: Final = _gauge("newest_vote_timestamp_seconds", "seconds", "Of the newest vote's record.")
COMPUTED: Final = _gauge(
    "computed_timestamp_seconds",
    "seconds",
    "When these figures were computed, by this machine's clock.",
)
TRUST_METRICS: Final[tuple[Metric, ...]] = (
    VOTES,
    LOG_LOSS,
    ACCURACY,
    CALIBRATION_ERROR,
    CALIBRATION_BY_CHANCE,
    LOG_LOSS_OVER_PRIOR,
    ACCURACY_OVER_PRIOR,
    LOG_LOSS_OVER_SHIPPED,
    LONGER_WINS,
    LONGER_WINS_EXCESS,
    TIES,
    TIES_EXCESS,
    BATTLES,
    POSITION_GAP,
    FLIPPED,
    JUDGES_DISAGREEMENT,
    DISAGREE,
    ENTROPY,
    TRUNCATED,
    DRIFT,
    DRIFTED,
    SELECTION,
    SELECTED,
    NEWEST_PREFERENCE,
    NEWEST_VOTE,
    COMPUTED,
)
"""What the board exposes of its last report on trust."""

BOARD_METRICS: Final[tuple[Metric, ...]] = (*INGEST_METRICS, *TRUST_METRICS)
"""Every metric that the board exposes."""


if __name__ == "__main__":
    sys.stdout.write(metrics_markdown(BOARD_METRICS))
