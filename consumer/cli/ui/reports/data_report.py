"""Shows people what a labelled file holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from prefstream.consumer.words import counted
from prefstream.schemas import OUTCOMES
from prefstream.scoring.files.data_report import (
    LENGTH_BUCKETS,
    UNKNOWN,
    DataReport,
    OutcomeCounts,
    by_size,
    outcome_shares,
)

MAX_SHOWN_REJECTED: Final = 5
"""Rejected rows named: one shows what is wrong, some whether they are alike. The receipt has more."""

MAX_SHOWN_GROUPS: Final = 12
"""Sources and tiers shown, the largest; the receipt has more."""


def render(report: DataReport) -> RenderableType:
    """A few lines and a table of outcomes, for a `rich` console."""
    parts: list[RenderableType] = [_headline(report), *_rejected_lines(report), *_warned_lines(report)]
    if report.usable:
        parts += [Text(), _outcome_table(report), Text(), _facts(report)]
    return Group(*parts)


def _headline(report: DataReport) -> Text:
    told = [counted(report.rows, "row"), f"{report.usable:,} usable"]
    if report.rejected:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in report.rejected.most_common())
        told.append(f"{report.rejected.total():,} rejected ({reasons})")
    told.append(counted(report.prompts, "prompt"))
    optional = {
        "duplicate id" if report.duplicates == 1 else "duplicate ids": report.duplicates,
        "with split votes": report.soft,
        "of weight 0": report.weightless,
        "ties because both answers were bad": report.both_bad,
    }
    told += [f"{count:,} {what}" for what, count in optional.items() if count]
    return Text(", ".join(told), "bold")


def _rejected_lines(report: DataReport) -> list[Text]:
    shown = report.first_rejected[:MAX_SHOWN_REJECTED]
    lines = [Text(f"  line {line}: {row}", "yellow") for line, row in shown]
    left = report.rejected.total() - len(shown)
    return [*lines, Text(f"  ... and {left:,} more", "yellow")] if left else lines


def _warned_lines(report: DataReport) -> list[Text]:
    return [Text(f"  warning, {kind}: {kind.warning}", "yellow") for kind in report.warnings]


def _outcome_table(report: DataReport) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("outcomes", overflow="fold")
    for head in ("rows", *OUTCOMES):
        table.add_column(head, justify="right", no_wrap=True)
    _add_counts(table, "all", report.outcomes)
    if report.outcomes_with_ties.total() < report.usable:
        _add_counts(table, "ties possible", report.outcomes_with_ties)
    for head, groups in (("tier", report.tiers), ("source", report.sources)):
        if set(groups) != {UNKNOWN}:
            _add_groups(table, head, groups)
    return table


def _add_groups(table: Table, head: str, groups: Mapping[str, OutcomeCounts]) -> None:
    ordered = by_size(groups)
    for name, counts in ordered[:MAX_SHOWN_GROUPS]:
        _add_counts(table, f"{head} {name}", counts)
    left = ordered[MAX_SHOWN_GROUPS:]
    if left:
        together = sum((counts for _, counts in left), OutcomeCounts())
        _add_counts(table, f"{len(left)} more", together)


def _add_counts(table: Table, name: str, counts: OutcomeCounts) -> None:
    shares = [f"{share:.1%}" for share in outcome_shares(counts).values()]
    table.add_row(Text(name), f"{counts.total():,}", *shares)


def _facts(report: DataReport) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    if set(report.languages) != {UNKNOWN}:
        table.add_row("languages", Text(_counted(report.languages)))
    table.add_row("rounds", Text(_counted(report.rounds)))
    table.add_row("longer response", Text(_lengths(report)))
    return table


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in counts.items())


def _lengths(report: DataReport) -> str:
    edges = report.longer_chars
    inner = ", ".join(f"{edge / LENGTH_BUCKETS:.0%} up to {edges[edge]:,}" for edge in range(1, LENGTH_BUCKETS))
    told = f"{edges[0]:,} to {edges[-1]:,} characters: {inner}"
    if report.longer_wins is not None:
        told += f"\nwins {report.longer_wins:.1%} of {report.length_decided:,} decided battles"
    return told
