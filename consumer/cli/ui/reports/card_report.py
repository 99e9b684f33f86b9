"""A report on a graphics card as a person reads it: a row for each section, and what it found in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from prefstream.consumer.cli.ui.lines import print_table, say

if TYPE_CHECKING:
    from prefstream.scoring.bench.gpu.report import CardReport, Section

_STYLES: Final = {"passed": "green", "failed": "bold red", "skipped": "yellow"}


def print_card_report(report: CardReport, console: Console) -> None:
    """All sections, and whether they passed.

    Args:
        report: of `bench gpu`.
        console: to print on.
    """
    table = Table("section", "result", "s", "found", title=f"{report.device}, {report.battles} battles")
    for section in report.sections:
        table.add_row(
            section.name,
            Text(section.status, style=_STYLES[section.status]),
            f"{section.seconds:.0f}",
            Text("\n".join(_lines(section))),
        )
    print_table(console, table)
    failed = [section.name for section in report.sections if section.status == "failed"]
    skipped = [section.name for section in report.sections if section.status == "skipped"]
    say(console, f"failed: {', '.join(failed)}" if failed else "no section failed")
    if skipped:
        say(console, f"skipped, so nothing is known of it: {', '.join(skipped)}")


def _lines(section: Section) -> list[str]:
    reason = [f"{section.status}: {section.reason}"] if section.reason else []
    return [*reason, *section.told, *(f"  at {place}" for place in section.where[-3:])]
