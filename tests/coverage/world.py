"""A world in which the truth is known: people with tastes of their own, and judges that are wrong in known ways.

What people think of a battle is a chance p that A wins (ties counting half). It is drawn anew for each battle, around
what the two models are worth: its mean over a pair's battles is the logistic of the difference of their strengths, to
the digit. So the strengths are what estimates have to cover. Judges see that taste through noise, like long answers
more than people do, favour one family of models, see fewer ties, and are too sure.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, ndtr, ndtri

from prefstream.scoring.strengths.bradley_terry import rank_by_judges
from prefstream.scoring.strengths.comparisons import sum_by
from prefstream.scoring.strengths.results import ELO_PER_NAT, MEAN_RATING
from prefstream.scoring.strengths.tallies import (
    SCORES,
    STYLE_BINS,
    ForecastCells,
    VotedBattles,
    bin_style,
)

_Vector = NDArray[np.float64]
_Numbers = NDArray[np.intp]

MODELS: Final = 20

SPREAD: Final = 1.4
"""Log-odds between the strongest model and the weakest: 243 Elo."""

TASTE: Final = 0.9
"""How much of what decides a vote is the battle's own (its prompt, its answers), from 0 to 1."""

LIKED_LENGTH: Final = 0.3
"""Correlation of people's taste with what is long."""

TIES: Final = 1.6
"""A battle is a tie this often, times the chance of the weaker answer."""

JUDGED_TIES: Final = 0.8
"""The same as judges see it."""

LENGTH_BIAS: Final = 0.25
FAMILY_BIAS: Final = 0.35
"""What judges add, in units of people's taste: for a standard deviation of length, and for a family of 4 models."""

CONFIDENCE: Final = 1.4
"""Factor on what judges believe."""

CALIBRATION_BATTLES: Final = 200_000

TRUTH_BATTLES: Final = 3_000_000

Selection = Literal["at random", "by uncertainty", "other pairs"]


@dataclass(frozen=True)
class Setting:
    """What is simulated.

    Attributes:
        explained: share of the votes' variance within pairs that the judges explain (R^2); 0 for judges that guess.
        selection: who gets a vote. At random; by the judges' uncertainty, with known probability; or at random from
            other pairs than battles are made of, which nobody knows the probability of.
        style_control: whether strengths are those beside length and markdown.
        battles: with a preference.
        votes: expected number of them that people vote on.
    """

    explained: float
    selection: Selection
    style_control: bool = False
    battles: int = 50_000
    votes: int = 1_000

    @property
    def name(self) -> str:
        """For the table."""
        style = ", style control" if self.style_control else ""
        return f"R^2 {self.explained:.2f}, votes {self.selection}{style}"


@dataclass(frozen=True, eq=False)
class Battles:
    """n battles; chances are people's, of A's score, and forecasts the judges'."""

    model_a: _Numbers
    model_b: _Numbers
    cells: _Numbers
    chances: _Vector
    forecasts: NDArray[np.float64]

    def tally(self, forecasts: NDArray[np.float64]) -> ForecastCells:
        """Sum forecasts, these or any other, as the board's store does."""
        code = (self.model_a * MODELS + self.model_b) * STYLE_BINS + self.cells
        length = MODELS**2 * STYLE_BINS
        counts = np.bincount(code, minlength=length)
        kinds = np.flatnonzero(counts)
        sums = np.stack([sum_by(code, one, length)[kinds] for one in forecasts.T], axis=1)
        products = np.empty((len(kinds), 3, 3))
        for i, one in enumerate(forecasts.T):
            for j, other in enumerate(forecasts.T[: i + 1]):
                products[:, i, j] = products[:, j, i] = sum_by(code, one * other, length)[kinds]
        pairs = kinds // STYLE_BINS
        return ForecastCells(
            models=NAMES,
            model_a=pairs // MODELS,
            model_b=pairs % MODELS,
            cells=kinds % STYLE_BINS,
            counts=counts[kinds].astype(np.float64),
            sums=sums,
            products=products,
        )


NAMES: Final = tuple(f"model-{number:02}" for number in range(MODELS))

_FIRST, _SECOND = np.triu_indices(MODELS, 1)
_FIXED: Final = np.random.default_rng(13)
_POPULARITY: Final = _FIXED.uniform(0.5, 1.5, MODELS)
_VERBOSITY: Final = _FIXED.normal(0, 0.5, MODELS)
_CURIOSITY: Final = _FIXED.uniform(0.2, 1.8, MODELS)
"""How gladly people vote on a model's battles, where they choose pairs themselves."""
_FAMILY: Final = (np.arange(MODELS) % 5 == 0).astype(np.float64)


