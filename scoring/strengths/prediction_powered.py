"""Strengths of models from both: votes, which are few and right, and preferences, which are many and biased.

By votes alone (`rank_by_votes`) intervals are honest and wide. By the judges alone (`rank_by_judges`) they are narrow,
and hold nothing of the judges' bias: in simulations with biased judges they miss the truth most of the time.
`rank_by_both` estimates what votes estimate, and lets the judges tell only how lucky each model was with the battles
that people happened to vote on (`rectifier` has the formulas). Whatever judges are biased by is in what they say of
those battles as in what they say of all, and falls out.

How much is gained depends on how much of the votes the judges explain. With R^2 the share of the votes' variance within
pairs of models that they explain, and n of N battles voted on, intervals shrink to sqrt(1 - R^2 (1 - n / N)) of their
width: to .92 at R^2 .15, to .64 at .6. Where the judges explain nothing, it is the table by votes.

What is assumed: among battles of the same two models and of the same weight, whether one gets a vote has nothing to do
with how surprising its outcome is. That people are asked more often where judges are unsure does no harm, as long as
the weights say how much more often.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.strengths.bradley_terry import rank_by_votes
from prefstream.scoring.strengths.comparisons import Comparisons, compare_forecasts, compare_votes, usable_votes
from prefstream.scoring.strengths.connectivity import Connected, connect, listed
from prefstream.scoring.strengths.estimate import FittedStrengths, estimate, style_scale
from prefstream.scoring.strengths.rectifier import Judged, Rectified, Voted, rectify
from prefstream.scoring.strengths.results import Strengths
from prefstream.scoring.strengths.table import make_table, style_effects
from prefstream.scoring.strengths.tallies import (
    BIN_NAMES,
    SCORES,
    UNKNOWN_STYLE,
    ForecastCells,
    VotedBattles,
    bin_style,
    mirror_bins,
)

NO_VOTES: Final = "without votes nothing tells what the judges are biased by: there is no table from both"
NO_PREFERENCES: Final = "no preferences between the models that votes rate: this is the table by votes"
NO_USE: Final = "the judges' answers do not narrow the intervals of these votes: this is the table by votes"
STYLE_IN_BINS: Final = "style is held constant in bins of length and markdown, which is what sums over all battles keep"

_NEUTRAL: Final = 0.5
"""Score of a battle that says nothing."""


def rank_by_both(votes: VotedBattles, cells: ForecastCells, *, style_control: bool = False) -> Strengths:
    """Rank models by prediction-powered inference.

    Votes weigh relative to each other; their weights need not add up to the number of battles. (So it is Hajek's
    estimator, not Horvitz and Thompson's, which a share of people who never answer would make wrong, and every vote
    that nobody asked for.) Votes whose forecast is not known count as votes. Models without votes are not in the table.
    Never fails, as `rank_by_votes`.

    Args:
        votes: of whatever number.
        cells: of all battles with a preference, those with votes included; `models` as of the votes.
        style_control: hold style constant, by the middle of each battle's bin, for votes and preferences alike.

    Raises:
        ValueError: votes and cells number different models.
    """
    if votes.models != cells.models:
        raise ValueError("votes and cells number different models: give both the same `models`, in the same order")
    by_votes = replace(rank_by_votes(votes, style_control=style_control), method="both", lambda_=0.0)
    if not by_votes.votes:
        return replace(by_votes, lambda_=None, notes=(*by_votes.notes, NO_VOTES))
    by_votes = replace(by_votes, notes=(*by_votes.notes, *_only_judged(cells, by_votes)))
    inputs = _inputs(votes, cells, style_control=by_votes.style_control)
    preferences = round(inputs.judged.counts.sum())
    if not preferences:
        return replace(by_votes, lambda_=None, notes=(*by_votes.notes, NO_PREFERENCES))
    answer = _rectified(inputs)
    if answer is None:
        return replace(by_votes, preferences=preferences, notes=(*by_votes.notes, NO_USE))
    rectified, found, narrowing = answer
    table = make_table(votes.models, inputs.everyone, inputs.connected, found, inputs.everyone.masses_by_model())
    return replace(
        by_votes,
        strengths=table.strengths,
        style=style_effects(found),
        win_rates=table.win_rates,
        observed=table.observed,
        meetings=table.meetings,
        preferences=preferences,
        lambda_=rectified.lambda_,
        notes=(*by_votes.notes, *_told(inputs, rectified.lambda_, narrowing)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Inputs:
    """What both say of the models that votes rate, and which these are."""

    everyone: Comparisons
    """Voted battles of all models, one a row."""
    connected: Connected
    voted: Comparisons
    """Those among rated models."""
    forecasts: NDArray[np.float64]
    """Expected score of each of these battles' first models; NaN where unknown, or where judges do not connect both."""
    judged: Comparisons
    """All battles with a preference among rated models."""
    met: NDArray[np.bool_]
    """Which of the rated models these battles connect."""
    styles: tuple[str, ...]
    """Names of the columns of style."""


