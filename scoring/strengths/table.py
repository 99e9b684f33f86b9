"""From strengths and their covariance to the table of models: Elo points, intervals, ranks, win rates."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from prefstream.scoring.strengths.comparisons import Comparisons
from prefstream.scoring.strengths.connectivity import Connected
from prefstream.scoring.strengths.estimate import FittedStrengths
from prefstream.scoring.strengths.results import ELO_PER_NAT, LEVEL, MEAN_RATING, Strength, StyleEffect

_Vector = NDArray[np.float64]
_Matrix = NDArray[np.float64]

QUANTILE: Final = NormalDist().inv_cdf((1 + LEVEL) / 2)
"""Standard errors on each side of an estimate."""

_NOT_LESS: Final = 1e-9
"""Nats within which two strengths are equal: rounding must not rank models."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The models, best first, and what is between them in that order; see `results.Strengths`."""

    strengths: tuple[Strength, ...]
    win_rates: _Matrix
    observed: _Matrix
    meetings: _Matrix


def make_table(
    names: tuple[str, ...], rows: Comparisons, connected: Connected, found: FittedStrengths | None, votes: _Vector
) -> Table:
    """Draw up the table of all models that fought.

    Args:
        names: of all models.
        rows: comparisons between all models, from which battles, meetings and observed win rates are counted.
        connected: which models are rated.
        found: strengths of `connected.rated`, in that order; None where nothing could be fitted.
        votes: weight of the votes of each model, shape (models,).
    """
    ratings, errors = np.full(len(names), np.nan), np.full(len(names), np.nan)
    best, worst = np.zeros(len(names), dtype=np.intp), np.zeros(len(names), dtype=np.intp)
    if found is not None:
        rated = connected.rated
        covariance = found.covariance[: len(rated), : len(rated)]
        ratings[rated] = MEAN_RATING + ELO_PER_NAT * found.strengths
        errors[rated] = ELO_PER_NAT * np.sqrt(np.maximum(np.diag(covariance), 0))
        best[rated], worst[rated] = rank_ranges(found.strengths, covariance)
    battles, wins = rows.battles(), rows.wins()
    fought = [model for model in range(len(names)) if battles[model]]
    order = sorted(fought, key=lambda model: (np.isnan(ratings[model]), -np.nan_to_num(ratings[model]), names[model]))
    strengths = []
    for model in order:
        there = not np.isnan(ratings[model])
        margin = QUANTILE * errors[model]
        strengths.append(
            Strength(
                model=names[model],
                rating=float(ratings[model]) if there else None,
                lower=float(ratings[model] - margin) if there else None,
                upper=float(ratings[model] + margin) if there else None,
                rank_low=int(best[model]) if there else None,
                rank_high=int(worst[model]) if there else None,
                battles=round(battles[model]),
                votes=float(votes[model]),
                why_no_interval=None if there else connected.reasons.get(model, NO_FIT),
            )
        )
    place = np.array(order, dtype=np.intp)
    here = ratings[place] / ELO_PER_NAT
    win_rates = expit(here[:, None] - here[None, :])
    np.fill_diagonal(win_rates, np.nan)
    meetings = (wins + wins.T)[np.ix_(place, place)]
    observed = np.divide(wins[np.ix_(place, place)], meetings, out=np.full_like(meetings, np.nan), where=meetings > 0)
    return Table(tuple(strengths), win_rates, observed, meetings)


NO_FIT: Final = "no finite ratings fit these battles"


def rank_ranges(
    strengths: _Vector, covariance: _Matrix, quantile: float = QUANTILE
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Ranks that are compatible with the data: best and worst of each model, from 1.

    A model is surely better than another where the 95 % interval of their difference, by the covariance of both, lies
    above 0. LMArena compares the two models' own intervals (Chiang et al. 2024, "Chatbot Arena: An Open Platform for
    Evaluating LLMs by Human Preference"), which calls many differences unsure that are not.

    Args:
        strengths: shape (k,).
        covariance: shape (k, k).
        quantile: standard errors on each side.

    Returns:
        One more than the number of models that are surely better, and k less those that are surely worse.
    """
    variances = np.diag(covariance)
    between = np.sqrt(np.maximum(variances[:, None] + variances[None, :] - 2 * covariance, 0))
    surely = strengths[:, None] - strengths[None, :] > np.maximum(quantile * between, _NOT_LESS)
    return 1 + surely.sum(axis=0), len(strengths) - surely.sum(axis=1)


def style_effects(found: FittedStrengths) -> tuple[StyleEffect, ...]:
    """What each style is worth, with its 95 % interval."""
    k = len(found.strengths)
    margins = QUANTILE * np.sqrt(np.maximum(np.diag(found.covariance)[k:], 0))
    return tuple(
        StyleEffect(name, float(value), float(value - margin), float(value + margin))
        for name, value, margin in zip(found.names, found.coefficients, margins, strict=True)
    )
