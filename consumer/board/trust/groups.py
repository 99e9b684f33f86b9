"""Groups of battles as the store has them: by sums and histograms, or by their votes."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.consumer.board.store.hours import BINS, divergence_bin, length_bin, tenth
from prefstream.consumer.board.store.reading import HourFacts, JudgedVotes
from prefstream.schemas import OUTCOMES
from prefstream.schemas.preference import MAX_ENTROPY_BITS
from prefstream.scoring.trust.contrast import BattleGroup

UNKNOWN: Final = "unknown"
"""A language like any other: where it is no longer told, the battles are others than before."""

LANGUAGE: Final = "language"
LENGTH: Final = "length"
TRUNCATED: Final = "truncated"
PAIR: Final = "pair"
PREFERRED: Final = "preferred"
TIE: Final = "probability of a tie"
ENTROPY: Final = "entropy"
DISAGREEMENT: Final = "disagreement"
POSITION_GAP: Final = "position gap"
FLIPPED: Final = "flipped verdicts"

CUT: Final = "cut"
WHOLE: Final = "read in full"

INPUTS: Final = (LANGUAGE, LENGTH, TRUNCATED)
ANSWERS: Final = (PREFERRED, TIE, ENTROPY, DISAGREEMENT, POSITION_GAP)
OF_VOTED: Final = (PAIR, LANGUAGE, LENGTH, DISAGREEMENT, ENTROPY, TIE)

_BINNED: Final = {
    "length": LENGTH,
    "p_tie": TIE,
    "entropy": ENTROPY,
    "disagreement": DISAGREEMENT,
    "position_gap": POSITION_GAP,
}
"""Features by their name in the store's histograms."""

_TOTALS: Final = {
    LENGTH: "characters",
    TIE: "p_tie",
    ENTROPY: "entropy",
    DISAGREEMENT: "disagreement",
    POSITION_GAP: "gap",
    FLIPPED: "flipped",
}
"""Names of their sums in the store's hours."""

_VERDICTS: Final = ("prefer_a", "prefer_b", "prefer_tie")
_SUMMED: Final = ("battles", "truncated", "gaps", *_VERDICTS, *_TOTALS.values())


WIDELY: Final = 0.09
"""Bits of divergence from which on judges disagree widely, as where one gives A 75 % and another 40, without ties."""


def group_of_hours(hours: Iterable[HourFacts], histograms: Iterable[tuple[int, str, int, int]]) -> BattleGroup:
    """All battles of some hours, voted on or not.

    Args:
        hours: their sums.
        histograms: of the same hours: hour, fact, bin, and how many battles.
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    sums: Counter[str] = Counter()
    for facts in hours:
        counts[LANGUAGE][facts.language or UNKNOWN] += facts.battles
        for name in _SUMMED:
            sums[name] += getattr(facts, name)
    counts[TRUNCATED] = Counter({CUT: int(sums["truncated"]), WHOLE: int(sums["battles"] - sums["truncated"])})
    counts[PREFERRED] = Counter({name: int(sums[verdict]) for name, verdict in zip(OUTCOMES, _VERDICTS, strict=True)})
    # Of judges that read both orders. Where half of them flip half a battle is counted, so there are no categories.
    counts[FLIPPED] = Counter({"read in both orders": int(sums["gaps"])})
    bins: Counter[tuple[str, int]] = Counter()
    for _, fact, place, battles in histograms:
        bins[fact, place] += battles
    for (fact, place), battles in bins.items():
        if (feature := _BINNED.get(fact)) is not None:
            counts[feature][_label(feature, place)] = battles
    return BattleGroup(counts, {feature: float(sums[name]) for feature, name in _TOTALS.items()})


def count_pairs(pairs: Mapping[tuple[str, str], int]) -> Counter[str]:
    """Battles by pair of models.

    Args:
        pairs: likewise, by both names in order.
    """
    return Counter({_pair(one, other): battles for (one, other), battles in pairs.items()})


def group_of_votes(votes: JudgedVotes, *, since_ms: int) -> BattleGroup:
    """The battles that votes are about, each once.

    Args:
        votes: those of a battle together.
        since_ms: battles whose preference was published before are left out, ms since the epoch.
    """
    first = np.flatnonzero(np.diff(votes.battles, prepend=-1) != 0)
    rows = first[votes.published_at[first] >= since_ms]
    names = votes.model_names
    pairs = [
        _pair(*sorted((names[a], names[b]))) for a, b in votes.models[rows].tolist() if names[a] and names[b] and a != b
    ]
    characters = votes.characters[rows].sum(axis=1)
    known = characters[np.isfinite(characters)]
    return BattleGroup(
        {
            PAIR: Counter(pairs),
            LANGUAGE: Counter(votes.language_names[place] or UNKNOWN for place in votes.languages[rows].tolist()),
            LENGTH: _binned(LENGTH, known, length_bin),
            TIE: _binned(TIE, votes.forecasts[rows, 2], tenth),
            ENTROPY: _binned(ENTROPY, votes.entropy[rows] / MAX_ENTROPY_BITS, tenth),
            DISAGREEMENT: _binned(DISAGREEMENT, votes.disagreement[rows], divergence_bin),
        },
        {
            LENGTH: float(known.sum()),
            TIE: float(votes.forecasts[rows, 2].sum()),
            ENTROPY: float(votes.entropy[rows].sum()),
            DISAGREEMENT: float(votes.disagreement[rows].sum()),
        },
    )


def _pair(one: str, other: str) -> str:
    return f"{one} against {other}"


def _binned(feature: str, values: NDArray[np.float64], place: Callable[[float], int]) -> Counter[str]:
    return Counter({_label(feature, bin_): count for bin_, count in Counter(map(place, values.tolist())).items()})


def _label(feature: str, place: int) -> str:
    """A bin in words."""
    if feature == LENGTH:
        low, high = (math.ceil(2 ** (edge / 2)) - 1 for edge in (place, place + 1))
        return f"{low:,} to {max(low, high - 1):,} characters"
    ends = np.array([place, place + 1]) / BINS
    if feature == DISAGREEMENT:  # tenths of the distance, whose square is the divergence
        return "{:.2f} to {:.2f} bits".format(*ends**2)
    if feature == ENTROPY:
        return "{:.2f} to {:.2f} bits".format(*ends * MAX_ENTROPY_BITS)
    return "{:.1f} to {:.1f}".format(*ends)


WIDE_DISAGREEMENT: Final = frozenset(_label(DISAGREEMENT, place) for place in range(divergence_bin(WIDELY), BINS))
"""The categories of it."""
