"""Votes and forecasts as one thing: rows of comparisons with their sums, which is all that a fit and its interval need.

A row stands for battles of one pair, in one style, that weigh the same each. What it keeps are their number and the
sum and the sum of squares of their scores, where a battle's score is what it was worth to the first model: the
weighted mean of its votes, or the expected one of a forecast, ties counting half.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.strengths.logistic import Design
from prefstream.scoring.strengths.tallies import SCORES, ForecastCells, VotedBattles, bin_style

_Vector = NDArray[np.float64]
_Numbers = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """r rows; the first model's index is below the second's."""

    models: int
    first: _Numbers
    """Shape (r,), as everything below."""
    second: _Numbers
    style: NDArray[np.float64]
    """Shape (r, c): differences in style, first less second; NaN where unknown. c is 0 without style control."""
    counts: _Vector
    """Number of battles."""
    weights: _Vector
    """Of each of these battles."""
    scores: _Vector
    """Sum over these battles of the first model's score, each from 0 to 1."""
    squares: _Vector
    """Sum of the scores' squares."""

    def __len__(self) -> int:
        return len(self.first)

    @property
    def masses(self) -> _Vector:
        """Weight of all of a row's battles."""
        return self.weights * self.counts

    @property
    def targets(self) -> _Vector:
        """Weighted wins of the first model."""
        return self.weights * self.scores

    def select(self, rows: NDArray[np.bool_]) -> Comparisons:
        """Only some of the rows, in the same index space."""
        return replace(
            self,
            first=self.first[rows],
            second=self.second[rows],
            style=self.style[rows],
            counts=self.counts[rows],
            weights=self.weights[rows],
            scores=self.scores[rows],
            squares=self.squares[rows],
        )

    def among(self, models: _Numbers) -> Comparisons:
        """Only rows between these models, which become 0, 1, ... in this order (ascending, so that no pair turns)."""
        place = np.full(self.models, -1, dtype=np.intp)
        place[models] = np.arange(len(models))
        inside = self.select((place[self.first] >= 0) & (place[self.second] >= 0))
        return replace(inside, models=len(models), first=place[inside.first], second=place[inside.second])

    def wins(self) -> NDArray[np.float64]:
        """Shape (models, models): weighted wins of the row's model over the column's, ties counting half."""
        k, pairs = self.models, self.first * self.models + self.second
        of_first = sum_by(pairs, self.targets, k * k).reshape(k, k)
        of_second = sum_by(pairs, self.masses - self.targets, k * k).reshape(k, k)
        return of_first + of_second.T

    def battles(self) -> _Vector:
        """Shape (models,): number of battles of each."""
        return sum_by(self.first, self.counts, self.models) + sum_by(self.second, self.counts, self.models)

    def masses_by_model(self) -> _Vector:
        """Shape (models,): weight of the battles of each."""
        return sum_by(self.first, self.masses, self.models) + sum_by(self.second, self.masses, self.models)

    def design(self, covariates: NDArray[np.float64]) -> Design:
        """The rows as a design, with these covariates, shape (r, c)."""
        return Design(self.first, self.second, covariates, self.models)


def sum_by(places: _Numbers, values: _Vector, length: int) -> _Vector:
    """Sum values by the place that each belongs to, shape (length,)."""
    return np.bincount(places, values, length).astype(np.float64)


def usable_votes(votes: VotedBattles) -> VotedBattles:
    """Those votes that can count: not of a model with itself, and of a weight above 0."""
    usable = np.not_equal(votes.model_a, votes.model_b) & np.isfinite(votes.weights) & (votes.weights > 0)
    return votes if usable.all() else votes.select(np.flatnonzero(usable))


def compare_votes(votes: VotedBattles, *, style_control: bool) -> Comparisons:
    """Votes as comparisons, those that can count (`usable_votes`).

    Args:
        votes: of whatever number, none included.
        style_control: whether rows keep their exact differences in style, which makes a row of nearly every battle.
    """
    votes = usable_votes(votes)
    _, at, number = np.unique(votes.battles, return_index=True, return_inverse=True)
    weights = sum_by(number, votes.weights, len(at))
    scores = sum_by(number, votes.weights * SCORES[votes.outcomes], len(at)) / weights
    style = votes.style[at] if style_control else np.zeros((len(at), 0))
    rows = _canonical(
        Comparisons(
            models=len(votes.models),
            first=votes.model_a[at],
            second=votes.model_b[at],
            style=style,
            counts=np.ones(len(at)),
            weights=weights,
            scores=scores,
            squares=scores**2,
        )
    )
    return rows if style_control else _merged(rows)


def compare_forecasts(cells: ForecastCells, *, style_control: bool) -> Comparisons:
    """Cells as comparisons; those of a model with itself, empty ones, and any that are not numbers are left out.

    Args:
        cells: of whatever number, none included.
        style_control: whether rows keep what their bin of style stands for.
    """
    finite = np.isfinite(cells.counts) & np.isfinite(cells.sums).all(axis=1)
    finite &= np.isfinite(cells.products).all(axis=(1, 2))
    cells = cells.select(finite & (cells.model_a != cells.model_b) & (cells.counts > 0))
    rows = _canonical(
        Comparisons(
            models=len(cells.models),
            first=cells.model_a,
            second=cells.model_b,
            style=bin_style(cells.cells) if style_control else np.zeros((len(cells), 0)),
            counts=cells.counts,
            weights=np.ones(len(cells)),
            scores=cells.sums @ SCORES,
            squares=np.einsum("i,nij,j->n", SCORES, cells.products, SCORES),
        )
    )
    return rows if style_control else _merged(rows)


def _canonical(rows: Comparisons) -> Comparisons:
    """Each row turned so that its first model has the lower index: of no effect on any estimate."""
    turned = rows.first > rows.second
    return replace(
        rows,
        first=np.where(turned, rows.second, rows.first),
        second=np.where(turned, rows.first, rows.second),
        style=np.where(turned[:, None], -rows.style, rows.style),
        scores=np.where(turned, rows.counts - rows.scores, rows.scores),
        squares=np.where(turned, rows.counts - 2 * rows.scores + rows.squares, rows.squares),
    )


def _merged(rows: Comparisons) -> Comparisons:
    """Rows of one pair and one weight as one. Without style, that is all of a pair where votes come at random."""
    weights, kind = np.unique(rows.weights, return_inverse=True)
    code = (rows.first * rows.models + rows.second) * max(len(weights), 1) + kind
    _, at, number = np.unique(code, return_index=True, return_inverse=True)
    return replace(
        rows.select(at),
        counts=sum_by(number, rows.counts, len(at)),
        scores=sum_by(number, rows.scores, len(at)),
        squares=sum_by(number, rows.squares, len(at)),
    )
