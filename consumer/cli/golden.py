"""`prefstream golden`: battles with the answers that a panel is known to give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from prefstream.consumer.cli.battles_file import BattlesFile
from prefstream.consumer.cli.exit_codes import EXIT_FAULT
from prefstream.consumer.cli.outputs import ForceOption, check_outputs, write_output
from prefstream.consumer.cli.panel_option import (
    DEFAULT_PANEL,
    UNTRAINED,
    PanelOption,
    leaving_at_once,
    panel_config,
    panel_files,
)
from prefstream.consumer.cli.strict_command import StrictCommand
from prefstream.consumer.cli.ui.lines import print_table, say
from prefstream.consumer.cli.ui.progress import FileProgress
from prefstream.consumer.errors import UsageError
from prefstream.consumer.observe.logs import configure_logging
from prefstream.consumer.process.garbage import loading
from prefstream.consumer.words import counted
from prefstream.schemas import Battle
from prefstream.scoring.files.battles import check_battles_file, read_battles
from prefstream.scoring.files.rows import RejectedRow
from prefstream.scoring.golden.check import GoldenReport, check_golden
from prefstream.scoring.golden.choose import coverage
from prefstream.scoring.golden.make import DEFAULT_BATTLES, make_golden
from prefstream.scoring.golden.record import MOST_BATTLES
from prefstream.scoring.panel.load import load_panel, read_golden

_HELP: Final = "Battles with the answers that a panel is known to give: make a set of them, check a panel by it."

golden = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help=_HELP)


@golden.callback()
def _group() -> None:
    """Battles with the answers that a panel is known to give: make a set of them, check a panel by it."""


@golden.command(cls=StrictCommand)
def make(
    file: BattlesFile,
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", show_default=False, help="Where to write the set, such as golden.jsonl."),
    ],
    panel: PanelOption = DEFAULT_PANEL,
    battles: Annotated[
        int,
        typer.Option(min=1, max=MOST_BATTLES, help="How many; each check scores them all, in one batch."),
    ] = DEFAULT_BATTLES,
    force: ForceOption = False,
) -> None:
    """Record what a panel that can be trusted answers to some battles of a file.

    Chosen are battles that differ: in language where the file tells it, length, rounds, and in the verdict, for which
    the panel scores four times as many once. Which ones they are depends on their content alone. The set holds their
    texts.

    In the panel file, `golden: golden.jsonl` names the set. `run` is not ready before the panel gives its answers, and
    asks again while it serves; `score` and `doctor --load` check it, too. Whatever changes the answers on purpose, such
    as another adapter or calibration, wants a new set.

    Exit codes: 0 written, 1 the panel does not give the same answers twice, 2 can't be done as asked, 130 interrupted
    (nothing is written).

    For example:

        prefstream golden make battles.jsonl --panel panel.yaml -o golden.jsonl
    """
    configure_logging("warning", library_level="error")
    console = Console(stderr=True)
    tell = partial(say, console)
    check_battles_file(file)
    check_outputs({"--output": output}, {file, *panel_files(panel)}, force=force)
    # The set that it names may be what is to be made.
    config = panel_config(panel, tell).model_copy(update={"golden": None})
    with loading(config):
        loaded = load_panel(config, say=tell)
    with loaded as judges, leaving_at_once(console, "stopped: nothing is written"):
        if not judges.trained:
            tell(UNTRAINED)
        made = make_golden(judges, _battles(file, console), source=str(file), count=battles, say=tell)
    write_output(output, made.encode())
    verdicts = [(known.battle, known.panel.preferred) for known in made.answers]
    print_table(Console(), _coverage_table(coverage(verdicts)))
    if len(made.answers) < battles:
        tell(f"{file} has only {len(made.answers)} battles that a set can have")
    tell(f"{output} is written; in the panel file: golden: {output.name}")


@golden.command(cls=StrictCommand)
def check(panel: PanelOption = DEFAULT_PANEL) -> None:
    """Check whether a panel gives the answers of the golden set that its file names.

    Exit codes: 0 it does; 1 it does not, or is another panel than the set is of; 2 can't be done as asked.

    For example:

        prefstream golden check --panel panel.yaml
    """
    configure_logging("warning", library_level="error")
    console = Console(stderr=True)
    config = panel_config(panel, partial(say, console))
    known = read_golden(config)
    if known is None:
        raise UsageError(
            f"{panel} names no golden set: make one by prefstream golden make FILE --panel {panel} -o golden.jsonl, "
            "and write golden: golden.jsonl into the panel file"
        )
    with loading(config):
        loaded = load_panel(config, say=partial(say, console))
    with loaded as judges, leaving_at_once(console, "stopped"):
        report = check_golden(judges, known)
    if report.findings:
        print_table(Console(), _findings_table(report))
    say(Console(), report.problem or report.summary)
    if not report.passed:
        raise typer.Exit(EXIT_FAULT)


def _battles(file: Path, console: Console) -> Iterator[Battle]:
    """The battles of a file; rows that are none are named."""
    with FileProgress(console, file, verb="reading") as progress:
        for rows, record in enumerate(read_battles(file), start=1):
            if isinstance(record.content, RejectedRow):
                progress.rejected(record.line, record.content)
            else:
                yield record.content
            progress.advanced(record.done_bytes, rows)


def _coverage_table(coverage: Mapping[str, Counter[str]]) -> Table:
    """How many of a set's battles there are of each kind."""
    table = Table("", "battles", title=counted(sum(coverage["verdict"].values()), "battle"))
    for trait, counts in coverage.items():
        table.add_row(trait, Text(", ".join(f"{value} {count}" for value, count in counts.most_common())))
    return table


def _findings_table(report: GoldenReport) -> Table:
    """How near each judge's answers are to the known ones, and the panel's."""
    table = Table(title=f"{report.source}: {counted(report.battles, 'battle')}, {report.seconds:.1f} s")
    table.add_column("", overflow="fold")
    for name in ("must be", "answered otherwise", "off by, mean", "at most"):
        table.add_column(name, justify="right")
    table.add_column("")
    for finding in report.findings:
        table.add_row(
            Text(finding.name),
            "as known, to the bit" if finding.to_the_bit else f"within {finding.bound:g}",
            f"{finding.changed}",
            f"{finding.mean:.1e}",
            f"{finding.largest:.1e}",
            Text("passed", "green") if finding.passed else Text("failed", "bold red"),
        )
    return table
