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
        yield from _by_count(dimension, [value or NOT_GIVEN for value in values])
    rounds = [str(count) if count < MAX_ROUNDS else f"{MAX_ROUNDS} or more" for count in facts.rounds]
    yield from _in_order("rounds", rounds, sorted(set(rounds)))
    buckets = np.searchsorted(CHARS_EDGES, facts.chars_a + facts.chars_b, side="right")
    names = _bucket_names()
    yield from _in_order("length, characters of both", [names[bucket] for bucket in buckets], names)
    yield from _in_order(
        "ties at the source",
        ["possible" if possible else "none" for possible in facts.ties_possible],
        ["possible", "none"],
    )


def _by_count(dimension: str, values: Sequence[str]) -> Iterator[Slice]:
    """Slices by falling number of battles."""
    counts = Counter(values)
    kept = [value for value, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    if len(kept) > MAX_VALUES:
        kept = kept[: MAX_VALUES - 1]
        values = [value if value in kept else OTHERS for value in values]
        kept.append(OTHERS)
    yield from _in_order(dimension, values, kept)


def _in_order(dimension: str, values: Sequence[str], order: Sequence[str]) -> Iterator[Slice]:
    there = set(values)
    present = [value for value in order if value in there]
    if len(present) < 2:
        return
    column = np.array(values, dtype=object)
    for value in present:
        yield Slice(dimension, value, np.flatnonzero(column == value))


def _bucket_names() -> list[str]:
    inner = [f"{low:,} to {high - 1:,}" for low, high in itertools.pairwise(CHARS_EDGES)]
    return [f"under {CHARS_EDGES[0]:,}", *inner, f"{CHARS_EDGES[-1]:,} and more"]
