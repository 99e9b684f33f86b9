"""The loss is that of serving's own reading, fair to both sides, and silent about ties where there are none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prefstream.scoring.finetune.losses import cross_entropy, divergence, pairwise_logits, pointwise_logits
from prefstream.scoring.judges.readout import read_pairwise, read_pointwise

few = settings(max_examples=40)
"""Each holds four pairs."""

PAIRS = 4
A, B = torch.arange(0, 2 * PAIRS, 2), torch.arange(1, 2 * PAIRS, 2)
BOTH_SIDES = [1, 0, 2]


def outputs(columns: int) -> st.SearchStrategy[torch.Tensor]:
    """What heads put out for eight sequences."""
    values = arrays(np.float32, (2 * PAIRS, columns), elements=st.floats(-20, 20, width=32))
    return values.map(torch.from_numpy)


@st.composite
def target_rows(draw: st.DrawFn) -> torch.Tensor:
    """Shares of the outcomes."""
    counts = draw(arrays(np.float32, (PAIRS, 3), elements=st.sampled_from([0.0, 1.0, 3.0])))
    counts[:, 2] += counts.sum(axis=1) == 0
    return torch.from_numpy(counts / counts.sum(axis=1, keepdims=True))


ALL_TIES = torch.ones(PAIRS, dtype=torch.bool)
NO_TIES = torch.zeros(PAIRS, dtype=torch.bool)


@few
@given(head=outputs(2), tau=st.floats(-3, 3))
def test_pointwise_logits_are_those_that_serving_reads(head: torch.Tensor, tau: float) -> None:
    logits = pointwise_logits(head, A, B, tau=tau)
    probabilities = torch.softmax(logits, dim=1).numpy()
    np.testing.assert_allclose(probabilities, read_pointwise(head.numpy(), tau=tau), atol=1e-6)


@few
@given(head=outputs(3))
def test_pairwise_logits_are_those_that_serving_reads_in_both_orders(head: torch.Tensor) -> None:
    given_, back = pairwise_logits(head, A, B)
    np.testing.assert_allclose(torch.softmax(given_, dim=1).numpy(), read_pairwise(head[A].numpy()), atol=1e-6)
    swapped = read_pairwise(head[B].numpy())[:, BOTH_SIDES]
    np.testing.assert_allclose(torch.softmax(back, dim=1).numpy(), swapped, atol=1e-6)


@few
@given(head=outputs(2), targets=target_rows(), tau=st.floats(-3, 3))
def test_log_loss_is_that_of_the_probabilities(head: torch.Tensor, targets: torch.Tensor, tau: float) -> None:
    losses = cross_entropy(pointwise_logits(head, A, B, tau=tau), targets, ALL_TIES).numpy()
    probabilities = np.maximum(read_pointwise(head.numpy(), tau=tau), 1e-300)
    np.testing.assert_allclose(losses, -(targets.numpy() * np.log(probabilities)).sum(axis=1), rtol=1e-4, atol=1e-5)


@few
@given(head=outputs(2), targets=target_rows())
def test_pointwise_loss_is_the_same_for_the_swapped_pair(head: torch.Tensor, targets: torch.Tensor) -> None:
    as_given = cross_entropy(pointwise_logits(head, A, B, tau=0.1), targets, ALL_TIES)
    swapped = cross_entropy(pointwise_logits(head, B, A, tau=0.1), targets[:, BOTH_SIDES], ALL_TIES)
    torch.testing.assert_close(as_given, swapped, rtol=1e-6, atol=1e-6)


@few
@given(head=outputs(3), targets=target_rows())
def test_pairwise_loss_of_both_orders_is_the_same_for_the_swapped_pair(
    head: torch.Tensor, targets: torch.Tensor
) -> None:
    def loss(first: torch.Tensor, second: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        given_, back = pairwise_logits(head, first, second)
        return (cross_entropy(given_, wanted, ALL_TIES) + cross_entropy(back, wanted, ALL_TIES)) / 2

    torch.testing.assert_close(loss(A, B, targets), loss(B, A, targets[:, BOTH_SIDES]), rtol=1e-6, atol=1e-6)


@few
@given(head=outputs(3))
def test_pairs_without_ties_teach_nothing_about_ties(head: torch.Tensor) -> None:
    logits = head[A].clone().requires_grad_()
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]] * 2)
    losses = cross_entropy(logits, targets, NO_TIES)
    [gradient] = torch.autograd.grad(losses.sum(), logits)
    assert gradient[:, 2].eq(0).all()
    # What is left is the log loss of P(A) / (P(A) + P(B)).
    two = torch.log_softmax(logits.detach()[:, :2], dim=1)
    torch.testing.assert_close(losses.detach(), -(targets[:, :2] * two).sum(dim=1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient[:, :2].sum(dim=1), torch.zeros(PAIRS), rtol=0, atol=1e-6)


def test_each_pair_is_masked_by_its_own_flag() -> None:
    logits = torch.zeros(2, 3)
    targets = torch.tensor([[1.0, 0.0, 0.0]] * 2)
    losses = cross_entropy(logits, targets, torch.tensor([True, False]))
    assert losses.tolist() == pytest.approx([math.log(3), math.log(2)])


@few
@given(one=outputs(3), other=outputs(3))
def test_divergence_is_symmetric_and_at_most_log_2(one: torch.Tensor, other: torch.Tensor) -> None:
    forth, back = divergence(one, other), divergence(other, one)
    torch.testing.assert_close(forth, back, rtol=1e-5, atol=1e-6)
    assert (forth >= -1e-6).all()
    assert (forth <= math.log(2) + 1e-6).all()


@few
@given(one=outputs(3), shift=st.floats(-5, 5))
def test_divergence_of_equal_answers_is_0(one: torch.Tensor, shift: float) -> None:
    assert divergence(one, one + shift).abs().max() < 1e-5


def test_divergence_of_opposite_answers_is_log_2() -> None:
    logits = torch.tensor([[50.0, -50.0, -50.0]])
    assert divergence(logits, logits[:, BOTH_SIDES]).item() == pytest.approx(math.log(2))
