"""Answers compared as if they were equally long: the fitted length slope, taken out of what a panel says.

The slope is the panel's whole one, not what exceeds people's: longer answers are better for reasons, too, and those go
with it. So this is no better forecast of what a person prefers. It is for comparing answers, or models, that should
gain nothing by being long, as style control does with a table of models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import Battle
from prefstream.scoring.probabilities import Triples


def length_odds(battles: Sequence[Battle], slope: float) -> NDArray[np.float64]:
    """What the answers' lengths are worth to a panel: nats of the log odds of A against B, shape (battles,).

    Of the exchanged battle the same with the other sign, to the bit. 0 where an answer is empty: it is no answer that
    is infinitely shorter, and slopes are fitted without such battles.

    Args:
        battles: of which only the responses are read, in characters over all turns, as `style` counts them.
        slope: nats per doubling of length.
    """
    lengths = np.array(
        [(sum(map(len, battle.response_a)), sum(map(len, battle.response_b))) for battle in battles], dtype=np.float64
    ).reshape(-1, 2)
    lengths[lengths.min(axis=1, initial=np.inf) == 0] = 1.0
    doublings = np.log2(lengths)
    odds: NDArray[np.float64] = slope * (doublings[:, 0] - doublings[:, 1])
    return odds


def take_length_out(probabilities: Triples, odds: NDArray[np.float64]) -> Triples:
    """Take what length is worth out of the log odds of A against B. The tie keeps its probability.

    Answers of one length keep theirs to the bit, and exchanging A and B exchanges the result to the bit.

    Args:
        probabilities: shape (battles, 3), in the order of `schemas.OUTCOMES`.
        odds: shape (battles,), as `length_odds` has them.
    """
    for_a, for_b = probabilities[:, 0] * np.exp(-odds / 2), probabilities[:, 1] * np.exp(odds / 2)
    total = for_a + for_b
    # Where both are impossible, or one length is the other, there is nothing to move.
    moved = (odds != 0.0) & (total > 0.0)
    decided = probabilities[:, 0] + probabilities[:, 1]
    adjusted = probabilities.copy()
    for column, weight in enumerate((for_a, for_b)):
        share = np.divide(weight, total, out=np.zeros_like(total), where=moved)
        # Rounding can leave the range by an ulp, which the contract would refuse.
        adjusted[moved, column] = np.minimum(decided * share, 1.0)[moved]
    return adjusted
