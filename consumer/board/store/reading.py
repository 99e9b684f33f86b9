"""What is read from the board's file, in arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prefstream.consumer.board.store.minutes import latency_of

Weighting: TypeAlias = Literal["none", "known", "all"]
"""Weights of votes. `none`: 1. `known`: the inverse of the probability with which the vote was asked for (Horvitz and
Thompson 1952), and 0, which leaves it out, where nobody asked for it. `all`: the same, and 1 where nobody did."""


@dataclass(frozen=True, slots=True, eq=False)
class JudgedVotes:
    """Votes, each beside what the panel said of its battle: one row a vote, n of them, those of a battle together.

    Attributes:
        ids: of the battles, n of them.
        battles: number of the battle, shape (n,), from 0.
        outcomes: column in `schemas.OUTCOMES`, shape (n,).
        both_bad: whether that tie was `both_bad`, shape (n,).
        voted_at: the vote's record timestamp, ms since the epoch, shape (n,).
        published_at: that of the preference, shape (n,).
        forecasts: probabilities in the order of `schemas.OUTCOMES`, shape (n, 3).
        model_names: names that `models` counts in; the first is empty, and stands for a name that is not known.
        models: of A and B, shape (n, 2).
        language_names: likewise for `languages`.
        languages: shape (n,).
        panel_hashes: likewise for `panels`.
        panels: which panel answered, shape (n,).
        style_bins: as `scoring.strengths` has them, shape (n,).
        characters: length of responses A and B, shape (n, 2); NaN where it is not known.
        entropy: of the forecast, in bits, shape (n,).
        between_judges: part of it that the judges disagree about, in bits; NaN where it is not known.
        disagreement: mean Jensen-Shannon divergence over pairs of judges, in bits, shape (n,).
        position_gap: mean total variation distance between both orders, 0 to 1; NaN where no judge read both.
        truncated: whether a judge did not get to read all, shape (n,).
        review_probability: with which a person was asked to look; NaN where nobody is asked.
        review_chosen: whether one was, shape (n,).
    """

    ids: tuple[str, ...]
    battles: NDArray[np.intp]
    outcomes: NDArray[np.intp]
    both_bad: NDArray[np.bool_]
    voted_at: NDArray[np.int64]
    published_at: NDArray[np.int64]
    forecasts: NDArray[np.float64]
    model_names: tuple[str, ...]
    models: NDArray[np.intp]
    language_names: tuple[str, ...]
    languages: NDArray[np.intp]
    panel_hashes: tuple[str, ...]
    panels: NDArray[np.intp]
    style_bins: NDArray[np.intp]
    characters: NDArray[np.float64]
    entropy: NDArray[np.float64]
    between_judges: NDArray[np.float64]
    disagreement: NDArray[np.float64]
    position_gap: NDArray[np.float64]
    truncated: NDArray[np.bool_]
    review_probability: NDArray[np.float64]
    review_chosen: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.outcomes)

    @property
    def prequential(self) -> NDArray[np.bool_]:
        """Whether the preference was published before the vote came: only then it foretold anything."""
        return self.published_at < self.voted_at


class HourFacts(NamedTuple):
    """Sums over one hour, language and panel, as published: of all preferences, voted or not.

    Attributes:
        hour: hours since the epoch.
        language: its name; empty where it is not known.
        panel: its hash; empty where it is not known.
        battles: how many.
        p_a: sum of the probabilities.
        p_b: likewise.
        p_tie: likewise.
        prefer_a: battles whose most probable outcome this is; the first of equals.
        prefer_b: likewise.
        prefer_tie: likewise.
        entropy: sum, in bits.
        disagreement: sum, in bits.
        truncated: battles that a judge did not get to read whole.
        gaps: battles with a position gap.
        gap: sum over these.
        flipped: sum over these of the share of judges whose verdict depends on the order.
        styled: battles whose style is known.
        characters: sum over these, of both responses.
        unequal: battles of these whose responses differ in length.
        longer: sum over these of the probability that the longer response wins.
        longer_tie: sum over these of the probability of a tie.
    """

    hour: int
    language: str
    panel: str
    battles: int
    p_a: float
    p_b: float
    p_tie: float
    prefer_a: int
    prefer_b: int
    prefer_tie: int
    entropy: float
    disagreement: float
    truncated: int
    gaps: int
    gap: float
    flipped: float
    styled: int
    characters: int
    unequal: int
    longer: float
    longer_tie: float


class HourBin(NamedTuple):
    """How many battles of one hour, language and panel have a fact within certain bounds.

    Attributes:
        hour: hours since the epoch.
        language: its name; empty where it is not known.
        panel: its hash; empty where it is not known.
        fact: `length` (half octaves of the responses' characters together), or in tenths of its range `p_a`, `p_b`,
            `p_tie`, `entropy`, `position_gap`, and `disagreement` in tenths of the distance, its root.
        bin: from 0.
        battles: how many.
    """

    hour: int
    language: str
    panel: str
    fact: str
    bin: int
    battles: int


class MinuteFacts(NamedTuple):
    """Sums over one minute of the preferences' record timestamps.

    Attributes:
        minute: minutes since the epoch.
        battles: how many.
        timed: of these, battles that say how long they took: a preference of `score` does not.
        queue_s: sum over the timed: tokenised, their batches waited so long for the judges.
        tokenise_s: likewise, for their batches to be tokenised.
        inference_s: likewise, for the judges.
        bins: bin of the sum of the three, and how many battles have it; as `minutes.latency_bin`.
    """

    minute: int
    battles: int
    timed: int
    queue_s: float
    tokenise_s: float
    inference_s: float
    bins: tuple[tuple[int, int], ...]

    def latency_s(self, share: float) -> float | None:
        """What that share of battles took at most, right to 9 %: without the time on the topics.

        Args:
            share: above 0, to 1.
        """
        wanted = math.ceil(share * self.timed)
        for place, battles in self.bins:
            wanted -= battles
            if wanted <= 0:
                return latency_of(place)
        return None


class StoredAnswer(NamedTuple):
    """What the panel said of a battle.

    Attributes:
        source: topic or file of the battle.
        partition: its partition; None in a file.
        offset: its offset, or line.
        probabilities: of A, B and tie.
    """

    source: str
    partition: int | None
    offset: int
    probabilities: tuple[float, float, float]


class ReviewCandidate(NamedTuple):
    """A battle that a person should look at.

    Attributes:
        id: of the battle.
        why: `disagreement` or `entropy`: what it is among the greatest of its day by; `vote`: what a person said.
        score: that value, in bits; of a vote its surprise, -log2 of the probability that the panel gave it.
        at: when the preference was published, ms since the epoch.
        model_a: name, where it is known.
        model_b: likewise.
        language: likewise.
        forecast: probabilities of A, B and tie.
        disagreement: in bits.
        entropy: in bits.
        source: topic or file of the battle.
        source_partition: its partition; None in a file.
        source_offset: its offset, or line.
        said: the vote's `winner`, where that is why.
    """

    id: str
    why: str
    score: float
    at: int
    model_a: str | None
    model_b: str | None
    language: str | None
    forecast: tuple[float, float, float]
    disagreement: float
    entropy: float
    source: str
    source_partition: int | None
    source_offset: int
    said: str | None = None


def vote_weights(
    probability: NDArray[np.float64], chosen: NDArray[np.bool_], weighting: Weighting
) -> NDArray[np.float64]:
    """What votes weigh, shape (n,).

    Args:
        probability: with which people were asked for each, shape (n,); NaN where nobody is asked.
        chosen: whether they were. A vote on a battle that was not chosen came by itself, by another way.
        weighting: how.
    """
    if weighting == "none":
        return np.ones(len(probability))
    asked_for = chosen & np.isfinite(probability)
    inverse: NDArray[np.float64] = 1.0 / np.where(asked_for, probability, 1.0)
    return np.where(asked_for, inverse, 0.0 if weighting == "known" else 1.0)


def floats(rows: Sequence[Sequence[Any]], *columns: int) -> NDArray[np.float64]:
    """Columns of rows, NULL as NaN: shape (n,) of one column, (n, k) of k."""
    found = np.empty((len(rows), len(columns)))
    for place, column in enumerate(columns):
        found[:, place] = list(map(itemgetter(column), rows))  # no Python of ours for each row: a tenth of the time
    return found[:, 0] if len(columns) == 1 else found


def integers(rows: Sequence[Sequence[Any]], *columns: int) -> NDArray[np.intp]:
    """Likewise, of columns without NULL."""
    found = np.empty((len(rows), len(columns)), dtype=np.intp)
    for place, column in enumerate(columns):
        found[:, place] = list(map(itemgetter(column), rows))
    return found[:, 0] if len(columns) == 1 else found
