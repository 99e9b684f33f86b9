"""A judge's rows taken apart: the battles as given, and with swap the exchanged ones behind them."""

from __future__ import annotations

from prefstream.scoring.judges.judge import Judge, JudgeBatch, Scores
from prefstream.scoring.panel.combine import JudgeAnswers, mean_of_orders
from prefstream.scoring.probabilities import Triples, exchange


def split(judge: Judge, part: JudgeBatch, scores: Scores, count: int, *, swap: bool, weight: float) -> JudgeAnswers:
    """What a judge says of battles, in both orders.

    Args:
        judge: who scored.
        part: what it read.
        scores: what it answered.
        count: of the battles, exchanged ones left out.
        swap: whether both orders are asked for.
        weight: of the judge in the panel's mean.
    """
    as_given, swapped = _both_orders(scores.probabilities, judge, count, swap=swap)
    uncalibrated = None
    if scores.uncalibrated is not None:
        uncalibrated = mean_of_orders(*_both_orders(scores.uncalibrated, judge, count, swap=swap))
    return JudgeAnswers(
        name=judge.name,
        weight=weight,
        provenance=judge.provenance,
        as_given=as_given,
        swapped=swapped,
        uncalibrated=uncalibrated,
        truncations=[encoding.truncation for encoding in part.encodings[:count]],
    )


def _both_orders(probabilities: Triples, judge: Judge, count: int, *, swap: bool) -> tuple[Triples, Triples | None]:
    """Answers to the battles as given, and with swap to the exchanged ones, in the exchanged battles' terms."""
    as_given = probabilities[:count]
    if not swap:
        return as_given, None
    # A symmetric judge's answer to the exchanged battle is its answer to this one, exchanged.
    return as_given, exchange(as_given) if judge.symmetric else probabilities[count:]
