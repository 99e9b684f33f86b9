"""From a head's outputs to the loss, for both ways of reading; the torch twin of `judges.readout`."""

from __future__ import annotations

import torch

from prefstream.scoring.probabilities import EXCHANGED

_IMPOSSIBLE = -1e4
"""Logit of a tie where there are none: no probability in float32, and, unlike minus infinity, no NaN in gradients."""


def pointwise_logits(outputs: torch.Tensor, first: torch.Tensor, second: torch.Tensor, *, tau: float) -> torch.Tensor:
    """Bradley-Terry with ties, after Davidson (1970).

    Args:
        outputs: shape (sequences, 2), columns score and tie.
        first: shape (pairs,), rows of A's outputs.
        second: of B's.
        tau: offset of the tie's logit.

    Returns:
        Shape (pairs, 3), logits in the order of `schemas.OUTCOMES`.
    """
    half = outputs[first, 0] / 2 - outputs[second, 0] / 2
    tie = tau + (outputs[first, 1] / 2 + outputs[second, 1] / 2)
    return torch.stack([half, -half, tie], dim=1)


def pairwise_logits(
    outputs: torch.Tensor, first: torch.Tensor, second: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes, in both orders.

    Args:
        outputs: shape (sequences, 3).
        first: shape (pairs,), rows of the battles as given.
        second: of their swaps.

    Returns:
        Two of shape (pairs, 3): as given, and of the swap with its sides exchanged back.
    """
    return outputs[first], outputs[second][:, list(EXCHANGED)]


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, ties_possible: torch.Tensor) -> torch.Tensor:
    """Log loss of each pair, in nats.

    Args:
        logits: shape (pairs, 3).
        targets: shape (pairs, 3), shares of the outcomes.
        ties_possible: shape (pairs,); where False, P(A) and P(B) count relative to each other alone.

    Returns:
        Shape (pairs,).
    """
    impossible = torch.zeros_like(logits)
    impossible[:, 2] = torch.where(ties_possible, 0.0, _IMPOSSIBLE)
    open_logits = torch.where(impossible < 0, impossible, logits)
    return -(targets * torch.log_softmax(open_logits, dim=1)).sum(dim=1)


def divergence(logits: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Jensen-Shannon divergence between two answers to each pair, in nats: 0 where both orders agree.

    Args:
        logits: shape (pairs, 3).
        other: the same shape.

    Returns:
        Shape (pairs,), each from 0 to log 2.
    """
    log_p, log_q = torch.log_softmax(logits, dim=1), torch.log_softmax(other, dim=1)
    log_mean = torch.logaddexp(log_p, log_q) - torch.log(torch.tensor(2.0, device=logits.device))
    to_mean = log_p.exp() * (log_p - log_mean) + log_q.exp() * (log_q - log_mean)
    return to_mean.sum(dim=1) / 2