def _inputs(votes: VotedBattles, cells: ForecastCells, *, style_control: bool) -> _Inputs:
    if style_control:
        votes = votes.select(np.isfinite(votes.style).all(axis=1) & np.not_equal(votes.cells, UNKNOWN_STYLE))
        cells = cells.select(np.not_equal(cells.cells, UNKNOWN_STYLE))
    votes = usable_votes(votes)
    everyone = compare_votes(votes, style_control=True)  # keeps rows apart: each has a forecast of its own
    battle = votes.select(np.unique(votes.battles, return_index=True)[1])
    turned = np.greater(battle.model_a, battle.model_b)  # rows have the model of the lower index first
    forecasts = battle.forecasts @ SCORES
    forecasts = np.where(turned, 1 - forecasts, forecasts)
    style = bin_style(np.where(turned, mirror_bins(battle.cells), battle.cells))
    everyone = replace(everyone, style=style if style_control else np.zeros((len(everyone), 0)))
    connected = connect(everyone.wins())
    inside = np.isin(everyone.first, connected.rated) & np.isin(everyone.second, connected.rated)
    voted = everyone.among(connected.rated)
    judged = compare_forecasts(cells, style_control=style_control).among(connected.rated)
    met = np.isin(np.arange(voted.models), connect(judged.wins()).rated)
    forecasts = np.where(met[voted.first] & met[voted.second], forecasts[inside], np.nan)
    return _Inputs(everyone, connected, voted, forecasts, judged, met, BIN_NAMES if style_control else ())


def _tied_in(judged: Comparisons, met: NDArray[np.bool_]) -> Comparisons:
    """Judged battles, and one that says nothing for each model that they leave unconnected, so that all have a fit.

    No voted battle uses the strength that such a model gets, and the strengths of others do not move.
    """
    others = np.flatnonzero(~met)
    if not met.any() or not len(others):
        return judged
    hub = np.full(len(others), np.flatnonzero(met)[0])
    ones = np.ones(len(others))
    return replace(
        judged,
        first=np.concatenate([judged.first, np.minimum(hub, others)]),
        second=np.concatenate([judged.second, np.maximum(hub, others)]),
        style=np.concatenate([judged.style, np.zeros((len(others), judged.style.shape[1]))]),
        counts=np.concatenate([judged.counts, ones]),
        weights=np.concatenate([judged.weights, ones]),
        scores=np.concatenate([judged.scores, _NEUTRAL * ones]),
        squares=np.concatenate([judged.squares, _NEUTRAL**2 * ones]),
    )


def _rectified(inputs: _Inputs) -> tuple[Rectified, FittedStrengths, float] | None:
    """The estimate, and the width of its intervals as a share of what votes alone give; None where that is no gain."""
    alone = estimate(inputs.voted, inputs.styles)
    scale = style_scale(inputs.voted)
    told = scale > 0
    judged = _tied_in(inputs.judged, inputs.met)
    designs = [rows.design(rows.style[:, told] / scale[told]) for rows in (inputs.voted, judged)]
    found = rectify(Voted(inputs.voted, designs[0], inputs.forecasts), Judged(judged, designs[1]))
    if alone is None or found is None:
        return None
    k = inputs.voted.models
    widths = [np.sqrt(np.diag(covariance)[:k]).sum() for covariance in (found.covariance, alone.covariance)]
    narrowing = float(widths[0] / widths[1])
    if not narrowing < 1:
        return None
    return found, FittedStrengths(found.theta[:k], found.theta[k:], found.covariance, alone.names), narrowing


def _told(inputs: _Inputs, lambda_: float, narrowing: float) -> tuple[str, ...]:
    """What a reader has to know of the estimate."""
    share = f"{100 * (1 - narrowing):.0f} %"
    gain = f"judges make the intervals {share} narrower than votes alone (lambda {lambda_:.2f})"
    notes: tuple[str, ...] = (gain,)
    unknown = int(np.isnan(inputs.forecasts).sum())
    if unknown:
        notes += (f"{unknown} voted battles without a known preference count as votes only",)
    return notes + ((STYLE_IN_BINS,) if inputs.styles else ())


def _only_judged(cells: ForecastCells, by_votes: Strengths) -> tuple[str, ...]:
    voted = {strength.model for strength in by_votes.strengths}
    battles = compare_forecasts(cells, style_control=False).battles()
    absent = [model for model, count in zip(cells.models, battles, strict=True) if count and model not in voted]
    return (f"{len(absent)} not in this table, because nobody voted on them: {listed(absent)}",) if absent else ()
