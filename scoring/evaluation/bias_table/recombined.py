"""What a panel would have said, had other judges counted: from what each judge said, without asking any again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.panel.combine import weighted_mean
from prefstream.scoring.panel.predict import Forecast, Predictions
from prefstream.scoring.panel.recusal import who_counts
from prefstream.scoring.probabilities import Triples, log_losses, normalise

_ROUNDING: Final = 1e-6
"""How far, in nats, an answer may be from what its judges' mean becomes: digits of a file, and no other panel."""


def counted_in(predictions: Predictions) -> NDArray[np.bool_]:
    """Which judges have a share in each answer, shape (battles, judges): all, where nothing else is known.

    Args:
        predictions: with the judges' own answers.
    """
    everywhere = np.ones(len(predictions.positions), dtype=np.bool_)
    return np.stack([everywhere if judge.counted is None else judge.counted for judge in predictions.judges], axis=1)


def recombined(predictions: Predictions, counted: NDArray[np.bool_]) -> Forecast | None:
    """What the panel would have said, had these judges counted, with the calibration that it has.

    Args:
        predictions: with the judges' own answers.
        counted: shape (battles, judges); where none of them has a weight, all count.

    Returns:
        None where the answers don't follow from what the judges said: there is no telling how they were made.
    """
    found = _calibration_of_the_mean(predictions)
    if found is None:
        return None
    slope, tie_bias = found
    logits = slope * -log_losses(_mean(predictions.judges, counted))
    logits[:, 2] += tie_bias
    answers = normalise(np.exp(logits - logits.max(axis=1, keepdims=True)))
    return Forecast(predictions.panel.name, answers, as_given=answers)


def _mean(judges: Sequence[Forecast], counted: NDArray[np.bool_]) -> Triples:
    weights = [judge.weight for judge in judges]
    shares = np.where(who_counts(~counted, weights), weights, 0.0)
    return weighted_mean([judge.probabilities for judge in judges], list(shares.T))


def _calibration_of_the_mean(predictions: Predictions) -> tuple[float, float] | None:
    """One by the temperature, and the tie bias, which no preference holds: what turns the judges' mean into the answer.

    Two unknowns of linear equations that hold in every battle, to rounding: for the log odds of A against B, and for
    those of a tie against the mean of both.
    """
    before = _log_odds(_mean(predictions.judges, counted_in(predictions)))
    after = _log_odds(predictions.panel.probabilities)
    of_ties = np.repeat([0.0, 1.0], len(predictions.positions))
    solved, _, rank, _ = np.linalg.lstsq(np.stack([before, of_ties], axis=1), after)
    slope, tie_bias = solved.tolist()
    if rank < 2:  # a judge that always says the same tells nothing of a temperature, and needs none
        slope, tie_bias = 1.0, 0.0
    if not np.allclose(slope * before + tie_bias * of_ties, after, rtol=_ROUNDING, atol=_ROUNDING):
        return None
    return slope, tie_bias


def _log_odds(triples: Triples) -> NDArray[np.float64]:
    """Of A against B in all battles, then of a tie against both: shape (2 n,)."""
    a, b, tie = -log_losses(triples).T
    return np.concatenate([a - b, tie - (a + b) / 2])
