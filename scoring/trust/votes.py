"""Votes beside what the judges had said of the same battles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.probabilities import Triples

FEWEST_VOTES: Final = 30
"""Below it a log loss says nothing: at .35 nats of deviation its interval is a quarter of a nat wide."""

_ARRAYS: Final = (
    "battles",
    "outcomes",
    "forecasts",
    "weights",
    "voted_ms",
    "published_ms",
    "characters_a",
    "characters_b",
    "asked_for",
)


@dataclass(frozen=True, slots=True, eq=False)
class TrustVotes:
    """N votes on battles that a panel answered, one array element or item each, in the order in which they came.

    Attributes:
        battles: number of the battle, any integer: votes on one battle are alike, and resampled together.
        outcomes: column of what was said, in the order of `schemas.OUTCOMES`.
        forecasts: shape (n, 3): the panel's probabilities.
        weights: how much each counts: the inverse of the probability with which it was asked for (Horvitz and Thompson
            1952), or 1; 0 leaves it out.
        voted_ms: timestamp of the vote's record, milliseconds since 1970.
        published_ms: timestamp of the preference's record.
        characters_a: characters of response A, over all its turns; NaN where the preference doesn't say.
        characters_b: those of response B.
        asked_for: whether people were asked for it, by a review.
        languages: as the battle says; None where it doesn't.
        panels: hash of the panel that answered; None where the preference doesn't say.
    """

    battles: NDArray[np.intp]
    outcomes: NDArray[np.intp]
    forecasts: Triples
    weights: NDArray[np.float64]
    voted_ms: NDArray[np.int64]
    published_ms: NDArray[np.int64]
    characters_a: NDArray[np.float64]
    characters_b: NDArray[np.float64]
    asked_for: NDArray[np.bool_]
    languages: Sequence[str | None]
    panels: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.outcomes)

    @property
    def forecast_first(self) -> NDArray[np.bool_]:
        """Where the preference was published before the vote came: what no judge could have been told."""
        first: NDArray[np.bool_] = self.published_ms < self.voted_ms
        return first

    def at(self, rows: NDArray[np.bool_]) -> TrustVotes:
        """These votes alone.

        Args:
            rows: shape (n,): which.
        """
        kept = np.flatnonzero(rows).tolist()
        return replace(
            self,
            **{name: getattr(self, name)[rows] for name in _ARRAYS},
            languages=[self.languages[row] for row in kept],
            panels=[self.panels[row] for row in kept],
        )
