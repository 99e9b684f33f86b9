"""Micro-batches: which sequences go through a forward pass together.

A pass costs as much as its longest sequence times their number, so sequences of similar length share one. The
longest come first: what does not fit into memory shows at once, not after minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prefstream.scoring.errors import ConfigError


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Sequences of one forward pass.

    Attributes:
        indices: their positions in the list that was planned; through them results go back to its order.
        width: tokens of the longest, to which the others are padded.
    """

    indices: tuple[int, ...]
    width: int

    @property
    def padded_tokens(self) -> int:
        """Tokens that the pass reads, padding included."""
        return len(self.indices) * self.width


def distinct(sequences: Iterable[Sequence[int]]) -> tuple[list[Sequence[int]], list[int]]:
    """Sequences without repetitions: an answer that was given in several battles of a batch is read once.

    Args:
        sequences: token ids.

    Returns:
        Each sequence once, in the order of first occurrence, and for every given one its position among them.
    """
    position_of: dict[tuple[int, ...], int] = {}
    positions = [position_of.setdefault(tuple(sequence), len(position_of)) for sequence in sequences]
    return list(position_of), positions


def plan_micro_batches(
    lengths: Sequence[int], *, padded_tokens: int, max_sequences: int | None = None
) -> list[MicroBatch]:
    """Group sequences by length under a budget of padded tokens.

    Args:
        lengths: tokens of each sequence.
        padded_tokens: what a micro-batch may hold, > 0; a longer sequence gets a micro-batch of its own.
        max_sequences: the most sequences of one micro-batch, > 0; None for no such bound.

    Returns:
        Micro-batches from the longest sequences to the shortest; sequences of equal length in their given order.
        Every position stands in exactly one. The same arguments give the same plan.

    Raises:
        ConfigError: a bound is not positive.
    """
    errors = tuple(
        f"{name} is {bound}; it must be at least 1"
        for name, bound in (("padded_tokens", padded_tokens), ("max_sequences", max_sequences))
        if bound is not None and bound < 1
    )
    if errors:
        raise ConfigError("micro-batches", errors)
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[MicroBatch] = []
    start = 0
    while start < len(order):
        width = lengths[order[start]]
        size = max(1, padded_tokens // max(1, width))
        if max_sequences is not None:
            size = min(size, max_sequences)
        batches.append(MicroBatch(tuple(order[start : start + size]), width))
        start += size
    return batches
