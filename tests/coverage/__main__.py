"""`python -m tests.coverage`: how often intervals of strengths hold the truth, and how wide they are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from prefstream.scoring.atomic_file import write_atomically
from tests.coverage.measure import SETTINGS, Coverage, Figures, measure

FILE: Final = TypeAdapter(list[Figures])

TITLES: Final = (
    "setting",
    "votes: coverage",
    "judges: coverage",
    "both: coverage",
    "both: ranks",
    "width, both / votes",
    "of the worst model",
    "spread of estimates, both / votes",
    "R^2 allows",
    "lambda",
    "judges unused",
)


def coverage(
    *,
    repetitions: Annotated[int, typer.Option(min=2, help="Of each setting.")] = 1_000,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 1,
    only: Annotated[str, typer.Option(help="Only settings whose name contains this.")] = "",
    processes: Annotated[int, typer.Option(min=1, help="That share the work.")] = 1,
    out: Annotated[
        Path, typer.Option("--json", resolve_path=True, help="Figures; settings that stand in it already are left out.")
    ] = Path("coverage.json"),
) -> None:
    """20 models, 50,000 battles, 1,000 votes, judges with biases: votes alone, judges alone, and both.

    Exit codes: 0 all figures of both are within their bounds, 1 not.
    """
    console = Console(width=None if sys.stdout.isatty() else 160)  # a log file has no width
    known = FILE.validate_json(out.read_bytes()) if out.exists() else []
    figures = {one.setting: one for one in known if (one.repetitions, one.seed) == (repetitions, seed)}
    chosen = [setting for setting in SETTINGS if only in setting.name]
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    ) as progress:
        for setting in chosen:
            if setting.name in figures:
                continue
            task = progress.add_task(setting.name, total=repetitions)

            def tell(count: int, task: TaskID = task) -> None:
                progress.advance(task, count)

            figures[setting.name] = measure(setting, repetitions, seed, processes=processes, on_done=tell)
            write_atomically(out, FILE.dump_json(list(figures.values()), indent=1) + b"\n")
    told = [figures[setting.name] for setting in chosen]
    for line in table(told):
        typer.echo(line)
    if not all(one.is_within_bounds for one in told):
        raise typer.Exit(1)


def table(figures: list[Figures]) -> Iterator[str]:
    """The figures as rows of Markdown."""
    yield f"| {' | '.join(TITLES)} |"
    yield "|---" * len(TITLES) + "|"
    for one in figures:
        covered = (_covered(each) for each in (one.votes, one.judges, one.both))
        widths = (f"{each:.3f}" for each in (one.width, one.width_of_worst, one.spread))
        theory = "-" if one.theory is None else f"{one.theory:.3f}"
        cells = (one.setting, *covered, f"{100 * one.both.ranks:.1f}", *widths, theory)
        yield f"| {' | '.join((*cells, f'{one.lambda_:.2f}', f'{one.none_used:.2f}'))} |"


def _covered(coverage: Coverage) -> str:
    return f"{100 * coverage.mean:.1f} ({100 * coverage.lowest:.1f} to {100 * coverage.highest:.1f})"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # matrices of 20 x 20 lose more to threads than they gain
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(coverage)
    app()
