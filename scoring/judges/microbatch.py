"""Micro-batches: which sequences go through a forward pass together.

A pass costs as much as its longest sequence times their number, so sequences of similar length share one; and it costs
something for itself, so not every length gets its own. The longest come first: what does not fit into memory shows at
once, not after minutes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.errors import ConfigError

PASS_COST_TOKENS: Final = 128
"""What a pass costs beside its tokens, in tokens: reading the weights once, starting its kernels.

By arithmetic 280 for a model of nine billion parameters on an H100 (5 ms for the weights, 5 ms for the kernels, 28,000
tokens a second), 100 on a T4, some 60 for the demo's models on two cores. The plan depends on it little.
"""


PACKED_SPREAD: Final = 2
"""Tokens that packed sequences would have with padding, at most, in budgets of a pass."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Sequences of one forward pass.

    Attributes:
        indices: their positions in the list that was planned; through them results go back to its order.
        width: tokens of the longest, to which the others are padded unless they are packed.
        packed_tokens: of all of them, where they lie one behind the other; None where they are padded.
    """

    indices: tuple[int, ...]
    width: int
    packed_tokens: int | None = None

    @property
    def padded_tokens(self) -> int:
        """Tokens that the pass reads, padding included."""
        return len(self.indices) * self.width if self.packed_tokens is None else self.packed_tokens


Cut: TypeAlias = Callable[[Sequence[int], int], list[MicroBatch]]
"""Cuts sequences, by their positions, into micro-batches of at most so many padded tokens."""


class Pending:
    """Micro-batches that are still to be read, for any number of threads to take, one at a time."""

    def __init__(self, micro_batches: Iterable[MicroBatch], cut: Cut, *, tokens: int) -> None:
        """Begin with what a plan has.

        Args:
            micro_batches: in the order in which they are to be read.
            cut: cuts again what was too much.
            tokens: padded ones that a micro-batch may hold.
        """
        self._left = deque(micro_batches)
        self._cut = cut
        self._tokens = tokens
        self._lock = threading.Lock()

    @classmethod
    def all_of(cls, sequences: Sequence[Sequence[int]], cut: Cut, *, tokens: int) -> Self:
        """All of a list of sequences.

        Args:
            sequences: that `cut` knows.
            cut: cuts them.
            tokens: padded ones that a micro-batch may hold.
        """
        return cls(cut(range(len(sequences)), tokens), cut, tokens=tokens)

    def __bool__(self) -> bool:
        """Whether any is left that nobody has taken."""
        return bool(self._left)

    def take(self) -> MicroBatch | None:
        """The next one; None where all are taken."""
        with self._lock:
            return self._left.popleft() if self._left else None

    def put_back(self, micro_batches: Sequence[MicroBatch]) -> None:
        """Have somebody else read what was taken, before all others.

        Args:
            micro_batches: in the order in which they were taken.
        """
        with self._lock:
            self._left.extendleft(reversed(micro_batches))

    def split(self, failed: MicroBatch, tokens: int) -> None:
        """Put one back in two or more, and cut all that is left smaller.

        Args:
            failed: of several sequences; it is split in any case: it may be far below `tokens`.
            tokens: padded ones that a micro-batch may hold from now on.
        """
        with self._lock:
            self._tokens = min(self._tokens, tokens)
            left = [index for planned in self._left for index in planned.indices]
            self._left = deque(self._cut(failed.indices, min(self._tokens, failed.padded_tokens // 2)))
            self._left.extend(self._cut(left, self._tokens))


class Taker:
    """One of those who take what is pending: knows what it took, so that another one can read it where it fails."""

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self.taken: list[MicroBatch] = []
        """In order; without what was split."""

    def take(self) -> MicroBatch | None:
        """The next micro-batch; None where all are taken."""
        taken = self._pending.take()
        if taken is not None:
            self.taken.append(taken)
        return taken

    def split(self, tokens: int) -> None:
        """The last one that was taken was too much.

        Args:
            tokens: padded ones that a micro-batch may hold from now on.
        """
        self._pending.split(self.taken.pop(), tokens)

    def give_up(self) -> None:
        """Leave all that was taken to others."""
        self._pending.put_back(self.taken)
        self.taken = []


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
    lengths: Sequence[int],
    *,
    padded_tokens: int,
    max_sequences: int | None = None,
    pass_cost_tokens: int = PASS_COST_TOKENS,
) -> list[MicroBatch]:
    """Group sequences by length under a budget of padded tokens, at the least cost.

    The cost of a plan is the padded tokens of its passes, and a fixed cost for each pass. Of all plans that cut the
    sequences, sorted by length, into runs, this one has the least: by dynamic programming over where a run ends.

    Args:
        lengths: tokens of each sequence.
        padded_tokens: what a micro-batch may hold, > 0; a longer sequence gets a micro-batch of its own.
        max_sequences: the most sequences of one micro-batch, > 0; None for no such bound.
        pass_cost_tokens: what a pass costs beside its tokens, in tokens, at least 0.

    Returns:
        Micro-batches from the longest sequences to the shortest; sequences of equal length in their given order.
        Every position stands in exactly one. The same arguments give the same plan; of plans that cost the same, the
        one with the fewer passes at its end.

    Raises:
        ConfigError: a bound is not positive.
    """
    errors = tuple(
        f"{name} is {bound}; it must be at least {least}"
        for name, bound, least in (
            ("padded_tokens", padded_tokens, 1),
            ("max_sequences", max_sequences, 1),
            ("pass_cost_tokens", pass_cost_tokens, 0),
        )
        if bound is not None and bound < least
    )
    if errors:
        raise ConfigError("micro-batches", errors)
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    widths = np.array([lengths[index] for index in order], dtype=np.int64)
    fits = np.maximum(1, padded_tokens // np.maximum(1, widths))
    if max_sequences is not None:
        fits = np.minimum(fits, max_sequences)
    starts = _cheapest_starts(widths, fits, pass_cost_tokens)
    batches: list[MicroBatch] = []
    end = len(order)
    while end > 0:
        start = starts[end]
        batches.append(MicroBatch(tuple(order[start:end]), lengths[order[start]]))
        end = start
    return batches[::-1]


def pack_micro_batches(lengths: Sequence[int], *, tokens: int) -> list[MicroBatch]:
    """Group sequences that are packed: each pass has as many as fit, one after the other from the longest on.

    Without padding it does not matter for the cost which ones go together; the longest come first all the same. In
    rows, as a mean over their tokens needs them, they have at most `PACKED_SPREAD` times as many: one long sequence
    beside hundreds of short ones would take memory that nobody counted.

    Args:
        lengths: tokens of each sequence.
        tokens: what a micro-batch may hold, > 0; a longer sequence gets a micro-batch of its own.

    Returns:
        Micro-batches; every position stands in exactly one.

    Raises:
        ConfigError: the bound is not positive.
    """
    if tokens < 1:
        raise ConfigError("micro-batches", (f"tokens is {tokens}; it must be at least 1",))
    batches: list[MicroBatch] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        last = batches[-1] if batches else None
        together = last.padded_tokens + lengths[index] if last else 0
        if last and together <= tokens and (len(last.indices) + 1) * last.width <= PACKED_SPREAD * tokens:
            batches[-1] = MicroBatch((*last.indices, index), last.width, together)
        else:
            batches.append(MicroBatch((index,), lengths[index], lengths[index]))
    return batches


def _cheapest_starts(widths: NDArray[np.int64], fits: NDArray[np.int64], pass_cost: int) -> list[int]:
    """For each number of sequences from the longest on, where the last run of their cheapest plan starts.

    Args:
        widths: descending, shape (sequences,).
        fits: how many sequences a run may have that starts at each; never fewer than the one before allows.
        pass_cost: of each run, beside its width times its sequences.
    """
    count = len(widths)
    starts = [0] * (count + 1)
    # A run over [start, end) costs at_zero[start] + widths[start] * end: what leads to it, less the width of what it
    # leaves out. So each end takes one product, one sum and one minimum over the starts that can reach it.
    at_zero = np.empty(count, dtype=np.int64)
    cheapest = first = 0
    reach = (np.arange(count) + fits).tolist()
    for end in range(1, count + 1):
        at_zero[end - 1] = cheapest + pass_cost - (end - 1) * widths[end - 1]
        while reach[first] < end:
            first += 1
        costs = at_zero[first:end] + widths[first:end] * end
        best = int(costs.argmin())
        cheapest = costs[best]
        starts[end] = first + best
    return starts
