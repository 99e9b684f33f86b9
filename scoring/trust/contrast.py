"""How two groups of battles differ, beside what chance would give: the measure of drift and of who gets a vote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.trust.results import CategoryShares, Contrast

MARGIN: Final = 0.1
"""A tenth of the battles in other categories than chance would have it. With many battles any difference is more than
chance, and most matter to nobody."""

CHANCE: Final = 0.99
"""Quantile of chance: some five to ten features are compared at a time, and a false warning costs trust."""

RESAMPLES: Final = 500
"""Five of them then lie above the quantile."""

FEWEST: Final = 30
"""Battles of each group, below which nothing is said."""

_MOST_LISTED: Final = 5


@dataclass(frozen=True, slots=True)
class BattleGroup:
    """What is known of a group of battles without a row for each.

    Attributes:
        counts: by feature and category, how many battles; those of which the feature is not known are left out.
        totals: by feature, the sum of its values over the battles of its `counts`, where it has values.
    """

    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    totals: Mapping[str, float] = field(default_factory=dict)

    def size(self, what: str) -> int:
        """Battles of which a feature is known."""
        return sum(self.counts.get(what, {}).values())

    def mean(self, what: str) -> float | None:
        """Of a feature's values; None where there are none."""
        size = self.size(what)
        return self.totals[what] / size if size and what in self.totals else None

    def share(self, what: str, categories: Collection[str]) -> float | None:
        """Of the battles that are in these categories of a feature; None where none is known."""
        size = self.size(what)
        return sum(self.counts[what].get(name, 0) for name in categories) / size if size else None

    def without(self, part: BattleGroup) -> BattleGroup:
        """What is left when some of these battles are taken out.

        Args:
            part: of the same battles; what it has more of than there is, another version has counted otherwise.
        """
        return BattleGroup(
            {what: Counter(counts) - Counter(part.counts.get(what, {})) for what, counts in self.counts.items()},
            {what: total - part.totals.get(what, 0.0) for what, total in self.totals.items()},
        )


def total_variation(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of one group that would have to be of other categories for both to be alike: 0 to 1.

    Bounded, and in a unit that everybody knows; a population stability index is neither, and infinite where a category
    is new.

    Args:
        one: shape (..., k): counts by category, not all 0.
        other: likewise.
    """
    shares, others = (counts / counts.sum(axis=-1, keepdims=True) for counts in (one, other))
    distance: NDArray[np.float64] = np.abs(shares - others).sum(axis=-1) / 2.0
    return distance


def variation_from_rest(drawn: NDArray[np.int64], of: NDArray[np.int64], every: int) -> float:
    """`total_variation` between battles that were drawn and those that were not, by the categories of the drawn alone.

    Args:
        drawn: battles by category, each more than 0.
        of: how many there were before in each of these categories.
        every: how many there were in all categories, more than were drawn.
    """
    size = int(drawn.sum())
    others = (of - drawn) / (every - size)
    # Where none was drawn the distance is the category's share of the others: together what these leave of 1.
    return float((np.abs(drawn / size - others).sum() + 1.0 - others.sum()) / 2.0)


def _by_chance(together: NDArray[np.int64], size: int, seed: int) -> NDArray[np.float64]:
    """Total variation between so many battles, drawn of all, and the rest, shape (`RESAMPLES`,).

    A category at a time, or a battle at a time where those are fewer: of pairs of 200 models there are 20,000.

    Args:
        together: battles by category.
        size: how many are drawn.
        seed: of the draws.
    """
    generator, every = np.random.default_rng(seed), int(together.sum())
    if min(size, every - size) >= len(together):
        drawn = generator.multivariate_hypergeometric(together, size, size=RESAMPLES, method="marginals")
        return total_variation(drawn, together - drawn)
    size = min(size, every - size)  # which of both is drawn is the same
    ends = np.cumsum(together)
    distances = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        battles = np.sort(generator.choice(every, size, replace=False, shuffle=False))
        places, counts = np.unique(np.searchsorted(ends, battles, side="right"), return_counts=True)
        distances[number] = variation_from_rest(counts, together[places], every)
    return distances


def contrast(what: str, one: BattleGroup, other: BattleGroup, *, seed: int = 0) -> Contrast:
    """Compare how two groups spread over a feature's categories.

    Chance: all battles of both are shuffled, and as many as the first group has are drawn of them, without putting any
    back; how these spread is the multivariate hypergeometric distribution. It takes battles for independent, which
    those of one hour or of one user are not: hence the margin.

    Args:
        what: the feature.
        one: the first group.
        other: the second, which shares no battle with it.
        seed: of the draws.
    """
    sizes = one.size(what), other.size(what)
    told = Contrast(
        what=what,
        battles=sizes[0],
        other_battles=sizes[1],
        mean=one.mean(what),
        other_mean=other.mean(what),
    )
    if min(sizes) < FEWEST:
        return told
    names = sorted({*one.counts[what], *other.counts[what]})
    mine, theirs = (np.array([group.counts[what].get(name, 0) for name in names]) for group in (one, other))
    by_chance = _by_chance(mine + theirs, sizes[0], seed)
    distance, usual = float(total_variation(mine, theirs)), float(by_chance.mean())
    bound = float(np.quantile(by_chance, CHANCE))
    shares = zip(names, (mine / sizes[0]).tolist(), (theirs / sizes[1]).tolist(), strict=True)
    most = nsmallest(_MOST_LISTED, shares, key=lambda each: (-abs(each[1] - each[2]), each[0]))
    return told.model_copy(
        update={
            "distance": distance,
            "by_chance": usual,
            "by_chance_99": bound,
            # Chance alone gives `usual`: with many rare categories that is far from 0, and no difference.
            "differs": distance > bound and distance - usual >= MARGIN,
            "most": tuple(CategoryShares(category=name, one=share, other=others) for name, share, others in most),
        }
    )
