"""Strengths of models by Bradley-Terry: from what people voted, and from what judges said.

Bradley and Terry 1952, "Rank Analysis of Incomplete Block Designs: I. The Method of Paired Comparisons", Biometrika
39; as LMArena uses it for language models: Chiang et al. 2024, "Chatbot Arena: An Open Platform for Evaluating LLMs by
Human Preference". Ties count half. Style control is LMArena's, too (Li et al. 2024, "Does style matter?"): differences
in length and markdown as covariates, so that ratings tell what models are worth at equal style.

Of LMArena's package arena-rank 0.1.1 these are the ratings, to less than .001 points, as `BradleyTerry` has them, and
as `ContextualBradleyTerry` has them with `reg=0`, `reweighted=False` and covariates divided by their root mean
square. As that comes, it also shrinks coefficients of style to about a sixth, counts no pair as more than 50 battles,
and takes the covariates' means off, which makes the answer depend on which response was A. And it rates models that
have no finite strength, or share no battle with the rest, by where its search stopped; here they have none, and the
mean of 1000 is that of the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from prefstream.scoring.strengths.comparisons import Comparisons, compare_forecasts, compare_votes, usable_votes
from prefstream.scoring.strengths.connectivity import Connected, connect, connection_notes
from prefstream.scoring.strengths.estimate import FittedStrengths, estimate
from prefstream.scoring.strengths.results import Method, Strengths
from prefstream.scoring.strengths.table import make_table, style_effects
from prefstream.scoring.strengths.tallies import BIN_NAMES, STYLE_NAMES, UNKNOWN_STYLE, ForecastCells, VotedBattles

JUDGES_NOTE: Final = (
    "by the judges' word alone: the intervals tell what chance there was in which battles came, and hold nothing of "
    "what the judges are biased by"
)


NO_STYLE: Final = (
    "style was not held constant: it does not differ in these battles, or cannot be told from the models in them"
)


def rank_by_votes(votes: VotedBattles, *, style_control: bool = False) -> Strengths:
    """Rank models by what people voted.

    Votes weigh as they come; all votes of one battle are one observation, so that their agreement does not make
    intervals shorter. Never fails: where data say too little, models have no rating, and `Strengths.notes` says why.

    Args:
        votes: of whatever number.
        style_control: hold style constant, by the exact differences of each battle.
    """
    chosen = usable_votes(votes)
    notes = _told(len(votes) - len(chosen), "votes left out: of a model with itself, or of no weight")
    if style_control:
        styled = chosen.select(np.flatnonzero(np.isfinite(chosen.style).all(axis=1)))
        attempt, varies = _attempt_with_style(compare_votes(styled, style_control=True))
        if attempt.controls_style:
            notes += _told(len(chosen) - len(styled), "votes left out: their style is not known") + varies
            return _ranked("votes", votes.models, attempt, votes=len(styled), notes=notes)
        notes += (NO_STYLE,)
    attempt = _attempt(compare_votes(chosen, style_control=False))
    return _ranked("votes", votes.models, attempt, votes=len(chosen), notes=notes)


def rank_by_judges(cells: ForecastCells, *, style_control: bool = False) -> Strengths:
    """Rank models by what the judges say of all battles.

    The same estimate as from votes, with each battle's expected score in place of its vote. Its interval tells what
    other battles by chance would have given; that judges may be wrong is not in it, which `Strengths.notes` says.
    Never fails, as `rank_by_votes`.

    Args:
        cells: of whatever number.
        style_control: hold style constant, by the middle of each battle's bin.
    """
    notes: tuple[str, ...] = (JUDGES_NOTE,)
    plain = compare_forecasts(cells, style_control=False)
    if style_control:
        styled = compare_forecasts(cells.select(np.not_equal(cells.cells, UNKNOWN_STYLE)), style_control=True)
        attempt = _attempt(styled, BIN_NAMES)
        if attempt.controls_style:
            battles = round(styled.counts.sum())
            unknown = _told(round(plain.counts.sum()) - battles, "battles left out: their style is not known")
            return _ranked("judges", cells.models, attempt, preferences=battles, notes=notes + unknown)
        notes += (NO_STYLE,)
    return _ranked("judges", cells.models, _attempt(plain), preferences=round(plain.counts.sum()), notes=notes)


@dataclass(frozen=True, slots=True, eq=False)
class _Attempt:
    """Rows, the models among them that have finite strengths, and these."""

    rows: Comparisons
    connected: Connected
    found: FittedStrengths | None

    @property
    def controls_style(self) -> bool:
        return self.found is not None and bool(self.found.names)


def _attempt(rows: Comparisons, names: tuple[str, ...] = ()) -> _Attempt:
    connected = connect(rows.wins())
    found = estimate(rows.among(connected.rated), names) if len(connected.rated) else None
    return _Attempt(rows, connected, found)


def _attempt_with_style(rows: Comparisons) -> tuple[_Attempt, tuple[str, ...]]:
    """Hold as much of style constant as these battles tell, and say what is not.

    Where not all of it can be told, what differs in the fewest battles goes first: that who had a heading won is all
    that one battle with a heading says, and nothing finite fits it.
    """
    differ = rows.counts @ np.not_equal(rows.style, 0)
    style = rows.style.copy()
    notes: tuple[str, ...] = ()
    for column in np.argsort(differ, kind="stable").tolist():
        attempt = _attempt(replace(rows, style=style.copy()), STYLE_NAMES)
        if attempt.found is not None or not len(rows):
            return attempt, notes
        style[:, column] = 0
        if differ[column]:
            notes += (f"{STYLE_NAMES[column]} not held constant: too few battles tell what it is worth",)
    return _attempt(replace(rows, style=style), STYLE_NAMES), ()


def _ranked(
    method: Method,
    models: tuple[str, ...],
    attempt: _Attempt,
    *,
    votes: int = 0,
    preferences: int = 0,
    notes: tuple[str, ...],
) -> Strengths:
    rows, found = attempt.rows, attempt.found
    weights = rows.masses_by_model() if method == "votes" else np.zeros(len(models))
    table = make_table(models, rows, attempt.connected, found, weights)
    return Strengths(
        method=method,
        style_control=attempt.controls_style,
        strengths=table.strengths,
        style=style_effects(found) if found is not None else (),
        win_rates=table.win_rates,
        observed=table.observed,
        meetings=table.meetings,
        votes=votes,
        preferences=preferences,
        notes=notes + connection_notes(attempt.connected, models),
    )


def _told(count: int, what: str) -> tuple[str, ...]:
    return (f"{count} {what}",) if count else ()
