"""Sums by hour over all preferences: what strengths and drift are computed from, without a row per battle."""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from prefstream.consumer.board.store.tables import FIXED_POINT, HOUR_SUMS, PAIR_SUMS, Facts, fixed_point
from prefstream.schemas.preference import MAX_ENTROPY_BITS
from prefstream.scoring.strengths.tallies import STYLE_BINS, mirror_bins

MS_PER_HOUR: Final = 3_600_000

BINS: Final = 10
"""Of each fact that lies between two bounds: tenths of its range."""

_MIRROR: Final[tuple[int, ...]] = tuple(mirror_bins(np.arange(STYLE_BINS)).tolist())


class HourSums:
    """Gathers a batch's sums, then adds them to the tables: one statement for each cell, not for each battle."""

    def __init__(self) -> None:
        self._pairs: defaultdict[tuple[int, ...], list[int]] = defaultdict(lambda: [0] * (1 + len(PAIR_SUMS)))
        self._facts: defaultdict[tuple[int, ...], list[int]] = defaultdict(lambda: [0] * len(HOUR_SUMS))
        self._bins: defaultdict[tuple[int, int, int, str, int], int] = defaultdict(int)

    def add(self, facts: Facts, *, turned: bool) -> None:
        """Count one battle.

        Args:
            facts: of it.
            turned: whether the name of its model A sorts behind that of B.
        """
        hour = facts.at // MS_PER_HOUR
        _add(self._pairs[_pair_of(hour, facts, turned=turned)], _pair_sums(facts, turned=turned))
        of_input = (hour, facts.language, facts.panel)
        _add(self._facts[of_input], _hour_sums(facts))
        for fact, place in _bins(facts):
            self._bins[(*of_input, fact, place)] += 1

    def write(self, connection: sqlite3.Connection) -> None:
        """Add what was gathered to the tables."""
        connection.executemany(_ADD_PAIRS, ((*key, *sums) for key, sums in self._pairs.items()))
        connection.executemany(_ADD_FACTS, ((*key, *sums) for key, sums in self._facts.items()))
        connection.executemany(_ADD_BINS, ((*key, count) for key, count in self._bins.items()))


def _add(sums: list[int], more: Sequence[int]) -> None:
    for index, value in enumerate(more):
        sums[index] += value


def _pair_of(hour: int, facts: Facts, *, turned: bool) -> tuple[int, ...]:
    one, other, style_bin = facts.model_a, facts.model_b, facts.style_bin
    if turned:
        one, other, style_bin = other, one, _MIRROR[style_bin]
    return (hour, one, other, facts.language, style_bin, facts.panel)


def _pair_sums(facts: Facts, *, turned: bool) -> tuple[int, ...]:
    """1, the probabilities and their products, in the order of `PAIR_SUMS`."""
    a, b, tie = (facts.p_b, facts.p_a, facts.p_tie) if turned else (facts.p_a, facts.p_b, facts.p_tie)
    return (1, *map(fixed_point, (a, b, tie, a * a, b * b, tie * tie, a * b, a * tie, b * tie)))


def _hour_sums(facts: Facts) -> tuple[int, ...]:
    """In the order of `HOUR_SUMS`."""
    shares = (facts.p_a, facts.p_b, facts.p_tie)
    preferred = shares.index(max(shares))
    a, b = facts.characters_a, facts.characters_b
    styled = a is not None and b is not None
    longer = facts.p_a if (a or 0) > (b or 0) else facts.p_b
    unequal = styled and a != b
    return (
        1,
        *map(fixed_point, shares),
        int(preferred == 0),
        int(preferred == 1),
        int(preferred == 2),
        fixed_point(facts.entropy),
        fixed_point(facts.disagreement),
        facts.truncated,
        int(facts.position_gap is not None),
        fixed_point(facts.position_gap or 0.0),
        fixed_point(facts.flipped or 0.0),
        int(styled),
        (a or 0) + (b or 0),
        int(unequal),
        fixed_point(longer) if unequal else 0,
        fixed_point(facts.p_tie) if unequal else 0,
    )


def _bins(facts: Facts) -> Iterator[tuple[str, int]]:
    """Where a battle falls in the histograms of an hour."""
    if facts.characters_a is not None and facts.characters_b is not None:
        yield "length", length_bin(facts.characters_a + facts.characters_b)
    yield "p_a", tenth(facts.p_a)
    yield "p_b", tenth(facts.p_b)
    yield "p_tie", tenth(facts.p_tie)
    yield "entropy", tenth(facts.entropy / MAX_ENTROPY_BITS)
    yield "disagreement", divergence_bin(facts.disagreement)
    if facts.position_gap is not None:
        yield "position_gap", tenth(facts.position_gap)


def length_bin(characters: float) -> int:
    """Half octaves of the two responses' length together: from 0, for none at all, on."""
    return int(2 * math.log2(1 + characters))


def tenth(share: float) -> int:
    """Where a number from 0 to 1 falls."""
    return min(BINS - 1, int(share * BINS))


def divergence_bin(bits: float) -> int:
    """Tenths of the distance whose square a Jensen-Shannon divergence is: most judges agree to a few hundredths."""
    return tenth(math.sqrt(bits))


def _upsert(table: str, key: Sequence[str], sums: Sequence[str]) -> str:
    marks = ", ".join("?" * (len(key) + len(sums)))
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in sums)
    return f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT DO UPDATE SET {added}"


_ADD_PAIRS: Final = _upsert(
    "hours", ("hour", "model_a", "model_b", "language", "style_bin", "panel"), ("battles", *PAIR_SUMS)
)
_ADD_FACTS: Final = _upsert("hour_facts", ("hour", "language", "panel"), HOUR_SUMS)
_ADD_BINS: Final = _upsert("hour_bins", ("hour", "language", "panel", "fact", "bin"), ("battles",))

__all__ = ["BINS", "FIXED_POINT", "MS_PER_HOUR", "HourSums"]
