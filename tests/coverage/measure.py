"""A setting, repeated: how often intervals hold the truth, and how wide they are."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.strengths.bradley_terry import rank_by_judges, rank_by_votes
from prefstream.scoring.strengths.prediction_powered import rank_by_both
from prefstream.scoring.strengths.results import Strengths
from tests.coverage.world import MODELS, NAMES, Setting, World

SETTINGS: Final = (
    *(Setting(explained, "at random") for explained in (0.15, 0.3, 0.6)),
    *(Setting(explained, "by uncertainty") for explained in (0.15, 0.3, 0.6)),
    Setting(0.0, "at random"),
    Setting(0.3, "other pairs"),
    Setting(0.3, "at random", style_control=True),
    Setting(0.3, "by uncertainty", style_control=True),
)

CHUNK: Final = 25
"""Repetitions that a process does between two signs of life."""

METHODS: Final = ("votes", "judges", "both")

_Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Coverage:
    """How often 95 % intervals hold the truth, as shares of the repetitions."""

    mean: float
    """Over models."""
    lowest: float
    """Of any model."""
    highest: float
    ranks: float
    """How often rank ranges hold the true rank, mean over models."""


@dataclass(frozen=True)
class Figures:
    """What a setting came to."""

    setting: str
    explained: float
    repetitions: int
    seed: int
    votes: Coverage
    judges: Coverage
    both: Coverage
    width: float
    """Of intervals from both, as a share of those from votes alone; ratio of the means over models and repetitions."""
    width_of_worst: float
    """The same of the model where it is greatest."""
    spread: float
    """Standard deviation of the estimates themselves, as a share of that from votes alone; mean over models."""
    theory: float | None
    """What R^2 allows for the mean of a score, where votes come at random."""
    interval: float
    """Mean width of intervals from votes alone, in Elo points."""
    lambda_: float
    """Mean."""
    none_used: float
    """Share of repetitions in which the judges were found to be of no use."""

    @property
    def is_within_bounds(self) -> bool:
        """Whether intervals from both cover what they say, and are not wider than those from votes."""
        covered = 0.93 <= self.both.mean <= 0.97 and self.both.lowest >= 0.9 and self.both.highest <= 0.99
        return covered and self.width <= 1.01


def measure(
    setting: Setting,
    repetitions: int,
    seed: int,
    *,
    processes: int = 1,
    on_done: Callable[[int], None] = lambda _: None,
) -> Figures:
    """Repeat a setting.

    Args:
        setting: what is simulated.
        repetitions: how often.
        seed: with the repetition's number it decides all that is drawn, whatever the number of processes.
        processes: that share the work.
        on_done: called with a number of repetitions when they are done.
    """
    world = World(setting)
    _ = world.noise, world.ratings  # known before processes get copies
    numbers = [range(first, min(first + CHUNK, repetitions)) for first in range(0, repetitions, CHUNK)]
    chunks: dict[int, _Numbers] = {}
    if processes == 1:
        for chunk in numbers:
            chunks[chunk.start] = _repeat(world, seed, chunk)
            on_done(len(chunk))
    else:
        # Not forked: a copy of a process with threads may wait for ever for a lock that one of them held.
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            waiting = {pool.submit(_repeat, world, seed, chunk): chunk for chunk in numbers}
            for done in as_completed(waiting):
                chunks[waiting[done].start] = done.result()
                on_done(len(waiting[done]))
    return _figures(world, seed, np.concatenate([chunks[first] for first in sorted(chunks)]))


COLUMNS: Final = ("rating", "lower", "upper", "rank_low", "rank_high", "lambda_")


def _repeat(world: World, seed: int, numbers: Sequence[int]) -> _Numbers:
    """Shape (repetitions, methods, models, columns)."""
    return np.array([_once(world, np.random.default_rng((seed, number))) for number in numbers])


def _once(world: World, generator: np.random.Generator) -> list[_Numbers]:
    setting = world.setting
    battles = world.draw(generator, setting.battles)
    cells, votes = battles.tally(battles.forecasts), world.vote(generator, battles)
    tables = (
        rank_by_votes(votes, style_control=setting.style_control),
        rank_by_judges(cells, style_control=setting.style_control),
        rank_by_both(votes, cells, style_control=setting.style_control),
    )
    assert all(table.style_control == setting.style_control for table in tables)
    return [_columns(table) for table in tables]


def _columns(table: Strengths) -> _Numbers:
    """Shape (models, columns), in the order of `NAMES`; a model without a rating has an interval that holds nothing."""
    rows = {
        one.model: (one.rating, one.lower, one.upper, one.rank_low, one.rank_high, table.lambda_)
        for one in table.strengths
    }
    missing = (None,) * len(COLUMNS)
    return np.array([rows.get(name, missing) for name in NAMES], dtype=np.float64)


def _figures(world: World, seed: int, told: _Numbers) -> Figures:
    rating, lower, upper, _, _, lambda_ = np.moveaxis(told, -1, 0)
    widths = np.nanmean(upper - lower, axis=0)  # (methods, models)
    spreads = np.nanstd(rating, axis=0)
    votes, both = METHODS.index("votes"), METHODS.index("both")
    setting = world.setting
    bound = float(np.sqrt(1 - setting.explained * (1 - setting.votes / setting.battles)))
    return Figures(
        setting=setting.name,
        explained=setting.explained,
        repetitions=len(told),
        seed=seed,
        votes=_coverage(world.ratings, told[:, votes]),
        judges=_coverage(world.ratings, told[:, METHODS.index("judges")]),
        both=_coverage(world.ratings, told[:, both]),
        width=float(widths[both].mean() / widths[votes].mean()),
        width_of_worst=float((widths[both] / widths[votes]).max()),
        spread=float((spreads[both] / spreads[votes]).mean()),
        theory=None if setting.selection == "by uncertainty" else bound,
        interval=float(widths[votes].mean()),
        lambda_=float(np.nanmean(lambda_[:, both])),
        none_used=float((lambda_[:, both, 0] == 0).mean()),
    )


def _coverage(truth: _Numbers, told: _Numbers) -> Coverage:
    """Of one method, shape (repetitions, models, columns)."""
    _, lower, upper, rank_low, rank_high, _ = np.moveaxis(told, -1, 0)
    held = ((lower <= truth) & (truth <= upper)).mean(axis=0)
    rank = MODELS - np.argsort(np.argsort(truth))
    return Coverage(
        mean=float(held.mean()),
        lowest=float(held.min()),
        highest=float(held.max()),
        ranks=float(((rank_low <= rank) & (rank <= rank_high)).mean()),
    )
