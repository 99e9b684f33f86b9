from __future__ import annotations

import numpy as np
import pytest

from prefstream.scoring.strengths.table import rank_ranges


def test_ranks_are_ranges_where_differences_may_be_chance() -> None:
    strengths = np.array([2.0, 1.9, 0.0, -3.9])
    best, worst = rank_ranges(strengths, np.diag([0.01, 0.01, 0.01, 0.01]))
    assert best.tolist() == [1, 1, 3, 4]
    assert worst.tolist() == [2, 2, 3, 4]


def test_a_difference_that_is_known_better_than_both_ratings_ranks_them() -> None:
    """Both models' own intervals overlap widely; what they have in common is what is not known."""
    shared = np.array([[1.0, 0.999], [0.999, 1.0]])
    assert [ranks.tolist() for ranks in rank_ranges(np.array([0.0, 0.2]), shared)] == [[2, 1], [2, 1]]
    assert [ranks.tolist() for ranks in rank_ranges(np.array([0.0, 0.2]), np.eye(2))] == [[1, 1], [2, 2]]


def test_equal_models_share_all_ranks_whatever_rounding_says() -> None:
    best, worst = rank_ranges(np.array([0.0, 1e-14, 0.0]), np.zeros((3, 3)))
    assert best.tolist() == [1, 1, 1]
    assert worst.tolist() == [3, 3, 3]


@pytest.mark.parametrize("count", [0, 1])
def test_one_model_is_first(count: int) -> None:
    best, worst = rank_ranges(np.zeros(count), np.zeros((count, count)))
    assert best.tolist() == worst.tolist() == [1] * count
