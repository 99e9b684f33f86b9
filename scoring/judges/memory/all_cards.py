"""What torch does on all cards at once, so that one that has broken down is heard of by whoever uses another."""

from __future__ import annotations

import torch


def give_memory_back(device: torch.device) -> None:
    """Give back what torch holds for later, on all cards.

    Args:
        device: a card, of which alone it is told what is wrong.

    Raises:
        RuntimeError: that card has broken down.
    """
    try:
        torch.cuda.empty_cache()
    except RuntimeError:
        torch.cuda.synchronize(device)  # raises where it is this one


def pinned(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor in memory that a card copies from by itself, if it can be had; else the tensor as it is.

    Args:
        tensor: on the CPU.
    """
    try:
        return tensor.pin_memory()  # asks first which copies have ended, of all cards
    except RuntimeError:
        return tensor
