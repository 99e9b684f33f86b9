"""An audit on a terminal: the verdict first, then what became of the records, what is wrong, and who answered.

Names of judges and panels stand in messages that anybody may have written: what a terminal could obey is escaped.
"""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from prefstream.consumer.audit.report import AuditReport, Verdict
from prefstream.consumer.audit.tally import Mark, PanelShare
from prefstream.consumer.audit.words import BREAKS, gaps, minute_of, place_of_mark, verdict_in_words
from prefstream.consumer.cli.ui.lines import print_table
from prefstream.consumer.words import escaped
from prefstream.scoring.short_hash import short_hash

_STYLES: Final[dict[Verdict, str]] = {"kept": "green", "broken": "bold red", "untold": "yellow"}

PARTITIONS_SHOWN: Final = 24
"""More are added up."""

_COLUMNS: Final = {
    "records": "records",
    "preferences": "preferences",
    "dead_letters": "dead letters",
    "open": "not due",
    "untold": "deleted?",
    "lost": "lost",
    "passed_over": "passed over",
}
_RARE: Final = {"open", "untold", "lost", "passed_over"}

PLACES_SHOWN: Final = 5
PANELS_SHOWN: Final = 12


def print_audit(console: Console, report: AuditReport, seconds: float) -> None:
    """Print what was found, on one page.

    Args:
        console: where to.
        report: what was found.
        seconds: that it took.
    """
    console.print(Text(verdict_in_words(report), _STYLES[report.verdict]))
    console.print(Text(f"{report.span} of group {report.group}, {seconds:,.1f} s", "dim"))
    console.print()
    print_table(console, _partitions(report))
    for line in gaps(report):
        console.print(Text(line, "yellow"))
    for kind, what in BREAKS.items():
        if (places := report.breaks[kind]).count:
            console.print()
            console.print(Text(f"{what}: {places.count:,}", "bold red"))
            for place in places.first[:PLACES_SHOWN]:
                console.print(Text(f"  {escaped(place)}"))
            if places.count > PLACES_SHOWN:
                console.print(Text(f"  and {places.count - PLACES_SHOWN:,} more", "dim"))
    for table in (_panels(report), _judges(report), _reasons(report)):
        if table.row_count:
            console.print()
            print_table(console, table)


def _partitions(report: AuditReport) -> Table:
    """A row for each; what is 0 everywhere is left out, so that it fits a terminal of 80 columns."""
    sums = {name: sum(getattr(one, name) for one in report.partitions) for name in _COLUMNS}
    shown = [name for name, total in sums.items() if total or name not in _RARE]
    names = _COLUMNS if report.share is None else _COLUMNS | {"untold": "no answer"}
    table = _table("partition", "range", "committed", *(names[name] for name in shown))
    for one in report.partitions[:PARTITIONS_SHOWN]:
        committed = "nothing" if one.committed is None else f"{one.committed:,}"
        figures = [_figure(getattr(one, name)) for name in shown]
        table.add_row(str(one.partition), f"{one.begin:,}..{one.end:,}", committed, *figures)
    if len(report.partitions) > 1:
        more = len(report.partitions) - PARTITIONS_SHOWN
        table.add_row("all" if more <= 0 else f"all, {more} more", "", "", *(_figure(sums[name]) for name in shown))
    return table


def _panels(report: AuditReport) -> Table:
    table = _table("panel", "calibration", "prefstream", "answers", "first", "last")
    for panel in report.panels[:PANELS_SHOWN]:
        table.add_row(
            Text(_panel(panel)),
            Text(escaped(panel.calibration or "none")),
            Text(escaped(panel.version or "unknown")),
            f"{panel.answers:,}",
            *map(_mark, (panel.first, panel.last)),
        )
    if (more := len(report.panels) - PANELS_SHOWN) > 0:
        table.add_row(f"{more} more", "", "", f"{sum(one.answers for one in report.panels[PANELS_SHOWN:]):,}", "", "")
    return table


def _panel(panel: PanelShare) -> str:
    named = "unknown" if panel.hash is None else short_hash(panel.hash)
    return escaped(f"{named} ({', '.join(panel.judges)})")


def _mark(mark: Mark) -> str:
    return f"{place_of_mark(mark)}, {minute_of(mark)}"


def _judges(report: AuditReport) -> Table:
    table = _table("judge", "answers", "left out", "recused", "cut short", "tokens cut: prompts", "responses")
    for name, judge in sorted(report.judges.items()):
        share = f" ({judge.truncated / judge.answers:.1%})" if judge.truncated else ""
        table.add_row(
            Text(escaped(name)),
            f"{judge.answers:,}",
            _figure(judge.left_out),
            _figure(judge.recused),
            f"{_figure(judge.truncated)}{share}",
            _figure(judge.dropped_prompt),
            _figure(judge.dropped_responses),
        )
    return table


def _reasons(report: AuditReport) -> Table:
    table = _table("dead letters by reason", "records", "share of all answers")
    answers = sum(one.preferences + one.dead_letters for one in report.partitions)
    for reason, count in report.reasons.items():
        table.add_row(Text(escaped(reason)), f"{count:,}", f"{count / answers:.2%}")
    return table


def _table(first: str, *others: str) -> Table:
    columns = (Column(first, overflow="fold"), *(Column(name, justify="right", overflow="fold") for name in others))
    return Table(*columns, box=None, padding=(0, 2, 0, 0), header_style="dim")


def _figure(count: int) -> str:
    return f"{count:,}" if count else "–"
