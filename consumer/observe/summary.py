"""What was done between two moments, in one line's fields, from the very numbers that are scraped."""

from __future__ import annotations

from prefstream.consumer.observe.histogram import quantile
from prefstream.consumer.observe.metrics import END_TO_END_SECONDS
from prefstream.consumer.observe.stream_metrics import Totals


def summary(before: Totals, after: Totals) -> dict[str, object]:
    """Fields for a log line.

    Args:
        before: what had been counted when the time began.
        after: what had been counted at its end.

    Returns:
        How many battles were read, preferences and dead letters (by reason) committed, and the age in seconds that half
        and 99 % of those had not reached when they were committed; None where there were none.
    """
    latencies = [new - old for old, new in zip(before.latencies, after.latencies, strict=True)]
    p50_s, p99_s = (quantile(END_TO_END_SECONDS.buckets, latencies, share) for share in (0.5, 0.99))
    dead_letters = {reason: count - before.dead_letters[reason] for reason, count in after.dead_letters.items()}
    return {
        "battles": after.battles - before.battles,
        "preferences": after.preferences - before.preferences,
        "dead_letters": {str(reason): count for reason, count in dead_letters.items() if count},
        "p50_s": None if p50_s is None else round(p50_s, 3),
        "p99_s": None if p99_s is None else round(p99_s, 3),
    }
