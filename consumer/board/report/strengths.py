"""Strengths of models as the board tells them: computed from what is stored, with the words that belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from prefstream.consumer.board.report.choices import Method
from prefstream.consumer.board.report.payloads import (
    ModelLine,
    StrengthTable,
    StyleLine,
    TieLine,
    TieTable,
    WinRates,
)
from prefstream.scoring.strengths.bradley_terry import rank_by_judges, rank_by_votes
from prefstream.scoring.strengths.prediction_powered import rank_by_both
from prefstream.scoring.strengths.results import Strengths
from prefstream.scoring.strengths.tallies import ForecastCells, VotedBattles
from prefstream.scoring.strengths.ties import TieFit, fit_ties

LABELS: Final[dict[Method, str]] = {
    "votes": "what people say",
    "judges": "what the judges say, their own bias among it",
    "both": "what people say, its intervals narrowed by the judges",
}
"""What strengths are, by where they come from."""

NOTHING: Final = "there are neither votes nor preferences that name the models"

_RATING_DIGITS: Final = 2
_SHARE_DIGITS: Final = 4
"""Far below any interval; a table of 200 models is half as long by it."""


MOST_MODELS: Final = 400
"""That strengths are computed of, those with the most battles: a matrix of their pairs has a megabyte, and whoever
writes battles makes as many names up as they like."""


def rank(votes: VotedBattles, cells: ForecastCells, method: Method, *, style_control: bool) -> Strengths:
    """As `_rank`, of the `MOST_MODELS` with the most battles; where there are more, the notes say so."""
    there, kept = _most_battled(votes, cells)
    if there <= MOST_MODELS:
        return _rank(votes, cells, method, style_control=style_control)
    found = _rank(_among(votes, kept), _among(cells, kept), method, style_control=style_control)
    return _with_note(found, f"of {there:,} models those {MOST_MODELS} with the most battles, and battles among them")


def rank_with_ties(votes: VotedBattles) -> TieFit | None:
    """As `fit_ties`, of the `MOST_MODELS` with the most votes."""
    there, kept = _most_battled(votes)
    return fit_ties(votes if there <= MOST_MODELS else _among(votes, kept))


def _most_battled(votes: VotedBattles, cells: ForecastCells | None = None) -> tuple[int, NDArray[np.intp]]:
    """How many models have battles, and the `MOST_MODELS` that have the most of them, in the order of their numbers."""
    places, counts = [votes.model_a, votes.model_b], [np.ones(len(votes)), np.ones(len(votes))]
    if cells is not None:
        places += [cells.model_a, cells.model_b]
        counts += [cells.counts, cells.counts]
    battles = np.bincount(np.concatenate(places), np.concatenate(counts), len(votes.models))
    return int(np.count_nonzero(battles)), np.sort(np.argsort(-battles, kind="stable")[:MOST_MODELS])


_Rows = TypeVar("_Rows", VotedBattles, ForecastCells)


def _among(rows: _Rows, kept: NDArray[np.intp]) -> _Rows:
    """The rows of two of some models, in an index space of these."""
    place = np.full(len(rows.models), -1, dtype=np.intp)
    place[kept] = np.arange(len(kept))
    some = rows.select((place[rows.model_a] >= 0) & (place[rows.model_b] >= 0))
    models = tuple(rows.models[number] for number in kept.tolist())
    return replace(some, models=models, model_a=place[some.model_a], model_b=place[some.model_b])


def _rank(votes: VotedBattles, cells: ForecastCells, method: Method, *, style_control: bool) -> Strengths:
    """Compute strengths; where one half of `both` is missing, by the other, and the notes say so.

    Args:
        votes: people's.
        cells: sums of the panel's answers.
        method: what strengths come from.
        style_control: take out the effect of length and markdown.
    """
    if method == "both" and not len(votes) and not len(cells):
        return replace(rank_by_votes(votes, style_control=style_control), method="both", notes=(NOTHING,))
    if method == "both" and not len(votes):
        told = "there are no votes on these battles, so this is what the judges say alone"
        return _with_note(rank_by_judges(cells, style_control=style_control), told)
    if method == "both" and not len(cells):
        told = "there are no preferences of judges, so this is from votes alone"
        return _with_note(rank_by_votes(votes, style_control=style_control), told)
    if method == "both":
        return rank_by_both(votes, cells, style_control=style_control)
    if method == "votes":
        return rank_by_votes(votes, style_control=style_control)
    return rank_by_judges(cells, style_control=style_control)


def strength_table(result: Strengths, notes: Sequence[str] = ()) -> StrengthTable:
    """The table of models.

    Args:
        result: strengths, best first.
        notes: what is to be said beside those of the result.
    """
    return StrengthTable(
        method=result.method,
        label=LABELS["votes" if result.method == "both" and not result.lambda_ else result.method],
        style_control=result.style_control,
        models=tuple(
            ModelLine(
                place=place,
                model=one.model,
                rating=_rounded(one.rating),
                lower=_rounded(one.lower),
                upper=_rounded(one.upper),
                rank_low=one.rank_low,
                rank_high=one.rank_high,
                battles=one.battles,
                votes=round(one.votes, _RATING_DIGITS),
                why_no_interval=one.why_no_interval,
            )
            for place, one in enumerate(result.strengths, start=1)
        ),
        style=tuple(
            StyleLine(name=one.name, coefficient=one.coefficient, lower=one.lower, upper=one.upper)
            for one in result.style
        ),
        judges_weight=result.lambda_,
        votes=result.votes,
        preferences=result.preferences,
        notes=(*result.notes, *notes),
    )


def win_rates(result: Strengths) -> WinRates:
    """The matrices of pairs, in the order of the table."""
    return WinRates(
        models=tuple(one.model for one in result.strengths),
        expected=_rows(result.win_rates),
        observed=_rows(result.observed),
        meetings=tuple(tuple(row) for row in np.round(result.meetings, _RATING_DIGITS).tolist()),
    )


def tie_table(fit: TieFit | None) -> TieTable:
    """Davidson's model; empty where no model has a finite strength."""
    if fit is None:
        return TieTable()
    return TieTable(
        models=tuple(TieLine(model=model, rating=round(rating, _RATING_DIGITS)) for model, rating in fit.ratings),
        ties_among_equals=round(fit.ties_among_equals, _SHARE_DIGITS),
        log_loss=fit.log_loss,
        log_loss_with_ties_apart=fit.log_loss_bradley_terry,
        votes=fit.votes,
    )


def _with_note(result: Strengths, note: str) -> Strengths:
    return replace(result, notes=(note, *result.notes))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _RATING_DIGITS)


def _rows(matrix: NDArray[np.float64]) -> tuple[tuple[float | None, ...], ...]:
    rounded = np.round(matrix, _SHARE_DIGITS).astype(object)
    rounded[~np.isfinite(matrix)] = None
    return tuple(map(tuple, rounded.tolist()))
