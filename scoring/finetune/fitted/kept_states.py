"""States that were read already, kept in a run's folder: a reading that was interrupted goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch

from prefstream.scoring.atomic_file import write_atomically

_EVERY_S: Final = 60.0
"""Between two looks of the disk at them, seconds: what a crash costs at most. They are some tens of MB."""

_STATES: Final = "states"
_PASSES: Final = "passes"


@dataclass(slots=True)
class KeptStates:
    """The states that one process of a run reads.

    Attributes:
        work: the run's folder; its identity is checked before.
        process: which one it is, and of how many: each has passes of its own.
    """

    work: Path
    process: tuple[int, int] = (0, 1)
    _kept_at: float = field(default_factory=time.monotonic)

    @property
    def path(self) -> Path:
        """Of the file."""
        index, count = self.process
        return self.work / f"states.{index}-of-{count}.safetensors"

    def take_up(self, states: torch.Tensor) -> int:
        """Fill in what was read before.

        Args:
            states: shape (sequences, columns); changed in place.

        Returns:
            How many passes that took.
        """
        from safetensors import safe_open

        if not self.path.exists():
            return 0
        with safe_open(self.path, framework="pt") as stored:
            told: Mapping[str, str] = stored.metadata()
            states.copy_(stored.get_tensor(_STATES))
        return int(told[_PASSES])

    def keep(self, states: torch.Tensor, passes: int, *, at_once: bool = False) -> None:
        """Write what is read so far, unless it was just written.

        Args:
            states: as above.
            passes: how many that took.
            at_once: write it in any case.
        """
        from safetensors.torch import save

        if not at_once and time.monotonic() - self._kept_at < _EVERY_S:
            return
        write_atomically(self.path, save({_STATES: states.cpu()}, metadata={_PASSES: str(passes)}))
        self._kept_at = time.monotonic()


def drop_states(work: Path) -> None:
    """Delete what was kept: it is of use no more, or of another run.

    Args:
        work: the run's folder.
    """
    for path in work.glob("states.*"):
        path.unlink(missing_ok=True)
