"""What faults cost: tests print it, and keep it for the tables of the documentation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

ENV_FIGURES: Final = "PREFSTREAM_TEST_FIGURES"
"""Names the file that gets the figures, one JSON object a line: tests of several workers append to it."""


def record(fault: str, recovery_s: float, sees: str) -> None:
    """Report what a fault cost.

    Args:
        fault: what went wrong, in a few words, with the broker where that matters.
        recovery_s: from the end of the fault until readers see all answers, in seconds.
        sees: what a reader or an operator sees meanwhile.
    """
    figure = {"fault": fault, "recovery_s": round(recovery_s, 2), "sees": sees}
    line = json.dumps(figure, ensure_ascii=False)
    print(line)  # noqa: T201 - shown by pytest with -s or -rP
    if path := os.environ.get(ENV_FIGURES):
        with Path(path).open("a") as file:
            file.write(line + "\n")
