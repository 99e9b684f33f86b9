"""What a judge that reads gets from where its model runs: a row of logits for each sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.errors import JudgeFaultError

Passes: TypeAlias = tuple[tuple[int, ...], ...]
"""Micro-batches: of each the positions of its sequences, in the order in which they are read."""

_NAME_CHARS = 80
"""Of a battle's id, in a message."""


@dataclass(frozen=True, slots=True)
class Logits:
    """What the head put out.

    Attributes:
        values: shape (sequences, outputs); rows of sequences that did not fit are zero.
        too_large: positions of sequences that did not fit on the device, even alone.
        lost: replicas that were taken out since the last time, each as the fault that it had.
    """

    values: NDArray[np.float32]
    too_large: frozenset[int]
    lost: tuple[JudgeFaultError, ...] = ()

    def at(self, positions: Sequence[int]) -> Logits:
        """Those of a list in which sequences occur several times.

        Args:
            positions: for each of them, where it stands here.
        """
        too_large = frozenset(index for index, position in enumerate(positions) if position in self.too_large)
        return Logits(self.values[list(positions)], too_large, self.lost)


class LogitsSource(Protocol):
    """A model on a device of this machine, or on a server."""

    @property
    def budget_tokens(self) -> int:
        """Padded tokens that it reads at once, at most, as of now."""

    def padded_tokens(self, lengths: Sequence[int]) -> int:
        """Tokens that it reads of sequences of these lengths, padding included.

        Args:
            lengths: tokens of each.
        """

    def passes(self, lengths: Sequence[int]) -> Passes | None:
        """Which sequences of these lengths it reads together, as of now; None where that is not in its hands.

        Args:
            lengths: tokens of each.
        """

    def logits(self, sequences: Sequence[Sequence[int]], *, names: Sequence[str] = ()) -> Logits:
        """Read sequences; called by one thread at a time.

        Args:
            sequences: token ids, at least one each.
            names: of what each sequence is of, for messages; none, or one for each.

        Raises:
            JudgeFaultError: it broke down, or a logit is no finite number.
        """

    def close(self) -> None:
        """Give back what it holds."""


def not_finite(values: NDArray[np.float32], names: Sequence[str]) -> str:
    """Whose logits are no finite numbers, for a message.

    Args:
        values: shape (sequences, outputs).
        names: as for `LogitsSource.logits`.
    """
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist()
    named = list(dict.fromkeys(names[index] for index in broken if names))
    others = f" and of {len(named) - 1} more" if len(named) > 1 else ""
    whose = f" of battle {named[0][:_NAME_CHARS]!r}{others}" if named else ""
    return f"logits{whose} are not finite"
