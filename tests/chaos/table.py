"""`python -m tests.chaos.table`: writes the last figures of the long runs into `tests/README.md`."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any, Final

FIGURES: Final = Path(__file__).parent / "figures"

RUNS: Final = {"three brokers": "three-brokers.json", "embedded broker": "embedded.json"}
"""What `python -m tests.chaos --json FILE` has written of 200 cycles, by the column's name."""

ALONE: Final = "alone.jsonl"
"""What tests of single faults wrote to the file that `PREFSTREAM_TEST_FIGURES` names (`tests/support/figures.py`)."""

DOCUMENT: Final = Path(__file__).parents[1] / "README.md"


def read_runs() -> dict[str, dict[str, Any]]:
    """The last figures of each run of 200 cycles."""
    return {column: json.loads((FIGURES / name).read_text()) for column, name in RUNS.items()}


def read_alone() -> list[dict[str, Any]]:
    """The last figures of faults alone, one for each time that a test was run."""
    return [json.loads(line) for line in (FIGURES / ALONE).read_text().splitlines()]


def mix_table(runs: dict[str, dict[str, Any]]) -> str:
    """A table in Markdown: each fault with how often it struck, recovery and silence in each run.

    Args:
        runs: the content of the files, by the column's name.
    """
    rows = {name: {row["fault"]: row for row in run["faults"]} for name, run in runs.items()}
    faults = sorted({fault for found in rows.values() for fault in found}, key=str.casefold)
    lines = [
        "| fault | " + " | ".join(f"{name}: times | recovery | reader's silence | stall" for name in runs) + " |",
        "|---|" + "---|---|---|---|" * len(runs),
    ]
    lines += [
        f"| {fault} | " + " | ".join(_cells(found.get(fault)) for found in rows.values()) + " |" for fault in faults
    ]
    return "\n".join(lines)


def alone_table(figures: list[dict[str, Any]]) -> str:
    """A table in Markdown: each fault with how often it was tested, recovery, and what was seen the last time."""
    found: dict[str, list[dict[str, Any]]] = {}
    for figure in figures:
        found.setdefault(figure["fault"], []).append(figure)
    lines = ["| fault | times | recovery | what is seen meanwhile |", "|---|---|---|---|"]
    for fault, struck in sorted(found.items(), key=lambda item: item[0].casefold()):
        recovery = [figure["recovery_s"] for figure in struck]
        lines.append(
            f"| {fault} | {len(struck)} | {median(recovery):.1f}, {max(recovery):.1f} | {struck[-1]['sees']} |"
        )
    return "\n".join(lines)


def with_tables(text: str) -> str:
    """The document with the tables of the last figures, each between its two comments."""
    for name, table in {"mix": mix_table(read_runs()), "alone": alone_table(read_alone())}.items():
        before, begin, rest = text.partition(f"<!-- {name}: python -m tests.chaos.table -->\n")
        _, end, after = rest.partition(f"\n<!-- /{name} -->")
        assert end, f"no place for the table {name}"
        text = f"{before}{begin}{table}{end}{after}"
    return text


def _cells(row: dict[str, Any] | None) -> str:
    if row is None:
        return " | | | "
    pairs = [
        f"{row[f'{figure}_median_s']:.1f}, {row[f'{figure}_worst_s']:.1f}" if f"{figure}_worst_s" in row else ""
        for figure in ("recovery", "silence", "stall")
    ]
    return " | ".join([str(row["times"]), *pairs])


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
