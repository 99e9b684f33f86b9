"""`python -m tests.chaos.table`: the last figures of the long runs, as `tests/README.md` shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

FIGURES: Final = {"three brokers": Path(__file__).parent / "figures" / "three-brokers.json"}
"""What `python -m tests.chaos --json FILE` has written of 200 cycles, by the column's name."""


def fault_table(runs: dict[str, dict[str, Any]]) -> str:
    """A table in Markdown: each fault with how often it struck, recovery and silence in each run.

    Args:
        runs: the content of the files, by the column's name.
    """
    rows = {name: {row["fault"]: row for row in run["faults"]} for name, run in runs.items()}
    faults = sorted({fault for found in rows.values() for fault in found}, key=str.casefold)
    lines = [
        "| fault | " + " | ".join(f"{name}: times | recovery | reader's silence" for name in runs) + " |",
        "|---|" + "---|---|---|" * len(runs),
    ]
    lines += [
        f"| {fault} | " + " | ".join(_cells(found.get(fault)) for found in rows.values()) + " |" for fault in faults
    ]
    return "\n".join(lines)


def _cells(row: dict[str, Any] | None) -> str:
    if row is None:
        return " | | "
    pairs = [f"{row[f'{figure}_median_s']:.1f}, {row[f'{figure}_worst_s']:.1f}" for figure in ("recovery", "silence")]
    return " | ".join([str(row["times"]), *pairs])


def read_figures() -> dict[str, dict[str, Any]]:
    """The last figures of each run."""
    return {name: json.loads(path.read_text()) for name, path in FIGURES.items()}


if __name__ == "__main__":
    print(fault_table(read_figures()))  # noqa: T201 - what it is for
