"""The fit of a judge of features multiplies standardised columns that it never makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from prefstream.scoring.features.extract import Features
from prefstream.scoring.features.names import BOTH, SIDES
from prefstream.scoring.finetune.features.fit import fit_linear, standard_deviations
from prefstream.scoring.finetune.fitted.convex import FREE, Verdicts, fit_convex
from tests.support.features_judges import make_features_recipe

ROWS, BUCKETS = 120, 2**8


@pytest.fixture
def measured() -> tuple[dict[str, Any], Verdicts]:
    """Dense features of very different sizes, one that never varies, and verdicts that follow from some of them."""
    draw = np.random.default_rng(0)
    sides = draw.normal(size=(ROWS, len(SIDES) + BUCKETS)) * 10 ** draw.uniform(-2, 2, len(SIDES) + BUCKETS)
    both = 3 + draw.normal(size=(ROWS, len(BOTH) + BUCKETS)) * 10 ** draw.uniform(-2, 2, len(BOTH) + BUCKETS)
    for columns, measures in ((sides, len(SIDES)), (both, len(BOTH))):
        columns[:, measures:] = np.round(draw.random((ROWS, BUCKETS)) ** 4)
    both[:, 0], both[:, 3] = 1.0, 0.7
    outcomes = np.where(draw.random(ROWS) < 0.2, 2, (sides[:, 0] < 0).astype(int))
    return {"sides": sides, "both": both}, Verdicts(
        np.eye(3)[outcomes], np.ones(ROWS, np.bool_), draw.uniform(0.5, 1.5, ROWS)
    )


def test_it_is_the_fit_to_standardised_columns(measured: tuple[dict[str, Any], Verdicts]) -> None:
    columns, judged = measured
    recipe = make_features_recipe(most_iterations=2_000)
    found = fit_linear(Features(*map(csr_array, columns.values())), judged, recipe)

    sides, both = columns["sides"], columns["both"]
    scale_sides, scale_both, middle = np.ones(sides.shape[1]), np.ones(both.shape[1]), np.zeros(both.shape[1])
    scale_sides[: len(SIDES)] = np.sqrt((sides[:, : len(SIDES)] ** 2).mean(axis=0))
    varied = [place for place in range(len(BOTH)) if place not in {0, 3}]
    middle[varied], scale_both[varied] = both[:, varied].mean(axis=0), both[:, varied].std(axis=0)
    penalties = np.full(sides.shape[1] + both.shape[1], 0.1)
    penalties[sides.shape[1]] = FREE
    plain = fit_convex(sides / scale_sides, (both - middle) / scale_both, judged, penalties, most_iterations=2_000)
    expected = plain.both / scale_both
    expected[0] -= expected @ middle
    assert found.settled
    np.testing.assert_allclose(found.model.sides, plain.sides / scale_sides, rtol=2e-2, atol=1e-3)
    np.testing.assert_allclose(found.model.both, expected, rtol=2e-2, atol=1e-3)


def test_deviations_are_those_of_all_rows(
    measured: tuple[dict[str, Any], Verdicts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefstream.scoring.finetune.features.fit._BLOCK_ROWS", 7)
    sides = measured[0]["sides"]
    np.testing.assert_allclose(standard_deviations(csr_array(sides)), sides.std(axis=0), rtol=1e-9)
