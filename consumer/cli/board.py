"""`prefstream board`: who leads, how sure that is, and whether the judges can be trusted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import typer
from rich.console import Console

from prefstream.consumer.board.report.choices import Method, Step, StoredTableName, Window
from prefstream.consumer.board_config import BoardConfig
from prefstream.consumer.cli.battles_file import FORMATS_HELP, input_file
from prefstream.consumer.cli.exit_codes import EXIT_INTERRUPTED, EXIT_REJECTED
from prefstream.consumer.cli.notes import notes_of, refuse_unused
from prefstream.consumer.cli.options import with_settings
from prefstream.consumer.cli.quiet import client_silenced
from prefstream.consumer.cli.serving import open_log, serve_until_signal
from prefstream.consumer.cli.signals import stop_on_signals
from prefstream.consumer.cli.ui.lines import say
from prefstream.consumer.cli.ui.progress import CountProgress, FileProgress
from prefstream.consumer.errors import UsageError
from prefstream.consumer.observe.logs import configure_logging
from prefstream.consumer.process.garbage import keep_what_is_loaded
from prefstream.consumer.words import counted

if TYPE_CHECKING:
    from prefstream.consumer.board.files import FedRows
    from prefstream.consumer.board.report.payloads import BoardQuery
    from prefstream.consumer.board.report.reports import Reports

OutputFormat: TypeAlias = Literal["table", "json", "csv", "jsonl"]

_OF_SERVICE: Final = (
    "board_http_host",
    "board_http_port",
    "board_http_names",
    "board_root_path",
    "board_refresh_s",
    "board_allow_battles",
    "board_show_texts",
    "group_id",
    "battles_topic",
    "dead_letters_topic",
)
_OF_TOPICS: Final = ("board_file", "board_vote_window", "board_max_join_rows")
_OF_QUERY: Final = ("method", "style_control", "language", "window", "step")
_OF_ONCE: Final = ("output_format", "table", *_OF_QUERY)

STOP_S: Final = 20.0
"""For the end of the service: answers under way get 5 s, what is being computed likewise, brokers that are away more.
Kubernetes kills after 30 s. Nothing is lost: what was read is in the file as far as its offsets say."""

_FOR_EVER: Final = timedelta(days=365_000)
"""How long votes of a file are waited for."""

_UNUSED_TOPICS: Final = ("review_topic", "shadow_topic")
"""That the board neither reads nor writes."""


@with_settings(BoardConfig, leave_out=_UNUSED_TOPICS, own_prefix="board_")
def board(
    config: BoardConfig,
    context: typer.Context,
    *,
    once: Annotated[
        bool,
        typer.Option(
            "--once",
            help="Read both topics to where they end now, print the board, and leave nothing behind: no file, and no "
            "dead letters. With --file it goes on from there, and does as the service does.",
        ),
    ] = False,
    preferences: Annotated[
        Path | None,
        typer.Option(
            parser=input_file,
            metavar="FILE",
            show_default="the topic",
            help="With --once: preferences from this file instead, JSONL as `score` writes it or as the topic has it; "
            "compressed ones (.gz, .zst) are unpacked.",
        ),
    ] = None,
    votes: Annotated[
        Path | None,
        typer.Option(
            parser=input_file,
            metavar="FILE",
            show_default="none",
            help=f"With --preferences: what people said, as `evaluate` reads it or as the votes topic has it: "
            f"{FORMATS_HELP}. A row is one vote. Where preferences say nothing of models, language and style, that is "
            "taken from here, too.",
        ),
    ] = None,
    output_format: Annotated[
        OutputFormat,
        typer.Option(
            "--format",
            help="With --once: table for people, json (what GET /api/v1/board answers), csv, one table of it, or "
            "jsonl, the battles that a person should look at, one a line. In CSV a text that begins like a formula "
            "gets an apostrophe before it.",
        ),
    ] = "table",
    table: Annotated[
        StoredTableName,
        typer.Option("--table", help="With --format csv: which."),
    ] = "models",
    method: Annotated[
        Method,
        typer.Option(
            "--method",
            help="With --once: what strengths come from. votes: people alone; judges: the panel alone, with whatever "
            "bias it has; both: votes take out the judges' bias, judges narrow the intervals (prediction-powered "
            "inference).",
        ),
    ] = "both",
    style_control: Annotated[
        bool,
        typer.Option("--style-control", help="With --once: take the effect of length and markdown out of strengths."),
    ] = False,
    language: Annotated[
        str | None,
        typer.Option("--language", show_default="all", help="With --once: only battles of this language."),
    ] = None,
    window: Annotated[
        Window,
        typer.Option("--window", help="With --once: only battles of the last week or day."),
    ] = "all",
    step: Annotated[
        Step,
        typer.Option("--step", help="With --once: length of the slices of time, in JSON and CSV."),
    ] = "day",
) -> None:
    """Tell who leads, how sure that is, and whether the judges can be trusted: from votes and preferences.

    Reads the topics of preferences and votes, keeps what it needs in one SQLite file, and answers a JSON API under
    /api/v1 (described by /api/v1/openapi.json), /livez, /readyz and /metrics, until SIGTERM or SIGINT. Started again
    it goes on where it stopped; without its file it begins anew, as far back as the topics go. No text of a battle is
    kept, and no name of a voter; --show-texts fetches one when somebody asks for it.

    With --once it prints the board and ends; with --preferences it needs no Kafka.

    Ratings are on Elo's scale: 400 points are odds of 10 to 1, and the mean is 1000. Intervals are 95 %.

    Exit codes: 0 stopped or printed, 1 a lasting fault (start again), 2 can't be done as asked, 3 printed but some rows
    of a file could not be used, 130 interrupted.

    For example:

        prefstream board --bootstrap-servers kafka:9092 --file /var/lib/prefstream/board.sqlite
        prefstream board --once --style-control
        prefstream board --preferences preferences.jsonl --votes judged.csv
        prefstream board --once --format csv --table pairs > pairs.csv
        prefstream board --once --format jsonl > to-review.jsonl
    """
    if preferences is None and votes is not None:
        raise UsageError("--votes: no effect without --preferences FILE, which it is matched with by id")
    if not (once or preferences):
        refuse_unused(context, _OF_ONCE, "without --once")
        _serve(config, context)
        return
    refuse_unused(context, _OF_SERVICE, "with --once, which serves nothing")
    if output_format != "csv":
        refuse_unused(context, ("table",), "without --format csv")
    if output_format == "table":
        refuse_unused(context, ("step",), "with --format table, which has no slices of time")
    if output_format == "jsonl":
        refuse_unused(context, _OF_QUERY, "with --format jsonl, which has the battles to look at, of all there are")
    configure_logging("warning", "console", library_level="error")
    for note in notes_of(context):
        typer.echo(f"prefstream: {note}", err=True)
    from prefstream.consumer.board.one_blas_thread import one_blas_thread  # numpy comes along
    from prefstream.consumer.board.report.payloads import BoardQuery

    query = BoardQuery(method=method, style_control=style_control, language=language, window=window, step=step)

    def tell(reports: Reports) -> None:
        with one_blas_thread():
            _print(reports, query, output_format, table)

    if preferences is not None:
        refuse_unused(context, _OF_TOPICS, "with --preferences, which is read instead of topics")
        rejected = _from_files(config, preferences, votes, tell)
        if rejected:
            raise typer.Exit(EXIT_REJECTED)
    else:
        file = config.board_file if _is_given(context, "board_file") else None
        _from_topics(config, file, tell)


def _from_files(config: BoardConfig, preferences: Path, votes: Path | None, tell: Callable[[Reports], None]) -> int:
    """Read files and tell the board; returns how many rows could not be used."""
    from prefstream.consumer.board.files import check_preferences_file, feed
    from prefstream.consumer.board.report.reports import Reports, ReportSettings
    from prefstream.consumer.board.store.store import Store
    from prefstream.consumer.votes.file import check_votes_file

    console = Console(stderr=True)
    check_preferences_file(preferences)
    if votes is not None:
        check_votes_file(votes)
    now = datetime.now(UTC)
    with Store(vote_window=_FOR_EVER, max_join_rows=sys.maxsize) as store:
        fed = feed(store, preferences, votes, now=now, watch=lambda file: FileProgress(console, file, verb="reading"))
        if fed.completed:
            say(console, f"{counted(fed.completed, 'preference')} got names, language or style from {votes}")
        for line in _doubts(fed, preferences, votes):
            say(console, line)
        tell(Reports(store.reader(), ReportSettings.of(config), now=lambda: now))
    return fed.rejected


def _doubts(fed: FedRows, preferences: Path, votes: Path | None) -> Iterator[str]:
    """What looks as if a file were the wrong one."""
    if not fed.preferences:
        wrote = "what prefstream score wrote into a .jsonl file"
        yield f"no row of {preferences} is a preference; --preferences takes {wrote}"
    if votes is not None and not fed.votes:
        yield f"no row of {votes} is a vote; --votes takes battles that people judged, or records of the votes topic"
    elif fed.preferences and fed.unmatched:
        yield f"{counted(fed.unmatched, 'vote')} of {fed.votes:,} without a battle in {preferences}: ids are compared"


def _from_topics(config: BoardConfig, file: Path | None, tell: Callable[[Reports], None]) -> None:
    """Read both topics to where they end now, and tell the board."""
    from prefstream.consumer.board.ingest.ingest import BoardIngest
    from prefstream.consumer.board.report.reports import Reports, ReportSettings
    from prefstream.consumer.board.report.surroundings import Surroundings
    from prefstream.consumer.board.service import open_store

    console = Console(stderr=True)
    with client_silenced(), open_store(config, file) as store:
        # Without a file it only looks: it changes nothing on the brokers, and needs no right to.
        ingest = BoardIngest(config, store, broker_timeout_s=config.broker_timeout_s, dead_letters=file is not None)
        with (
            stop_on_signals("stopped: nothing is printed") as stop,
            CountProgress(console, verb="reading", unit="records") as progress,
        ):
            ingest.run(stop, on_progress=progress.advanced)
        if stop.is_set():
            raise typer.Exit(EXIT_INTERRUPTED)
        tell(Reports(store.reader(), ReportSettings.of(config), around=Surroundings(behind=ingest.behind)))


def _serve(config: BoardConfig, context: typer.Context) -> None:
    """Serve until a signal."""
    from prefstream.consumer.board.service import BoardService

    open_log(config, context)
    serve_until_signal(BoardService(config, on_serving=lambda _url: keep_what_is_loaded()), stop_s=STOP_S)


def _print(reports: Reports, query: BoardQuery, output_format: OutputFormat, table: StoredTableName) -> None:
    if output_format == "csv":
        sys.stdout.write(reports.csv(table, query))
        return
    if output_format == "jsonl":
        sys.stdout.write(reports.review_lines())
        return
    report = reports.board(query)
    if output_format == "json":
        sys.stdout.write(report.model_dump_json() + "\n")
        return
    from prefstream.consumer.cli.ui.board import render

    console = Console()
    console.print(render(report, console.width), highlight=False)


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether it stands on the command line: a variable may be for the service."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
