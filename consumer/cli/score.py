"""`prefstream score`: files of battles, without Kafka."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import typer
from rich.console import Console

from prefstream.consumer.cli.battles_file import FORMATS_HELP
from prefstream.consumer.cli.exit_codes import EXIT_INTERRUPTED, EXIT_REJECTED
from prefstream.consumer.cli.panel_option import (
    DEFAULT_PANEL,
    UNTRAINED,
    PanelOption,
    panel_config,
    require_known_answers,
)
from prefstream.consumer.cli.score_inputs import ScoreInput, score_inputs, score_paths
from prefstream.consumer.cli.signals import stop_on_signals
from prefstream.consumer.cli.ui.lines import say
from prefstream.consumer.cli.ui.progress import FileProgress
from prefstream.consumer.errors import UsageError
from prefstream.consumer.files.score import ScoreJob, check_score, panel_identity, score_files
from prefstream.consumer.files.score_chunks import ChunkScorer, PanelScorer
from prefstream.consumer.files.score_output import STANDARD_OUTPUT, ScorePaths
from prefstream.consumer.files.score_progress import Checkpoint
from prefstream.consumer.files.score_rows import OutputFormat
from prefstream.consumer.files.score_run import DEFAULT_CHUNK_ROWS, RunSettings, ScoreSummary
from prefstream.consumer.observe.logs import configure_logging
from prefstream.consumer.process.garbage import loading
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.errors import FileError
from prefstream.scoring.panel.load import load_panel

Engine: TypeAlias = Literal["local", "ray"]

_RAY: Final = "Of --engine ray: "

_STOPPING: Final[dict[Engine, str]] = {
    "local": "finishing the rows in hand; again stops at once, and loses only those",
    "ray": "ending the workers: what they have in hand is scored again on resuming; again stops at once",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Who scores: a panel of this process, or workers of a Ray cluster.

    Attributes:
        engine: which of both.
        address: of the cluster; None starts one on this machine.
        workers: how many; None as many as there is room for.
        worker_cpus: of each; None is 1.
        worker_gpus: of each; None by the panel's devices.
    """

    engine: Engine
    address: str | None
    workers: int | None
    worker_cpus: float | None
    worker_gpus: float | None

    def __post_init__(self) -> None:
        """Refuse what would be ignored.

        Raises:
            UsageError: it is of the other engine.
        """
        given = self.options()
        if self.engine == "local" and given:
            raise UsageError(f"{given[0]} is of --engine ray: give that, too, or leave it out")

    def options(self) -> list[str]:
        """What is given for Ray, as words of a command line."""
        options = {
            "--address": self.address,
            "--workers": self.workers,
            "--worker-cpus": self.worker_cpus,
            "--worker-gpus": self.worker_gpus,
        }
        return [word for name, setting in options.items() if setting is not None for word in (name, str(setting))]


def score(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES",
            show_default=False,
            help=f"Battles: {FORMATS_HELP}. The fields are the contract's, Kaggle's (LMSYS, WSDM Cup) or LMArena's. "
            "Patterns (data/*.parquet, data/**/*.csv) and object stores (s3://bucket/*.jsonl; prefstream[ray]) name "
            "several.",
        ),
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            show_default=False,
            help="Where to write. The ending decides the format: .csv is Kaggle's submission format (id and three "
            "probabilities), .jsonl whole preferences with what each judge said. - is standard output. Several files "
            "are written to a folder, each under its own name: preferences, or what --format says.",
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
    engine: Annotated[
        Engine,
        typer.Option(
            help="Who scores. local: the panel, in this process. ray: workers of a Ray cluster, each with the panel; "
            "this process reads and writes, in the order of the rows, and a worker that dies is started anew."
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            show_default="that of RAY_ADDRESS, else a cluster on this machine, for this run",
            help=f"{_RAY}the cluster, as host:port, or auto for one that runs on this machine. Every "
            "node needs prefstream with the panel's extras, and the panel's files at the same paths.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, show_default="as many as there is room for", help=f"{_RAY}how many workers."),
    ] = None,
    worker_cpus: Annotated[
        float | None,
        typer.Option(min=0.01, show_default="1", help=f"{_RAY}cores of a worker, which are also its threads."),
    ] = None,
    worker_gpus: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            show_default="by the panel's devices",
            help=f"{_RAY}GPUs of a worker; 0.5 lets two share a card, whose memory must hold both panels.",
        ),
    ] = None,
) -> None:
    """Score files of battles, without Kafka.

    Rows that are no battle are named on standard error, written to OUTPUT.rejected, and don't stop the rest. While a
    run is unfinished, OUTPUT.progress says how far it came. Standard output has neither beside it.

    Exit codes: 0 all rows scored, 2 can't be done as asked, 3 some rows rejected, 130 interrupted.

    For example:

        prefstream score battles.csv -o submission.csv
        prefstream score battles.jsonl -o preferences.jsonl --panel panel.yaml
        prefstream score battles.csv -o submission.csv --resume
        prefstream score test.parquet -o submission.csv --format wsdm
        zcat battles.jsonl.gz | prefstream score - -o - | jq .preferred
        prefstream score 'data/*.parquet' -o scored/ --engine ray --address auto
    """
    configure_logging("warning", library_level="error")
    console = Console(stderr=True)
    who = EngineSettings(
        engine=engine, address=address, workers=workers, worker_cpus=worker_cpus, worker_gpus=worker_gpus
    )
    settings = RunSettings(resume=resume, force=force, chunk_rows=chunk, publish_models=publish_models)
    with tempfile.TemporaryDirectory(prefix="prefstream-", ignore_cleanup_errors=True) as folder:
        inputs = score_inputs(files, Path(folder))
        paths = score_paths(inputs, output, output_format)
        left = _unfinished(console, inputs, paths, settings)
        tell = partial(say, console)
        config = panel_config(panel, tell)
        command = _resume_command(files, output, output_format, panel, settings, who)
        with _scorer(config, who, tell) as scorer:
            if not scorer.trained:
                say(console, UNTRAINED)
            began = time.perf_counter()
            with _said_how_to_resume(console, paths, command):
                with stop_on_signals(_STOPPING[engine]) as stop:
                    summaries = score_files(_jobs(console, left, settings), scorer, settings, stop)
                said = ScoreSummary.of_all(summaries, time.perf_counter() - began, of=len(left))
                say(console, _score_line(said, output, paths))
    if not said.complete:
        raise typer.Exit(EXIT_INTERRUPTED)
    if said.rejected:
        raise typer.Exit(EXIT_REJECTED)


