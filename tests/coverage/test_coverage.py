"""The simulation in small, with bounds that chance stays far within; and the whole of it, when asked for."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from prefstream.scoring.strengths.tallies import tally_forecasts
from tests.coverage.__main__ import table
from tests.coverage.measure import SETTINGS, measure
from tests.coverage.world import NAMES, Setting, World

SEED = int(os.environ.get("PREFSTREAM_TEST_SEED", "1"))


@pytest.mark.parametrize("selection", ["at random", "by uncertainty", "other pairs"])
def test_in_small_intervals_from_both_hold_the_truth_and_are_narrower(selection: str) -> None:
    setting = Setting(0.45, selection, battles=8_000, votes=800)  # type: ignore[arg-type]
    figures = measure(setting, 40, seed=1)
    assert 0.9 < figures.both.mean < 0.99
    assert 0.9 < figures.votes.mean < 0.99
    assert figures.judges.mean < 0.8
    assert figures.width < 0.87
    assert figures.spread < 0.95


def test_judges_that_guess_cost_nothing() -> None:
    figures = measure(Setting(0.0, "at random", battles=8_000, votes=800), 10, seed=1)
    assert figures.width == pytest.approx(1, abs=0.003)
    assert figures.lambda_ < 0.1


def test_what_is_drawn_does_not_depend_on_the_number_of_processes() -> None:
    setting = Setting(0.0, "by uncertainty", battles=1_000, votes=300)
    alone, shared = (measure(setting, 28, seed=2, processes=processes) for processes in (1, 2))
    assert alone == shared


def test_a_coverage_that_is_too_low_or_too_wide_breaks_the_bounds() -> None:
    figures = measure(Setting(0.0, "at random", battles=1_000, votes=300), 2, seed=3)
    both = replace(figures.both, mean=0.95, lowest=0.93, highest=0.97)
    good = replace(figures, both=both, width=0.9)
    assert good.is_within_bounds
    for wrong in (
        replace(good, both=replace(both, mean=0.92)),
        replace(good, both=replace(both, mean=0.98)),
        replace(good, both=replace(both, lowest=0.89)),
        replace(good, both=replace(both, highest=0.995)),
        replace(good, width=1.02),
    ):
        assert not wrong.is_within_bounds


def test_the_world_is_what_it_says() -> None:
    """Scores average to what the strengths say, judges explain what they should, cells are those of the library."""
    world = World(Setting(0.3, "at random"))
    battles = world.draw(np.random.default_rng(4), 200_000)
    for model_a, model_b in pairwise(range(6)):
        pair = (battles.model_a == model_a) & (battles.model_b == model_b)
        expected = 1 / (1 + np.exp(world.strengths[model_b] - world.strengths[model_a]))
        error = battles.chances[pair].std() / np.sqrt(pair.sum())
        assert battles.chances[pair].mean() == pytest.approx(expected, abs=5 * error)
    assert world._explained(world.noise) == pytest.approx(0.3, abs=1e-3)
    few = world.draw(np.random.default_rng(5), 3_000)
    ours = few.tally(few.forecasts)
    theirs = tally_forecasts(NAMES, few.model_a, few.model_b, few.cells, few.forecasts)
    order = np.lexsort((theirs.cells, theirs.model_b, theirs.model_a))
    np.testing.assert_array_equal(ours.counts, theirs.counts[order])
    np.testing.assert_allclose(ours.products, theirs.products[order])


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_in_full_coverage_and_width_are_within_their_bounds(setting: Setting) -> None:
    """A thousand repetitions of each."""
    figures = measure(setting, 1_000, SEED)
    assert figures.is_within_bounds, "\n".join(table([figures]))
