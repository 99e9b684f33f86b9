from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.schemas import Style, StyleCounts
from prefstream.scoring.probabilities import exchange
from prefstream.scoring.strengths.tallies import (
    STYLE_BINS,
    VotedBattles,
    bin_style,
    mirror_bins,
    style_bin,
    style_differences,
    tally_forecasts,
)

COUNTS = st.builds(
    StyleCounts,
    **dict.fromkeys(StyleCounts.model_fields, st.integers(0, 40)),
)


def votes(**changes: object) -> VotedBattles:
    two = np.array([0, 1], dtype=np.intp)
    some = VotedBattles(
        models=("x", "y"),
        model_a=two,
        model_b=1 - two,
        outcomes=two,
        forecasts=np.full((2, 3), 1 / 3),
        weights=np.ones(2),
        style=np.zeros((2, 4)),
        cells=two,
        battles=two,
    )
    return replace(some, **changes)  # type: ignore[arg-type]


@given(COUNTS, COUNTS)
def test_the_exchanged_battle_has_the_mirrored_style(a: StyleCounts, b: StyleCounts) -> None:
    bins = np.array([style_bin(Style(a=a, b=b)), style_bin(Style(a=b, b=a))])
    assert 0 < bins.min() <= bins.max() < STYLE_BINS
    assert (mirror_bins(bins) == bins[::-1]).all()
    middles = bin_style(bins)
    assert (middles[0] == -middles[1]).all()
    assert style_differences(Style(a=a, b=b)) == tuple(-each for each in style_differences(Style(a=b, b=a)))


@given(COUNTS, COUNTS)
def test_a_bins_middle_is_near_what_it_stands_for(a: StyleCounts, b: StyleCounts) -> None:
    style = Style(a=a, b=b)
    assert abs(bin_style(np.array([style_bin(style)]))[0, 0] - style_differences(style)[0]) <= 0.28


def test_every_bin_is_met_and_unknown_style_is_one_of_its_own() -> None:
    nothing = StyleCounts(**dict.fromkeys(StyleCounts.model_fields, 0))
    shapes = [
        nothing.model_copy(update={"characters": characters, "bold": bold})
        for characters in (0, 1, 80, 100, 120, 140, 200, 400)
        for bold in (0, 1)
    ]
    met = {style_bin(Style(a=a, b=b)) for a in shapes for b in shapes}
    assert met | {style_bin(None)} == set(range(STYLE_BINS))
    assert np.isnan(bin_style(np.array([style_bin(None)]))).all()
    assert np.isnan(style_differences(None)).all()
    assert mirror_bins(np.array([0, 11])).tolist() == [0, 11]


def test_cells_do_not_depend_on_who_was_a() -> None:
    generator = np.random.default_rng(3)
    models, (one, other) = ("c", "a", "b"), generator.integers(0, 3, (2, 200))
    bins, forecasts = generator.integers(0, STYLE_BINS, 200), generator.dirichlet(np.ones(3), 200)
    forecasts[7] = np.nan
    cells = tally_forecasts(models, one, other, bins, forecasts)
    turned = tally_forecasts(models, other, one, mirror_bins(bins), exchange(forecasts))
    assert {models[a] <= models[b] for a, b in zip(cells.model_a, cells.model_b, strict=True)} == {True}
    assert cells.counts.sum() == 199
    differing = cells.model_a != cells.model_b
    there = turned.model_a != turned.model_b
    for name in ("model_a", "model_b", "cells", "counts"):
        assert (getattr(cells, name)[differing] == getattr(turned, name)[there]).all()
    np.testing.assert_allclose(cells.sums[differing], turned.sums[there])
    np.testing.assert_allclose(cells.products[differing], turned.products[there])
    np.testing.assert_allclose(cells.products.sum(axis=(1, 2)), cells.counts)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"weights": np.ones(3)}, "weights has shape"),
        ({"style": np.zeros((2, 3))}, "style has shape"),
        ({"model_b": np.array([0, 2])}, "model_b holds 0 to 2; expected 0 to 1"),
        ({"outcomes": np.array([0, 3])}, "outcomes holds"),
        ({"cells": np.array([-1, 3])}, "cells holds"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        votes(**changes)


def test_votes_are_chosen_and_exchanged() -> None:
    assert votes().select(np.array([False, True])).outcomes.tolist() == [1]
    assert votes().exchanged().exchanged().cells.tolist() == votes().cells.tolist()
    assert votes().exchanged().outcomes.tolist() == [1, 0]
    assert len(votes().select(np.zeros(0, dtype=np.intp))) == 0