def _unfinished(
    console: Console, inputs: Sequence[ScoreInput], paths: Sequence[ScorePaths], settings: RunSettings
) -> list[tuple[ScoreInput, ScorePaths]]:
    """Files that are left to score, each known to work as far as can be told before judges are loaded.

    Raises:
        typer.Exit: there is none.
    """
    left = [pair for pair in zip(inputs, paths, strict=True) if not (settings.resume and pair[1].finished)]
    if not left:
        what = str(paths[0].out) if len(paths) == 1 else f"each of {len(paths)} files"
        say(console, f"{what} is finished: nothing to resume (--force scores again)")
        raise typer.Exit(EXIT_REJECTED if any(one.rejected.exists() for one in paths) else 0)
    for one, its in left:
        if one.stored:
            its.check(resume=settings.resume, force=settings.force)
        else:
            check_score(its, settings)
    return left


def _jobs(console: Console, left: Sequence[tuple[ScoreInput, ScorePaths]], settings: RunSettings) -> list[ScoreJob]:
    def progress(place: int) -> FileProgress:
        one, its = left[place]
        saved = Checkpoint.load(its.checkpoint) if settings.resume else None
        return FileProgress(
            console,
            one.name,
            verb="scoring" if len(left) == 1 else f"scoring {place + 1} of {len(left)}",
            start_bytes=saved.done_bytes if saved else 0,
            start_rows=saved.scored + saved.rejected if saved else 0,
            size=one.size,
        )

    return [
        ScoreJob(paths=its, observing=partial(progress, place), present=one.present)
        for place, (one, its) in enumerate(left)
    ]


@contextmanager
def _scorer(config: PanelConfig, who: EngineSettings, tell: Callable[[str], None]) -> Iterator[ChunkScorer]:
    """Who scores, with judges loaded."""
    if who.engine == "ray":
        from prefstream.consumer.files.ray_workers import RayWorkers

        with RayWorkers(
            config,
            address=who.address,
            workers=who.workers,
            cpus=who.worker_cpus or 1.0,
            gpus=who.worker_gpus,
            say=tell,
        ) as workers:
            yield workers
        return
    with loading(config):
        loaded = load_panel(config, say=tell)
    with loaded as judges:
        require_known_answers(judges, tell)
        yield PanelScorer(judges, panel_identity(config, judges))


def _score_line(summary: ScoreSummary, output: Path, paths: Sequence[ScorePaths]) -> str:
    before = f", {summary.resumed_rows:,} of both before the interruption" if summary.resumed_rows else ""
    to_file = output != STANDARD_OUTPUT
    there = paths[0].rejected if len(paths) == 1 else output / "*.rejected"
    rejected = f" ({there})" if summary.rejected and to_file else ""
    out = output if to_file else "standard output"
    return (
        f"{'done' if summary.complete else 'stopped'}: {summary.scored:,} rows scored ({out}), "
        f"{summary.rejected:,} rejected{rejected}{before}, {summary.seconds:,.1f} s, "
        f"{summary.battles_per_s:,.1f} battles/s"
    )


def _resume_command(
    files: Sequence[str],
    output: Path,
    output_format: OutputFormat | None,
    panel: Path,
    settings: RunSettings,
    who: EngineSettings,
) -> str:
    words = ["prefstream", "score", *files, "-o", str(output)]
    if panel != DEFAULT_PANEL:
        words += ["--panel", str(panel)]
    if output_format is not None:
        words += ["--format", output_format]
    if settings.chunk_rows != DEFAULT_CHUNK_ROWS:
        words += ["--chunk", str(settings.chunk_rows)]
    if not settings.publish_models:
        words += ["--no-publish-models"]
    if who.engine != "local":
        words += ["--engine", who.engine, *who.options()]
    return shlex.join([*words, "--resume"])


@contextmanager
def _said_how_to_resume(console: Console, paths: Sequence[ScorePaths], command: str) -> Iterator[None]:
    """Whatever ends the run early, say how to go on; not when it was refused, which says itself what to do."""
    refused = False
    try:
        yield
    except (FileError, UsageError):
        refused = True
        raise
    finally:
        if any(one.checkpoint.exists() for one in paths) and not refused:
            say(console, f"what is done is kept; go on with: {command}")
