"""Which models have a finite strength, and why the others have none.

Strengths are finite and unique where, however the models are split in two, some model of each part has won or tied
against some model of the other (Zermelo 1929; Ford 1957, "Solution of a Ranking Problem from Binary Comparisons",
American Mathematical Monthly 64): where the graph with an edge from each winner to its loser, and both ways for a tie,
is strongly connected. Of any other data, the largest part that is gets strengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

_Numbers = NDArray[np.intp]

_LEAST_SHARE: Final = 1e-9
"""Of a pair's battles: who has won less than this has won nothing. Forecasts have no zeros, only rounding."""

_MOST_NAMED: Final = 5
"""Models, or pairs, that a note names."""

NEVER_MET: Final = "no chain of battles connects it with the models that have a rating"
ONLY_WON: Final = "every battle that connects it with the models that have a rating was won: no finite rating fits"
ONLY_LOST: Final = "every battle that connects it with the models that have a rating was lost: no finite rating fits"
ONE_SIDED: Final = "the battles that connect it with the models that have a rating were all one-sided"
NOBODY: Final = "no two models have both won or tied against each other, directly or by others"


@dataclass(frozen=True, slots=True, eq=False)
class Connected:
    """Models that have a finite strength."""

    rated: _Numbers
    """Their indices, ascending; none or at least two."""
    reasons: dict[int, str]
    """Why each other model that fought at all has none, those with the most battles first."""
    one_sided: tuple[tuple[int, int], ...]
    """Pairs (winner, loser) of which one won all battles, and whose other outcome would have connected more models."""


def connect(wins: NDArray[np.float64]) -> Connected:
    """Find the largest set of models among which all have finite strengths; of two such sets the one with more battles.

    Args:
        wins: shape (k, k), of the row's model over the column's, ties counting half, whatever the weights.
    """
    met = wins + wins.T
    won = wins > _LEAST_SHARE * met
    graph = sparse.csr_array(won)
    count, part = csgraph.connected_components(graph, directed=True, connection="strong")
    battles = met.sum(axis=1)
    fought = np.argsort(-battles, kind="stable")[: np.count_nonzero(battles)]
    sizes = np.bincount(part, minlength=count)
    inside = np.zeros(count)
    np.add.at(inside, part, np.where(part[:, None] == part[None, :], met, 0).sum(axis=1))
    best = max(range(count), key=lambda each: (sizes[each], inside[each], -each), default=0)
    if not count or sizes[best] < 2:
        return Connected(np.zeros(0, dtype=np.intp), dict.fromkeys(fought.tolist(), NOBODY), _one_sided(won, part))
    rated = np.flatnonzero(part == best)
    _, together = csgraph.connected_components(graph, directed=True, connection="weak")
    above, below = _reach(won.T, int(rated[0])), _reach(won, int(rated[0]))
    reasons = {
        int(model): _reason(above[model], below[model], together[model] == together[rated[0]])
        for model in fought
        if part[model] != best
    }
    return Connected(rated, reasons, _one_sided(won, part))


def connection_notes(connected: Connected, models: tuple[str, ...]) -> tuple[str, ...]:
    """What has to be said of models without a rating: which, and the pairs by which one lost or won all.

    Args:
        connected: of `connect`.
        models: names.
    """
    if not connected.reasons:
        return ()
    named = listed([models[model] for model in connected.reasons])
    notes: tuple[str, ...] = (f"{len(connected.reasons)} without a rating: {named}",)
    if connected.one_sided:
        pairs = [f"{models[winner]} over {models[loser]}" for winner, loser in connected.one_sided]
        notes += (f"pairs in which one won every battle, and nothing else ties them together: {listed(pairs)}",)
    return notes


def listed(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return "; ".join(names[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _reach(edges: NDArray[np.bool_], start: int) -> NDArray[np.bool_]:
    """Which models can be reached from the start, along edges[from, to]."""
    order = csgraph.breadth_first_order(sparse.csr_array(edges), start, return_predecessors=False)
    reached = np.zeros(len(edges), dtype=bool)
    reached[order] = True
    return reached


def _reason(above: np.bool_, below: np.bool_, together: np.bool_) -> str:
    if above:
        return ONLY_WON
    if below:
        return ONLY_LOST
    return ONE_SIDED if together else NEVER_MET


def _one_sided(won: NDArray[np.bool_], part: NDArray[np.int32]) -> tuple[tuple[int, int], ...]:
    between = won & (part[:, None] != part[None, :])
    return tuple((int(winner), int(loser)) for winner, loser in np.argwhere(between))
