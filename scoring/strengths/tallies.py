"""What strengths are computed from: battles that people voted on, and sums of what judges said of all battles.

Style comes in two forms. A voted battle keeps its exact differences. Cells, which sum over many battles, keep a bin:
the difference in length in seven steps by that in markdown in three. The bins' edges and middles are fixed, chosen on
7,460 public battles (1,530 of Chatbot Arena, 5,930 of four smaller collections): a middle is the mean of its bin
there, and the binned difference in length correlates with the exact one by .97. Means within the bins of the data at
hand would need a sum more per cell, and coefficients whose meaning changes with every hour.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import Style, StyleCounts
from prefstream.scoring.probabilities import Triples, exchange
from prefstream.scoring.style import style_differences as known_differences

_Vector = NDArray[np.float64]
_Numbers = NDArray[np.intp]

SCORES: Final = np.array([1.0, 0.0, 0.5])
"""What an outcome is worth to A, in the order of `schemas.OUTCOMES`: ties count half, as on LMArena."""

STYLE_NAMES: Final = ("length", "headings", "lists", "bold")
"""Columns of `VotedBattles.style`, as `style.STYLE_CONTROLS`. LMArena counts length in tokens, this in characters."""

BIN_NAMES: Final = ("length", "markdown")
"""What `bin_style` gives. Markdown is headings, list items and bold together."""

UNKNOWN_STYLE: Final = 0
"""Bin of a battle whose style is not known."""

_LENGTH_EDGES: Final = (0.08, 0.25, 0.5)
_LENGTH_MIDDLES: Final = (0.0, 0.16, 0.35, 0.77)
_MARKDOWN_EDGES: Final = (0.2,)
_MARKDOWN_MIDDLES: Final = (0.0, 0.85)

_LENGTH_STEPS: Final = 2 * len(_LENGTH_EDGES) + 1
_MARKDOWN_STEPS: Final = 2 * len(_MARKDOWN_EDGES) + 1

STYLE_BINS: Final = 1 + _LENGTH_STEPS * _MARKDOWN_STEPS
"""Number of bins, that of unknown style included: bins are 0 <= bin < STYLE_BINS."""


@dataclass(frozen=True, slots=True, eq=False)
class VotedBattles:
    """Votes of people, one a row; a battle with k votes is k rows, alike but for outcome and weight.

    Raises:
        ValueError: the arrays are not of one length, or name models, battles or bins that there are not.
    """

    models: tuple[str, ...]
    """Names: the index space of `model_a` and `model_b`, and of the cells that belong to these votes."""
    model_a: _Numbers
    """Shape (n,), as everything below."""
    model_b: _Numbers
    outcomes: _Numbers
    """Column in `schemas.OUTCOMES`."""
    forecasts: Triples
    """Shape (n, 3): what the panel said; rows of NaN where no preference is known."""
    weights: _Vector
    """Inverse of the probability with which the vote was asked for; 1 where votes come at random; 0 leaves it out."""
    style: NDArray[np.float64]
    """Shape (n, 4): `style_differences`; rows of NaN where style is not known."""
    cells: _Numbers
    """`style_bin` of the battle."""
    battles: _Numbers
    """Number of the battle, from 0: intervals hold votes of one battle to be one observation."""

    def __post_init__(self) -> None:
        _check_rows(self, {"forecasts": (3,), "style": (len(STYLE_NAMES),)})
        _check_range("outcomes", self.outcomes, len(SCORES))

    def __len__(self) -> int:
        return len(self.model_a)

    def select(self, rows: NDArray[np.bool_] | _Numbers) -> VotedBattles:
        """Only some of the votes, in the same index space."""
        return _select(self, rows)

    def exchanged(self) -> VotedBattles:
        """The same votes with A and B exchanged in every battle."""
        return replace(
            self,
            model_a=self.model_b,
            model_b=self.model_a,
            outcomes=np.array([1, 0, 2], dtype=np.intp)[self.outcomes],
            forecasts=exchange(self.forecasts),
            style=-self.style,
            cells=mirror_bins(self.cells),
        )


@dataclass(frozen=True, slots=True, eq=False)
class ForecastCells:
    """What a panel said of battles, summed by pair and style bin: all battles with a preference, voted or not.

    A's name sorts before B's: battles that came the other way round are counted exchanged, with their style.

    Raises:
        ValueError: the arrays are not of one length, or name models or bins that there are not.
    """

    models: tuple[str, ...]
    """Names, as in `VotedBattles`."""
    model_a: _Numbers
    """Shape (m,), as everything below."""
    model_b: _Numbers
    cells: _Numbers
    """`style_bin` of the battles."""
    counts: _Vector
    """Number of battles."""
    sums: Triples
    """Shape (m, 3): sums of the probabilities, in the order of `schemas.OUTCOMES`."""
    products: NDArray[np.float64]
    """Shape (m, 3, 3): sums of the outer products of each battle's probabilities."""

    def __post_init__(self) -> None:
        _check_rows(self, {"sums": (3,), "products": (3, 3)})

    def __len__(self) -> int:
        return len(self.model_a)

    def select(self, rows: NDArray[np.bool_] | _Numbers) -> ForecastCells:
        """Only some of the cells, in the same index space."""
        return _select(self, rows)