class World:
    """One setting, and all that is drawn in it."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    @cached_property
    def strengths(self) -> _Vector:
        """What makes people prefer a model, in log-odds, with mean 0."""
        spaced = np.linspace(-SPREAD / 2, SPREAD / 2, MODELS)
        return spaced[np.random.default_rng(7).permutation(MODELS)]

    @cached_property
    def ratings(self) -> _Vector:
        """The truth, in Elo points, in the order of `NAMES`.

        With style control it is what people's own chances, known exactly for millions of battles, come to.
        """
        if not self.setting.style_control:
            return MEAN_RATING + ELO_PER_NAT * self.strengths
        battles = self.draw(np.random.default_rng(11), TRUTH_BATTLES, noise=0.0)
        table = rank_by_judges(battles.tally(_three(battles.chances, TIES)), style_control=True)
        by_name = {strength.model: strength.rating for strength in table.strengths}
        return np.array([by_name[name] for name in NAMES])

    @cached_property
    def noise(self) -> float:
        """Of the judges' sight, so that they explain what the setting says.

        Raises:
            ValueError: even without noise they explain less.
        """
        if not self.setting.explained:
            return np.inf
        return float(brentq(lambda noise: self._explained(noise) - self.setting.explained, 0.0, 50.0, xtol=1e-3))

    def draw(self, generator: np.random.Generator, battles: int, noise: float | None = None) -> Battles:
        """Battles with a preference each."""
        noise = self.noise if noise is None else noise
        frequency = _POPULARITY[_FIRST] * _POPULARITY[_SECOND]
        pair = generator.choice(len(_FIRST), battles, p=frequency / frequency.sum())
        a, b = _FIRST[pair], _SECOND[pair]
        own_length = generator.normal(size=battles)
        length = _VERBOSITY[a] - _VERBOSITY[b] + own_length
        taste = LIKED_LENGTH * own_length + np.sqrt(1 - LIKED_LENGTH**2) * generator.normal(size=battles)
        worth = ndtri(expit(self.strengths[a] - self.strengths[b]))
        rest = np.sqrt(1 - TASTE**2)
        chances = ndtr((worth + TASTE * taste) / rest)
        blur = generator.normal(size=battles)
        if np.isinf(noise):
            believed = blur
        else:
            biases = LENGTH_BIAS * length + FAMILY_BIAS * (_FAMILY[a] - _FAMILY[b])
            believed = CONFIDENCE * (worth + TASTE * taste + biases + noise * blur) / np.sqrt(rest**2 + noise**2)
        markdown = generator.normal(size=battles)
        return Battles(a, b, _bins(length, markdown), chances, _three(ndtr(believed), JUDGED_TIES))

    def vote(self, generator: np.random.Generator, battles: Battles) -> VotedBattles:
        """Let people vote on some of the battles."""
        chance, weights = self._selection(battles)
        chosen = np.flatnonzero(generator.random(len(chance)) < chance)
        said = _three(battles.chances[chosen], TIES)
        outcomes = (generator.random(len(chosen))[:, None] > np.cumsum(said, axis=1)).sum(axis=1)
        return VotedBattles(
            models=NAMES,
            model_a=battles.model_a[chosen],
            model_b=battles.model_b[chosen],
            outcomes=np.minimum(outcomes, 2).astype(np.intp),
            forecasts=battles.forecasts[chosen],
            weights=weights[chosen],
            style=_exact(generator, battles.cells[chosen]),
            cells=battles.cells[chosen],
            battles=chosen,
        )

    def _selection(self, battles: Battles) -> tuple[_Vector, _Vector]:
        """Each battle's probability of a vote, and the weight that a vote then has."""
        count, votes = len(battles.chances), self.setting.votes
        if self.setting.selection == "at random":
            return np.full(count, votes / count), np.ones(count)
        if self.setting.selection == "other pairs":
            wish = _CURIOSITY[battles.model_a] * _CURIOSITY[battles.model_b]
            return wish * votes / wish.sum(), np.ones(count)
        expected = battles.forecasts @ SCORES
        wish = 0.1 + (4 * expected * (1 - expected)) ** 2  # the most certain battles get a tenth of the others' votes
        chance = wish * votes / wish.sum()
        return chance, 1 / chance

    def _explained(self, noise: float) -> float:
        """Square of the correlation of votes and forecasts within pairs."""
        generator = np.random.default_rng(3)
        battles = self.draw(generator, CALIBRATION_BATTLES, noise)
        said = _three(battles.chances, TIES)
        outcomes = (generator.random(len(said))[:, None] > np.cumsum(said, axis=1)).sum(axis=1)
        pair = battles.model_a * MODELS + battles.model_b
        scores, expected = SCORES[np.minimum(outcomes, 2)], battles.forecasts @ SCORES
        return float(np.corrcoef(_within(pair, scores), _within(pair, expected))[0, 1] ** 2)


def _within(groups: _Numbers, values: _Vector) -> _Vector:
    """Values less their group's mean."""
    counts = np.maximum(np.bincount(groups), 1)
    return values - (np.bincount(groups, values) / counts)[groups]


def _three(chances: _Vector, ties: float) -> NDArray[np.float64]:
    """Probabilities of the three outcomes whose expected score these are."""
    tie = ties * np.minimum(chances, 1 - chances)
    return np.stack([chances - tie / 2, 1 - chances - tie / 2, tie], axis=1)


def _exact(generator: np.random.Generator, bins: _Numbers) -> NDArray[np.float64]:
    """Exact differences in style somewhere in these bins, as votes carry them."""
    length, markdown = bin_style(bins).T
    exact = np.stack([length, markdown, markdown, markdown], axis=1)
    return np.clip(exact + generator.normal(0, 0.2, exact.shape), -1, 1)


def _bins(length: _Vector, markdown: _Vector) -> _Numbers:
    """Style bins: of length by its standard deviations, of markdown where it is far from even."""
    lengths = np.searchsorted([-1.5, -0.9, -0.3, 0.3, 0.9, 1.5], length)
    return 1 + 3 * lengths + np.searchsorted([-1.0, 1.0], markdown)
