"""A file that tells a process what to do to itself when it comes by a point."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

ENV_TRAP: Final = "CHAOS_TRAP"
"""Names the file: the point, and the signal or what else is to happen there."""

LASTING: Final = " always"
"""An action whose name ends so happens each time, until the trap is cleared; any other one happens once."""


class Trap:
    """Waits for a point.

    Args:
        file: where the point and the action are written. It is deleted when the point is reached.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def set(self, point: str, action: str) -> None:
        """Have something happen when the process next reaches a point.

        Args:
            point: its name.
            action: name of the signal that the process sends itself, or of what else it knows to do there.
        """
        part = self._file.with_suffix(".part")
        part.write_text(f"{point}\n{action}")
        part.rename(self._file)

    def clear(self) -> None:
        """Forget what was set."""
        self._file.unlink(missing_ok=True)

    @property
    def is_set(self) -> bool:
        """Whether the point has not been reached yet."""
        return self._file.exists()

    def reached(self, point: str) -> str | None:
        """Called by the process at every point; the action that is to happen now, if it is no signal.

        Of several threads that come by together, one alone gets an action that is to happen once.
        """
        if not self._file.exists():  # a system call of a microsecond; the points lie in loops
            return None
        try:
            wanted, action = self._file.read_text().split("\n")
            if wanted != point:
                return None
            if not action.endswith(LASTING):
                self._file.unlink()
        except FileNotFoundError:  # cleared just now, or another thread was here first
            return None
        if action in signal.Signals.__members__:
            os.kill(os.getpid(), signal.Signals[action])
            return None
        return action