def tally_forecasts(
    models: tuple[str, ...], model_a: _Numbers, model_b: _Numbers, cells: _Numbers, forecasts: Triples
) -> ForecastCells:
    """Sum forecasts of single battles by pair and style bin.

    Args:
        models: names.
        model_a: of each battle, shape (n,).
        model_b: likewise.
        cells: `style_bin` of each.
        forecasts: shape (n, 3); battles whose row is not finite are left out.
    """
    known = np.isfinite(forecasts).all(axis=1)
    place = np.argsort(np.argsort(np.array(models, dtype=object)))
    turned = (place[model_a] > place[model_b])[known]
    one, other, bins, given = model_a[known], model_b[known], cells[known], forecasts[known]
    one, other = np.where(turned, other, one), np.where(turned, one, other)
    bins = np.where(turned, mirror_bins(bins), bins)
    given = np.where(turned[:, None], exchange(given), given)
    keys, rows = np.unique(np.stack([one, other, bins], axis=1), axis=0, return_inverse=True)
    sums, products = np.zeros((len(keys), 3)), np.zeros((len(keys), 3, 3))
    np.add.at(sums, rows, given)
    np.add.at(products, rows, given[:, :, None] * given[:, None, :])
    return ForecastCells(
        models=models,
        model_a=keys[:, 0],
        model_b=keys[:, 1],
        cells=keys[:, 2],
        counts=np.bincount(rows, minlength=len(keys)).astype(np.float64),
        sums=sums,
        products=products,
    )


def style_differences(style: Style | None) -> tuple[float, ...]:
    """The four differences in style that LMArena controls for, of a battle whose style may not be known.

    Returns:
        `scoring.style.style_differences`, in the order of `STYLE_NAMES`; NaN without a style.
    """
    return (np.nan,) * len(STYLE_NAMES) if style is None else known_differences(style)


def style_bin(style: Style | None) -> int:
    """The bin of a battle's difference in style; that of the exchanged battle is its `mirror_bins`.

    Returns:
        0 without a style, else from 1 (B is longer and has the markdown) to `STYLE_BINS` - 1.
    """
    if style is None:
        return UNKNOWN_STYLE
    length = _step(known_differences(style)[0], _LENGTH_EDGES)
    markdown = _step(_difference(_markdown(style.a), _markdown(style.b)), _MARKDOWN_EDGES)
    return 1 + (length + len(_LENGTH_EDGES)) * _MARKDOWN_STEPS + markdown + len(_MARKDOWN_EDGES)


def mirror_bins(bins: _Numbers) -> _Numbers:
    """The bins of the same battles with A and B exchanged."""
    return np.where(bins == UNKNOWN_STYLE, UNKNOWN_STYLE, STYLE_BINS - bins)


def bin_style(bins: _Numbers) -> NDArray[np.float64]:
    """The differences in style that bins stand for: their middles.

    Args:
        bins: shape (n,).

    Returns:
        Shape (n, 2), columns as `BIN_NAMES`, from -1 to 1; rows of NaN for unknown style.
    """
    return _MIDDLES[bins]


def _middles() -> NDArray[np.float64]:
    lengths = [-middle for middle in _LENGTH_MIDDLES[:0:-1]] + list(_LENGTH_MIDDLES)
    markdowns = [-middle for middle in _MARKDOWN_MIDDLES[:0:-1]] + list(_MARKDOWN_MIDDLES)
    return np.array([(np.nan, np.nan), *((length, markdown) for length in lengths for markdown in markdowns)])


_MIDDLES: Final = _middles()


def _step(difference: float, edges: tuple[float, ...]) -> int:
    """How many edges the difference lies beyond, with its sign."""
    beyond = sum(abs(difference) > edge for edge in edges)
    return beyond if difference > 0 else -beyond


def _difference(a: int, b: int) -> float:
    return (a - b) / (a + b) if a + b else 0.0


def _markdown(counts: StyleCounts) -> int:
    return counts.headings + counts.list_items + counts.bold


_Tally = TypeVar("_Tally", VotedBattles, ForecastCells)


def _select(tally: _Tally, rows: NDArray[np.bool_] | _Numbers) -> _Tally:
    chosen = {field.name: getattr(tally, field.name)[rows] for field in fields(tally) if field.name != "models"}
    return replace(tally, **chosen)


def _check_rows(tally: VotedBattles | ForecastCells, columns: dict[str, tuple[int, ...]]) -> None:
    """Raises ValueError where an array's shape is not what its field promises."""
    rows = len(tally.model_a)
    for field in fields(tally):
        if field.name == "models":
            continue
        expected = (rows, *columns.get(field.name, ()))
        if (found := getattr(tally, field.name).shape) != expected:
            raise ValueError(f"{field.name} has shape {found} beside {rows} of model_a; expected {expected}")
    _check_range("model_a", tally.model_a, len(tally.models))
    _check_range("model_b", tally.model_b, len(tally.models))
    _check_range("cells", tally.cells, STYLE_BINS)


def _check_range(name: str, values: _Numbers, end: int) -> None:
    if len(values) and not (values.min() >= 0 and values.max() < end):
        raise ValueError(f"{name} holds {values.min()} to {values.max()}; expected 0 to {end - 1}")
