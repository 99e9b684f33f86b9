"""`prefstream diff`: what would change if another panel, or another calibration, answered."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from prefstream.consumer.cli.battles_file import FORMATS_HELP, input_file
from prefstream.consumer.cli.diff_reading import ClusterReading, SideReading, file_of
from prefstream.consumer.cli.diff_replay import Measuring, answer_again, exit_code_of_replay, tell_replay
from prefstream.consumer.cli.exit_codes import EXIT_REJECTED
from prefstream.consumer.cli.notes import refuse_unused
from prefstream.consumer.cli.options import with_settings
from prefstream.consumer.cli.outputs import ForceOption, check_outputs, write_output
from prefstream.consumer.cli.panel_option import leaving_at_once, panel_files
from prefstream.consumer.cli.ui.lines import print_table, say
from prefstream.consumer.cli.ui.progress import CountProgress
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.diff.sides import FileSide, PanelSide, parse_side
from prefstream.consumer.errors import UsageError
from prefstream.consumer.files.score_run import DEFAULT_CHUNK_ROWS
from prefstream.consumer.observe.logs import configure_logging
from prefstream.consumer.rescore.span import SPAN_METAVAR, TopicSpan
from prefstream.scoring.comparison.diff import DEFAULT_MOST, diff_answers
from prefstream.scoring.comparison.pairs import JoinKey
from prefstream.scoring.evaluation.bootstrap import DEFAULT_RESAMPLES, DEFAULT_SEED
from prefstream.scoring.files.battles import check_battles_file

if TYPE_CHECKING:
    from prefstream.scoring.comparison.results import AnswersDiff, ReplayFound

_TAKEN: Final = frozenset(
    name
    for name in StreamConfig.model_fields
    if name in KafkaConnection.model_fields or name in {"max_unpacked_bytes", "battles_framing"}
)
"""Settings of the service that mean here what they mean there."""

_SIDE_HELP: Final = (
    f"a range of a topic of preferences ({SPAN_METAVAR}, as for rescore), a file of answers as score and rescore write "
    "them, or a panel file (.yaml; demo: the demo's small judges), which then answers the rows of --battles."
)


@with_settings(StreamConfig, leave_out=frozenset(StreamConfig.model_fields) - _TAKEN)
def diff(
    config: StreamConfig,
    context: typer.Context,
    left: Annotated[
        str | None, typer.Argument(metavar="LEFT", show_default=False, help=f"What answers now: {_SIDE_HELP}")
    ] = None,
    right: Annotated[
        str | None, typer.Argument(metavar="RIGHT", show_default=False, help="What would answer: any of the same.")
    ] = None,
    *,
    replay: Annotated[
        str | None,
        typer.Option(
            metavar=SPAN_METAVAR,
            show_default=False,
            help="In place of LEFT and RIGHT: answers of this range of a topic of preferences, then against now. The "
            "battle of each is read from where it stands, and --panel answers it.",
        ),
    ] = None,
    panel: Annotated[
        Path | None,
        typer.Option(
            show_default=False, help="With --replay: panel file (YAML) that answers now; demo: the demo's small judges."
        ),
    ] = None,
    battles: Annotated[
        Path | None,
        typer.Option(
            parser=input_file,
            metavar="FILE",
            show_default=False,
            help=f"Battles: {FORMATS_HELP}. What a panel answers; beside answers that are there it tells prompts, by "
            "which is resampled, and rounds. Labels in it are votes.",
        ),
    ] = None,
    votes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|TOPIC",
            show_default=False,
            help="What people said of the battles: a file (rows with id and winner, or labelled battles), a topic of "
            f"votes, or a range of one ({SPAN_METAVAR}). Joined by id.",
        ),
    ] = None,
    by: Annotated[
        JoinKey | None,
        typer.Option(
            show_default="source where both sides name the same topic or file, else id",
            help="What both sides are joined by. source: where the battle stands; id: its id.",
        ),
    ] = None,
    most: Annotated[int, typer.Option(min=0, help="Battles that changed most: so many are named.")] = DEFAULT_MOST,
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Write all that was found as JSON."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Write a page that needs nothing beside it."),
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=10, help="Resamples for the intervals.")] = DEFAULT_RESAMPLES,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = DEFAULT_SEED,
    chunk: Annotated[
        int,
        typer.Option(min=1, help="Rows that a panel scores together: as score has them, for the same last bits."),
    ] = DEFAULT_CHUNK_ROWS,
    force: ForceOption = False,
) -> None:
    """Say what would change if another panel answered: two sets of answers about the same battles.

    Told are the share of changed verdicts and from which to which, the mean shift of each probability, their mean
    absolute difference and the Jensen-Shannon divergence, with 95 % intervals by bootstrap: over all battles, by judge
    (of one name on both sides), and by what the answers hold of their battles: language, length, formatting, which
    panel answered. Preferences hold no text, and none is read but what a panel is asked.

    Answers are joined by where their battle stands (serving and shadow read the same topic), or by id; of several about
    one battle the last counts. With votes it is told which side is better, or that it can't be told and about how many
    votes are missing. A panel is loaded after the other one has gone: no two need fit into memory.

    --replay asks whether answers can be given again: to the bit by judges that only count (priors, features), within
    the bounds of golden sets by models, which say the same bits in the same micro-batch alone. Told is what may be
    why not: another panel, other hashes of its judges, another device or version, battles that are gone.

    Exit codes: 0 compared (with --replay: reproduced), 1 a lasting fault (start again), or not reproduced, 2 can't be
    done as asked, 3 compared but some rows or records could not be used, 130 interrupted (nothing is written).

    For example:

        prefstream diff preferences@earliest..latest preferences.shadow@earliest..latest --votes votes
        prefstream diff old.jsonl new.jsonl --html diff.html
        prefstream diff panel.yaml recalibrated.yaml --battles judged.jsonl
        prefstream diff preferences@2026-11-01T00:00Z..latest new.jsonl --json diff.json
        prefstream diff --replay preferences@earliest..latest --panel panel.yaml
    """
    configure_logging("warning", library_level="error")
    console = Console(stderr=True)
    measuring = Measuring(most=most, resamples=bootstrap, seed=seed)
    if replay is not None:
        refuse_unused(context, ["left", "right", "battles", "votes", "by"], "with --replay")
        if panel is None:
            raise UsageError("--replay needs who answers now: name a panel file by --panel")
        check_outputs({"--json": json, "--html": html}, panel_files(panel), force=force)
        with leaving_at_once(console, "stopped: nothing is written"), ExitStack() as stack:
            asked = answer_again(config, TopicSpan.parse(replay), panel, console, stack, measuring, chunk_rows=chunk)
        _write(asked, asked.diff, json, html, console)
        tell_replay(asked, Console())
        raise typer.Exit(exit_code_of_replay(asked))
    refuse_unused(context, ["panel"], "without --replay")
    if left is None or right is None:
        raise UsageError(
            "give LEFT and RIGHT, two sides to compare, or --replay with a range of a topic of preferences"
        )
    sides = parse_side(left), parse_side(right)
    votes_file = file_of(votes)
    files = {path for path in (battles, votes_file) if path is not None}
    for side in sides:
        files |= panel_files(side.path) if isinstance(side, PanelSide) else set()
        files |= {side.path} if isinstance(side, FileSide) else set()
    if battles is not None:
        check_battles_file(battles)
    check_outputs({"--json": json, "--html": html}, files, force=force)
    with leaving_at_once(console, "stopped: nothing is written"), ExitStack() as stack:
        reading = SideReading(console, ClusterReading(config, stack), battles, chunk)
        if votes is not None:
            reading.check_votes(votes)
        tables = reading.tables(*sides)
        said = None if votes is None else reading.votes(votes, set(tables[0].ids) & set(tables[1].ids))
        with CountProgress(console, verb="measuring", unit="parts") as progress:
            found = diff_answers(
                *tables,
                rows=reading.rows,
                votes=said,
                by=by,
                rejected=reading.rejected,
                most=measuring.most,
                resamples=measuring.resamples,
                seed=measuring.seed,
                on_progress=progress.advanced,
            )
    _write(found, found, json, html, console)
    _show(found, Console())
    if reading.any_rejected:
        raise typer.Exit(EXIT_REJECTED)


def _write(
    found: AnswersDiff | ReplayFound, shown: AnswersDiff, json: Path | None, html: Path | None, console: Console
) -> None:
    from prefstream.scoring.comparison.report import render_diff

    contents: dict[Path, str] = {}
    if json:
        contents[json] = found.model_dump_json(indent=2) + "\n"
    if html:
        contents[html] = render_diff(shown)
    for path, content in contents.items():
        write_output(path, content.encode())
        say(console, f"written: {path}")


def _show(found: AnswersDiff, console: Console) -> None:
    from prefstream.consumer.cli.ui.reports import diff as ui  # with it comes what draws the page

    print_table(console, ui.change_table(found))
    print_table(console, ui.shift_table(found))
    print_table(console, ui.verdict_table(found))
    if found.voted is not None:
        print_table(console, ui.voted_table(found.voted, found.left.name, found.right.name))
    if found.most_changed:
        print_table(console, ui.changed_table(found))
    for line in ui.lines(found):
        say(console, line)
