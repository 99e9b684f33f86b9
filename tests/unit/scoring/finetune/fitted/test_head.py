"""A head that is fitted: what it learns of states, and that it says of them what the fit said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prefstream.scoring.finetune.data.pairs import Pairs
from prefstream.scoring.finetune.fitted.head import FittedHead, fit_head
from prefstream.scoring.judges.readout import read_pointwise
from prefstream.scoring.probabilities import Triples, exchange
from tests.support.labelled_pairs import make_pairs

COLUMNS = 6


def read(head: FittedHead, states: NDArray[np.float32], pairs: Pairs) -> Triples:
    """As serving reads what the head says of the states."""
    ends = np.stack([pairs.first, pairs.second], axis=1).ravel()
    return read_pointwise((states @ head.weights.T)[ends], tau=head.tau)


def judged_by_states(count: int, *, noise: float, seed: int = 0) -> tuple[NDArray[np.float32], Pairs]:
    """Answers whose first column decides who wins, and whose second one whether it is a tie; all far off 0."""
    draws = np.random.default_rng(seed)
    states = draws.normal(size=(2 * count, COLUMNS)).astype(np.float32)
    ahead = states[0::2, 0] - states[1::2, 0] + noise * draws.normal(size=count)
    ties = (states[0::2, 1] + states[1::2, 1]) / 2 + noise * draws.normal(size=count) > 0.7
    outcomes = np.where(ties, 2, np.where(ahead > 0, 0, 1)).tolist()
    scales = np.array([1, 30, 1, 100, 1, 1], dtype=np.float32)
    return states * scales + 50, make_pairs(count, outcomes=outcomes)


def test_it_finds_what_decides_whatever_the_size_of_a_column() -> None:
    states, pairs = judged_by_states(400, noise=0.0)
    head = fit_head(states, pairs, np.ones(400), [1.0])
    assert (read(head, states, pairs).argmax(axis=1) == pairs.outcomes).mean() > 0.9


def test_pairs_that_do_not_count_change_nothing_whatever_their_states() -> None:
    states, pairs = judged_by_states(120, noise=1.0)
    weights = np.where(np.arange(120) < 90, 1.0, 0.0)
    head = fit_head(states, pairs, weights, [1.0, 10.0])
    states[180:] = np.nan
    again = fit_head(states, pairs, weights, [1.0, 10.0])
    assert again.tau == head.tau
    assert (again.weights == head.weights).all()


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**16))
def test_exchanging_the_answers_of_all_pairs_gives_the_same_head(seed: int) -> None:
    states, pairs = judged_by_states(60, noise=1.0, seed=seed)
    swapped = replace(pairs, first=pairs.second, second=pairs.first, targets=exchange(pairs.targets))
    head, other = (fit_head(states, some, np.ones(60), [3.0]) for some in (pairs, swapped))
    np.testing.assert_allclose(read(other, states, pairs), read(head, states, pairs), atol=1e-3)


def test_the_less_the_states_say_the_larger_a_penalty_is_chosen() -> None:
    chosen = []
    for noise in (0.1, 100.0):
        states, pairs = judged_by_states(300, noise=noise)
        head = fit_head(states, pairs, np.ones(300), [1.0, 1_000.0])
        assert set(head.log_losses) == {1.0, 1_000.0}
        assert head.log_losses[head.penalty] == min(head.log_losses.values())
        chosen.append(head.penalty)
    assert chosen == [1.0, 1_000.0]


def test_of_one_penalty_nothing_is_held_out() -> None:
    states, pairs = judged_by_states(30, noise=1.0)
    head = fit_head(states, pairs, np.ones(30), [7.0])
    assert (head.penalty, head.log_losses) == (7.0, {})


def test_a_column_that_does_not_vary_gets_no_weight() -> None:
    states, pairs = judged_by_states(60, noise=1.0)
    states[:, 4] = 3.0
    head = fit_head(states, pairs, np.ones(60), [1.0])
    assert (head.weights[:, 4] == 0).all()
    assert np.isfinite(head.weights).all()


def test_where_no_pair_can_be_a_tie_winners_are_learnt_all_the_same() -> None:
    states, pairs = judged_by_states(200, noise=0.0)
    decided = np.flatnonzero(pairs.outcomes != 2)
    pairs = replace(pairs, ties_possible=np.zeros(200, dtype=np.bool_))
    head = fit_head(states, pairs, np.where(pairs.outcomes != 2, 1.0, 0.0), [1.0])
    said = read(head, states, pairs)[decided]
    assert ((said[:, 0] > said[:, 1]) == (pairs.outcomes[decided] == 0)).mean() > 0.9


def test_it_is_kept_as_it_was(tmp_path: Path) -> None:
    assert FittedHead.read(tmp_path) is None
    states, pairs = judged_by_states(40, noise=1.0)
    head = fit_head(states, pairs, np.ones(40), [1.0, 10.0])
    head.write(tmp_path)
    again = FittedHead.read(tmp_path)
    assert again is not None
    assert (again.tau, again.penalty, again.log_losses) == (head.tau, head.penalty, head.log_losses)
    assert (again.weights == head.weights).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_twice_is_the_same_to_the_bit(seed: int) -> None:
    states, pairs = judged_by_states(50, noise=1.0, seed=seed)
    one, two = (fit_head(states, pairs, np.ones(50), [1.0, 10.0]) for _ in range(2))
    assert one.tau == two.tau
    assert (one.weights == two.weights).all()
