"""`prefstream score`: a file of battles, without Kafka."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from prefstream.consumer.cli.battles_file import BattlesFile
from prefstream.consumer.cli.exit_codes import EXIT_INTERRUPTED, EXIT_REJECTED
from prefstream.consumer.cli.panels import DEFAULT_PANEL, UNTRAINED, PanelOption, panel_config
from prefstream.consumer.cli.signals import stop_on_signals
from prefstream.consumer.cli.ui.lines import say
from prefstream.consumer.cli.ui.progress import FileProgress
from prefstream.consumer.errors import UsageError
from prefstream.consumer.files.score import DEFAULT_CHUNK_ROWS, ScoreSummary, check_score, panel_identity, score_file
from prefstream.consumer.files.score_output import STANDARD_OUTPUT, ScorePaths
from prefstream.consumer.files.score_progress import Checkpoint
from prefstream.consumer.files.score_rows import OutputFormat
from prefstream.consumer.garbage import loading
from prefstream.consumer.observe.logs import configure_logging
from prefstream.scoring.errors import FileError
from prefstream.scoring.panel.load import load_panel


def score(
    file: BattlesFile,
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            show_default=False,
            help="Where to write. The ending decides the format: .csv is Kaggle's submission format (id and three "
            "probabilities), .jsonl whole preferences with what each judge said. - is standard output.",
        ),
    ],
    output_format: Annotated[
        OutputFormat | None,
        typer.Option(
            "--format",
            show_default="by the ending; jsonl on standard output",
            help="lmsys: CSV with id and three probabilities; wsdm: CSV with id and winner, of which none is a tie, as "
            "the WSDM Cup wants it; jsonl: whole preferences.",
        ),
    ] = None,
    panel: PanelOption = DEFAULT_PANEL,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on where an interrupted run stopped; the result is the same, bit for bit. Begins where nothing "
            "was interrupted, so a supervisor can always give it.",
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Overwrite an output that exists, or give up an interrupted one."),
    ] = False,
    chunk: Annotated[
        int,
        typer.Option(
            min=1,
            help="Rows that are read, scored and written together: what an interruption loses at most. More sort "
            "into fuller micro-batches. Part of what decides the last bits of the result.",
        ),
    ] = DEFAULT_CHUNK_ROWS,
    publish_models: Annotated[
        bool,
        typer.Option(
            help="In preferences, pass on who wrote the responses (model_a, model_b of the row). No judge sees it "
            "either way."
        ),
    ] = True,
) -> None:
    """Score a file of battles, without Kafka.

    Rows that are no battle are named on standard error, written to OUTPUT.rejected, and don't stop the rest. While a
    run is unfinished, OUTPUT.progress says how far it came. Standard output has neither beside it.

    Exit codes: 0 all rows scored, 2 can't be done as asked, 3 some rows rejected, 130 interrupted.

    For example:

        prefstream score battles.csv -o submission.csv
        prefstream score battles.jsonl -o preferences.jsonl --panel panel.yaml
        prefstream score battles.csv -o submission.csv --resume
        prefstream score test.parquet -o submission.csv --format wsdm
        zcat battles.jsonl.gz | prefstream score - -o - | jq .preferred
    """
    configure_logging("warning", library_level="error")
    console = Console(stderr=True)
    paths = ScorePaths(output, source=file, asked_format=output_format)
    if resume and paths.finished:
        say(console, f"{output} is finished: nothing to resume (--force scores again)")
        raise typer.Exit(EXIT_REJECTED if paths.rejected.exists() else 0)
    check_score(paths, resume=resume, force=force, chunk_rows=chunk, publish_models=publish_models)
    tell = partial(say, console)
    config = panel_config(panel, tell)
    with loading():
        loaded = load_panel(config, say=tell)
    with loaded as judges:
        if not judges.trained:
            say(console, UNTRAINED)
        saved = Checkpoint.load(paths.checkpoint) if resume else None
        before = (saved.done_bytes, saved.scored + saved.rejected) if saved else (0, 0)
        with _said_how_to_resume(console, paths, _resume_command(paths, panel, chunk, publish_models=publish_models)):
            with (
                stop_on_signals("finishing the rows in hand; again stops at once, and loses only those") as stop,
                FileProgress(console, file, verb="scoring", start_bytes=before[0], start_rows=before[1]) as progress,
            ):
                summary = score_file(
                    paths,
                    judges,
                    identity=panel_identity(config, judges),
                    observer=progress,
                    stop=stop,
                    resume=resume,
                    force=force,
                    chunk_rows=chunk,
                    publish_models=publish_models,
                )
            say(console, _score_line(summary, paths))
    if not summary.complete:
        raise typer.Exit(EXIT_INTERRUPTED)
    if summary.rejected:
        raise typer.Exit(EXIT_REJECTED)


def _score_line(summary: ScoreSummary, paths: ScorePaths) -> str:
    before = f", {summary.resumed_rows:,} of both before the interruption" if summary.resumed_rows else ""
    to_file = paths.out != STANDARD_OUTPUT
    rejected = f" ({paths.rejected})" if summary.rejected and to_file else ""
    out = paths.out if to_file else "standard output"
    return (
        f"{'done' if summary.complete else 'stopped'}: {summary.scored:,} rows scored ({out}), "
        f"{summary.rejected:,} rejected{rejected}{before}, {summary.seconds:,.1f} s, "
        f"{summary.battles_per_s:,.1f} battles/s"
    )


def _resume_command(paths: ScorePaths, panel: Path, chunk: int, *, publish_models: bool) -> str:
    words = ["prefstream", "score", str(paths.source), "-o", str(paths.out)]
    if panel != DEFAULT_PANEL:
        words += ["--panel", str(panel)]
    if paths.asked_format is not None:
        words += ["--format", paths.asked_format]
    if chunk != DEFAULT_CHUNK_ROWS:
        words += ["--chunk", str(chunk)]
    if not publish_models:
        words += ["--no-publish-models"]
    return shlex.join([*words, "--resume"])


@contextmanager
def _said_how_to_resume(console: Console, paths: ScorePaths, command: str) -> Iterator[None]:
    """Whatever ends the run early, say how to go on; not when it was refused, which says itself what to do."""
    refused = False
    try:
        yield
    except (FileError, UsageError):
        refused = True
        raise
    finally:
        if paths.checkpoint.exists() and not refused:
            say(console, f"what is done is kept; go on with: {command}")
