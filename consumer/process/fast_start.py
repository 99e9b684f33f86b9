"""Commands that score start again with settings that make it fast, before anything is imported that takes time.

What the process had imported by then would have to be paid twice.
"""

import sys
from typing import Final

from prefstream.consumer.early_signals import hold_signals_back

SCORING: Final = frozenset(
    {
        "demo",
        "run",
        "score",
        "rescore",
        "diff",
        "evaluate",
        "finetune",
        "adapters",
        "calibrate",
        "golden",
        "doctor",
        "bench",
    }
)
"""Commands that load judges, or measure them. No option of the program itself stands before a command."""


def start_fast() -> None:
    """Apply the settings if the command scores; does not return where the process has to start again."""
    if SCORING.intersection(sys.argv[1:2]):
        from prefstream.scoring.runtime import ensure_fast_process

        ensure_fast_process(hold_signals_back)
