"""Battles by where they come from and what shape they have."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.evaluation.battle_facts import BattleFacts

MAX_VALUES: Final = 12
"""Of one kind; the rarest are put together, or a file of 100 languages would bury the rest."""

OTHERS: Final = "(others)"
NOT_GIVEN: Final = "(not given)"

CHARS_EDGES: Final = (500, 1_500, 3_000, 6_000)
"""Buckets of the characters of both responses: about the quintiles of chats."""

LENGTH: Final = "length, characters of both"

LENGTH_NAMES: Final = (
    f"under {CHARS_EDGES[0]:,}",
    *(f"{low:,} to {high - 1:,}" for low, high in itertools.pairwise(CHARS_EDGES)),
    f"{CHARS_EDGES[-1]:,} and more",
)
"""Of the slices by length, the shortest first."""

MAX_ROUNDS: Final = 5
"""More rounds than this are one slice: they are rare."""


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """Some of the battles.

    Attributes:
        dimension: by what they were chosen.
        value: which of its values they share.
        rows: which they are, ascending.
    """

    dimension: str
    value: str
    rows: NDArray[np.intp]


def cut_slices(facts: BattleFacts) -> Iterator[Slice]:
    """All slices, dimension by dimension; a dimension of which nothing is known, or all is alike, is left out.

    Args:
        facts: of the battles that are evaluated.
    """
    named = {"source": facts.sources, "tier": facts.tiers, "language": facts.languages}
    for dimension, values in named.items():
        yield from slices_by_count(dimension, [value or NOT_GIVEN for value in values])
    rounds = rounds_names(facts.rounds)
    yield from slices_in_order("rounds", rounds, sorted(set(rounds)))
    yield from slices_in_order(LENGTH, length_names(facts.chars_a + facts.chars_b), LENGTH_NAMES)
    yield from slices_in_order(
        "ties at the source",
        ["possible" if possible else "none" for possible in facts.ties_possible],
        ["possible", "none"],
    )


def rounds_names(rounds: NDArray[np.intp]) -> list[str]:
    """What slices by rounds are called, by the number of each battle's."""
    return [str(count) if count < MAX_ROUNDS else f"{MAX_ROUNDS} or more" for count in rounds.tolist()]


def length_names(characters: NDArray[np.float64]) -> list[str]:
    """What slices by length are called: of `LENGTH_NAMES`, by the characters of both responses of each battle."""
    return [LENGTH_NAMES[bucket] for bucket in np.searchsorted(CHARS_EDGES, characters, side="right").tolist()]


def slices_by_count(dimension: str, values: Sequence[str]) -> Iterator[Slice]:
    """Slices by falling number of battles, the rarest put together.

    Args:
        dimension: by what they are chosen.
        values: one per battle.
    """
    counts = Counter(values)
    kept = [value for value, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    if len(kept) > MAX_VALUES:
        kept = kept[: MAX_VALUES - 1]
        values = [value if value in kept else OTHERS for value in values]
        kept.append(OTHERS)
    yield from slices_in_order(dimension, values, kept)


def slices_in_order(dimension: str, values: Sequence[str], order: Sequence[str]) -> Iterator[Slice]:
    """Slices in a given order; none where all battles are alike.

    Args:
        dimension: by what they are chosen.
        values: one per battle.
        order: of all that they may be.
    """
    there = set(values)
    present = [value for value in order if value in there]
    if len(present) < 2:
        return
    column = np.array(values, dtype=object)
    for value in present:
        yield Slice(dimension, value, np.flatnonzero(column == value))
