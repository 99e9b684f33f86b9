"""What was done between two moments, in one line's fields, from the very numbers that are scraped."""

from __future__ import annotations

from prefstream.consumer.observe.ages import Ages
from prefstream.consumer.observe.stream_metrics import Totals


def summary(before: Totals, after: Totals, ages: Ages) -> dict[str, object]:
    """Fields for a log line.

    Args:
        before: what had been counted when the time began.
        after: what had been counted at its end.
        ages: of the records that were committed in between.

    Returns:
        How many battles were read, preferences and dead letters (by reason) committed, results dropped as stale, and
        the age in seconds that half and 99 % of those committed had at most then; None where there were none.
    """
    p50_s, p99_s = (None if age is None else round(age, 3) for age in ages.quantiles(0.5, 0.99))
    dead_letters = {reason: count - before.dead_letters[reason] for reason, count in after.dead_letters.items()}
    return {
        "battles": after.battles - before.battles,
        "preferences": after.preferences - before.preferences,
        "dead_letters": {str(reason): count for reason, count in dead_letters.items() if count},
        "stale": after.stale - before.stale,
        "p50_s": p50_s,
        "p99_s": p99_s,
    }
