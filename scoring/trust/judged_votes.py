"""Votes beside what the judges had said of the same battles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.probabilities import Triples


@dataclass(frozen=True, slots=True, eq=False)
class JudgedVotes:
    """N votes on battles that a panel answered, one array element or item each, in the order in which they came.

    Attributes:
        battles: number of the battle, any integer: votes on one battle are alike, and resampled together.
        outcomes: column of what was said, in the order of `schemas.OUTCOMES`.
        forecasts: shape (n, 3): the panel's probabilities.
        voted_ms: timestamp of the vote's record, milliseconds since 1970.
        published_ms: timestamp of the preference's record.
        characters_a: characters of response A, over all its turns; NaN where the preference doesn't say.
        characters_b: those of response B.
        chosen_with: probability with which the battle was chosen for review; NaN where it was not chosen, or nobody
            was asked.
        languages: as the battle says; None where it doesn't.
        panels: hash of the panel that answered; None where the preference doesn't say.
    """

    battles: NDArray[np.int64]
    outcomes: NDArray[np.intp]
    forecasts: Triples
    voted_ms: NDArray[np.int64]
    published_ms: NDArray[np.int64]
    characters_a: NDArray[np.float64]
    characters_b: NDArray[np.float64]
    chosen_with: NDArray[np.float64]
    languages: Sequence[str | None]
    panels: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.outcomes)

    @property
    def forecast_first(self) -> NDArray[np.bool_]:
        """Where the preference was published before the vote came: what no judge could have been told."""
        first: NDArray[np.bool_] = self.published_ms < self.voted_ms
        return first

    @property
    def reviewed(self) -> NDArray[np.bool_]:
        """Where people were asked for this vote."""
        reviewed: NDArray[np.bool_] = np.isfinite(self.chosen_with)
        return reviewed

    @property
    def inverse_weights(self) -> NDArray[np.float64]:
        """What each vote weighs so that battles which are chosen more often count no more than others: 1/probability.

        Of Horvitz and Thompson (1952). A vote that nobody asked for weighs 1.
        """
        weights: NDArray[np.float64] = np.where(
            self.reviewed, 1.0 / np.where(self.reviewed, self.chosen_with, 1.0), 1.0
        )
        return weights

    def at(self, rows: NDArray[np.bool_]) -> JudgedVotes:
        """These votes alone.

        Args:
            rows: shape (n,): which.
        """
        arrays = {
            name: getattr(self, name)[rows]
            for name in (
                "battles",
                "outcomes",
                "forecasts",
                "voted_ms",
                "published_ms",
                "characters_a",
                "characters_b",
                "chosen_with",
            )
        }
        kept = np.flatnonzero(rows).tolist()
        return replace(
            self,
            **arrays,
            languages=[self.languages[row] for row in kept],
            panels=[self.panels[row] for row in kept],
        )
