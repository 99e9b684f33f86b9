"""How two groups differ, and what chance would give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from prefstream.scoring.trust.contrast import (
    CHANCE,
    FEWEST,
    RESAMPLES,
    BattleGroup,
    contrast,
    total_variation,
    variation_from_rest,
)
from prefstream.scoring.trust.results import Contrast

counts = st.lists(st.integers(0, 50), min_size=3, max_size=3).filter(any).map(np.array)
groups = st.dictionaries(st.sampled_from("abc"), st.integers(0, 60))


def compare(one: Mapping[str, int], other: Mapping[str, int], *, seed: int = 0) -> Contrast:
    return contrast("language", *(BattleGroup({"language": group}) for group in (one, other)), seed=seed)


@given(counts, counts, st.integers(2, 9))
def test_total_variation_is_bounded_symmetric_and_0_for_equal_shares(
    one: NDArray[np.int64], other: NDArray[np.int64], times: int
) -> None:
    distance = float(total_variation(one, other))
    assert 0.0 <= distance <= 1.0 + 1e-12
    assert distance == pytest.approx(float(total_variation(other, one)), abs=1e-12)
    assert float(total_variation(one, one * times)) == pytest.approx(0.0, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30))
def test_by_the_drawn_categories_alone_it_is_the_same(battles: list[tuple[int, int]]) -> None:
    drawn, left = np.array(battles).T
    assume(drawn.any() and left.any())
    there = drawn > 0
    found = variation_from_rest(drawn[there], (drawn + left)[there], int((drawn + left).sum()))
    assert found == pytest.approx(float(total_variation(drawn, left)), abs=1e-12)


def test_of_many_categories_chance_is_drawn_by_battles_and_is_the_same_chance() -> None:
    """A category at a time would take twenty times as long with all pairs of 200 models."""
    generator = np.random.default_rng(3)
    together = generator.multinomial(9_000, generator.dirichlet(np.ones(1_000)))
    size = 600
    one = generator.multivariate_hypergeometric(together, size)
    found = compare(*({str(name): int(n) for name, n in enumerate(of) if n} for of in (one, together - one)))
    drawn = generator.multivariate_hypergeometric(together, size, size=RESAMPLES, method="marginals")
    by_category = total_variation(drawn, together - drawn)
    error = by_category.std() * (2 / RESAMPLES) ** 0.5
    assert found.by_chance == pytest.approx(by_category.mean(), abs=5 * error)
    assert found.by_chance_99 == pytest.approx(np.quantile(by_category, CHANCE), abs=5 * 4 * error)


@given(groups, groups)
def test_a_contrast_is_told_or_not_and_never_in_part(one: dict[str, int], other: dict[str, int]) -> None:
    found = compare(one, other)
    enough = min(sum(one.values()), sum(other.values())) >= FEWEST
    assert enough == (found.distance is not None) == (found.by_chance_99 is not None) == bool(found.most)
    if found.distance is not None:
        assert 0.0 <= found.distance <= 1.0


def test_groups_without_a_common_category_are_as_far_apart_as_can_be() -> None:
    assert compare({"a": 40}, {"b": 50}).distance == 1.0


def test_samples_of_one_distribution_rarely_exceed_chance_and_never_differ() -> None:
    """About one in a hundred is what the bound promises."""
    draw = np.random.default_rng(1)
    above = 0
    for seed in range(300):
        sample = draw.choice(4, size=600, p=[0.6, 0.3, 0.09, 0.01])
        found = compare(*(Counter(map(str, part.tolist())) for part in (sample[:200], sample[200:])), seed=seed)
        above += (found.distance or 0.0) > (found.by_chance_99 or 1.0)
        assert not found.differs or (found.distance or 0.0) > 0.1
    assert above <= 12


def test_another_mix_is_told_with_the_categories_that_differ_most() -> None:
    found = compare({"de": 60, "en": 40}, {"en": 900, "de": 100})
    assert found.differs
    assert found.distance == pytest.approx(0.5)
    assert [(each.category, each.one, each.other) for each in found.most] == [("de", 0.6, 0.1), ("en", 0.4, 0.9)]


def test_many_battles_make_a_small_difference_certain_and_no_large_one() -> None:
    found = compare({"de": 52_000, "en": 48_000}, {"de": 50_000, "en": 50_000})
    assert (found.distance or 0.0) > (found.by_chance_99 or 1.0)
    assert not found.differs


def test_many_rare_categories_differ_by_chance_and_that_is_no_difference() -> None:
    draw = np.random.default_rng(2)
    found = compare(*(Counter(map(str, draw.integers(0, 1_000, size).tolist())) for size in (700, 50_000)))
    assert (found.distance or 0.0) > 0.3
    assert not found.differs


@pytest.mark.parametrize("sizes", [(0, 0), (0, 500), (FEWEST - 1, 500), (500, 3)])
def test_of_too_few_battles_nothing_is_said(sizes: tuple[int, int]) -> None:
    found = compare(*({"en": size} for size in sizes))
    assert (found.battles, found.other_battles) == sizes
    assert found.distance is None
    assert not found.differs


def test_a_feature_that_nobody_knows_has_no_battles() -> None:
    assert contrast("length", BattleGroup(), BattleGroup()).battles == 0


def test_the_rest_of_a_group_is_what_a_part_leaves() -> None:
    whole = BattleGroup({"length": {"short": 5, "long": 3}}, {"length": 40.0})
    rest = whole.without(BattleGroup({"length": {"short": 5, "long": 1}}, {"length": 10.0}))
    assert rest.counts == {"length": {"long": 2}}
    assert rest.mean("length") == 15.0
    assert whole.mean("length") == 5.0
    assert whole.mean("language") is None
