"""`prefstream demo`: the whole way of a battle, to look at."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel as Box
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from prefstream.consumer.cli.battles_file import FORMATS_HELP, input_file
from prefstream.consumer.cli.exit_codes import EXIT_FAULT, leave_now
from prefstream.consumer.cli.panels import DEFAULT_PANEL, PanelOption, panel_config, say
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.demo.demo import (
    Agreement,
    Check,
    DemoEvent,
    DemoRun,
    agreement,
    check,
    demo_broker,
    file_entries,
    produce,
    sample_entries,
    streaming,
)
from prefstream.consumer.demo.voters import Voters, voting
from prefstream.consumer.errors import StreamError
from prefstream.consumer.observe.logs import configure_logging
from prefstream.consumer.stream.messages import Message
from prefstream.consumer.stream.pipeline import Scored
from prefstream.schemas import OUTCOMES, Outcome, Preference, Probabilities, decode_preference
from prefstream.scoring.config import ModelJudgeConfig, PanelConfig
from prefstream.scoring.panel.panel import Panel

if TYPE_CHECKING:
    from prefstream.consumer.demo.board import DemoBoard

VERDICTS_SHOWN: Final = 12
"""Fits, with its frame and the progress bar, into the 24 lines of the smallest terminal."""

DEAD_LETTERS_SHOWN: Final = 3
"""They stay in sight, below the verdicts that pass by."""

JUDGES_LOAD: Final = (
    "Judges are loading: verdicts come in a moment. The first time, their models are fetched and converted."
)
"""What the page says until battles can be read."""

REFRESH_S: Final = 0.2
NO_PROGRESS_S: Final = 300.0
"""The slowest batch on the slowest laptop we know takes ten seconds."""

_SHORT: Final[dict[Outcome, str]] = {"model_a": "A", "model_b": "B", "tie": "tie"}


def demo(
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(
            help="A real cluster, HOST:PORT; topics and group get names of their own, and are deleted at the end. "
            "Default: an embedded broker.",
        ),
    ] = None,
    battles: Annotated[
        Path | None,
        typer.Option(
            parser=input_file,
            metavar="FILE",
            help=f"Your own battles: {FORMATS_HELP}. With what people said, where it tells.",
        ),
    ] = None,
    panel: PanelOption = DEFAULT_PANEL,
    keep_running: Annotated[
        bool,
        typer.Option(help="Stay up for more battles, and keep the page, until Ctrl-C."),
    ] = False,
    board: Annotated[
        bool,
        typer.Option(
            "--board/--no-board",
            help="Serve the live page of it, on this machine alone: port 9465, or a free one where that is taken.",
        ),
    ] = True,
    svg: Annotated[Path | None, typer.Option(help="Save the last screen as a picture.")] = None,
) -> None:
    """Watch real battles being scored: broker, two judges, exactly-once stream, and a check of what came out.

    A page in the browser shows it live: verdicts as they come, who leads by what people say of them, a form to try a
    battle of your own. Its address is told first.

    Needs no Docker and no account. The first start fetches and converts two small models (about a minute); they are
    kept in the user's cache folder.

    Examples: `prefstream demo` · `prefstream demo --battles my.jsonl` · `prefstream demo --keep-running`
    """
    configure_logging("error", "console")  # its malformed events are on the screen already
    console = Console(record=svg is not None, width=100 if svg else None)
    entries = file_entries(battles, on_bad_row=console.print) if battles else sample_entries()
    notes: list[str] = []
    judges_wanted = panel_config(panel, notes.append)
    with demo_broker(bootstrap_servers, partial(say, console)) as config, ExitStack() as stack:
        page = stack.enter_context(_page(config, console)) if board else None
        judges = _load_judges(judges_wanted, notes, console)
        screen = Screen(console, judges, total=len(entries))
        committed: queue.SimpleQueue[Scored] = queue.SimpleQueue()
        with streaming(config, judges, on_committed=committed.put) as run:
            if page:
                page.notice = None
            run.sent = produce(config, entries)
            with voting(config) as voters:
                _watch(run, committed, screen, voters)
            run.raise_error()
            result = check(config, run.sent)
            people = agreement(result.preferences, run.sent)
            console.print(_summary(result, people, voters.cast, screen, judges, config, page))
            if svg:
                console.save_svg(str(svg), title="prefstream demo")
            if keep_running and not run.finished.is_set():
                _keep_running(run, committed, console, page)
    if run.service.gave_up:
        leave_now(0 if result.exact else EXIT_FAULT)
    if not result.exact:
        raise typer.Exit(EXIT_FAULT)


class Screen:
    """The live picture: the last verdicts, a progress bar, battles per second.

    Args:
        console: where to draw.
        judges: the panel; each judge gets a column.
        total: events to come.
    """

    def __init__(self, console: Console, judges: Panel, total: int) -> None:
        self.console = console
        self.seconds = 0.0
        self._names = [judge.name for judge in judges.judges]
        self._verdicts: list[tuple[RenderableType, ...]] = []
        self._dead_letters: list[tuple[RenderableType, ...]] = []
        self._started: float | None = None
        self._done = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[rate]}"),
            console=console,
        )
        self._task: TaskID = self._progress.add_task("events", total=total, rate="")

    @property
    def rate(self) -> float:
        """Events per second since the first one was waited for."""
        return self._done / self.seconds if self.seconds else 0.0

    def start(self) -> None:
        """The clock starts when battles are there to be read."""
        self._started = time.monotonic()

    def add(self, message: Message, entry: DemoEvent) -> None:
        """Show one more verdict."""
        self._done += 1
        self.seconds = time.monotonic() - (self._started or time.monotonic())
        if message.reason is None and message.value:
            self._verdicts.append(_verdict_row(entry, decode_preference(message.value), self._names))
        else:
            self._dead_letters.append(_dead_letter_row(entry.name, str(message.reason), len(self._names)))
        self._progress.update(self._task, completed=self._done, rate=f"{self.rate:.1f}/s")

    def render(self) -> RenderableType:
        """The picture as it is now."""
        table = Table(expand=True, box=None, pad_edge=False, header_style="bold")
        table.add_column("battle", no_wrap=True, overflow="ellipsis", min_width=11)
        table.add_column("prompt", no_wrap=True, overflow="ellipsis", ratio=1, style="dim")
        for name in self._names:
            table.add_column(f"{name}\n A   B  tie", no_wrap=True, justify="center", min_width=12)
        table.add_column("panel\n A   B  tie", no_wrap=True, justify="center", min_width=12)
        table.add_column("says", no_wrap=True, min_width=4)
        table.add_column("people", no_wrap=True, min_width=6)
        dead_letters = self._dead_letters[-DEAD_LETTERS_SHOWN:]
        for row in (*self._verdicts[len(dead_letters) - VERDICTS_SHOWN :], *dead_letters):
            table.add_row(*row)
        return Box(Group(table, Text(), self._progress), title="[bold]prefstream[/] which answer will people prefer?")


@contextmanager
def _page(config: StreamConfig, console: Console) -> Iterator[DemoBoard]:
    """Serve the page, and say where."""
    from prefstream.consumer.demo.board import demo_board

    with demo_board(config) as page:
        page.notice = JUDGES_LOAD
        console.print(Text.assemble("The live page: ", (page.url, "bold cyan")), soft_wrap=True)
        yield page


def _load_judges(wanted: PanelConfig, notes: Sequence[str], console: Console) -> Panel:
    from prefstream.scoring.demo.judges import prepare_bases
    from prefstream.scoring.panel.load import load_panel

    def tell(what: str) -> None:
        console.print(what, style="dim", markup=False, highlight=False)

    for note in notes:
        tell(note)
    with _bars_of_conversions(console) as on_progress:
        bases = {judge.base for judge in wanted.judges if isinstance(judge, ModelJudgeConfig)}
        prepare_bases(bases, say=tell, on_progress=on_progress)
    with console.status("loading the judges"):
        return load_panel(wanted, say=tell)


@contextmanager
def _bars_of_conversions(console: Console) -> Iterator[Callable[[str, float], None]]:
    """A bar for each model that is converted, where there is any; it takes the name and the share that is done."""
    bars: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console)

    def show(name: str, share: float) -> None:
        if name not in bars:
            progress.start()  # not before: where nothing is converted, nothing is drawn
            bars[name] = progress.add_task(f"{name}: converting", total=1.0)
        progress.update(bars[name], completed=share)

    try:
        yield show
    finally:
        if bars:
            progress.stop()


def _watch(run: DemoRun, committed: queue.SimpleQueue[Scored], screen: Screen, voters: Voters) -> None:
    """Draw, and let people vote, until every event has its answer, or the service ended."""
    left = len(run.sent)
    screen.start()
    last = time.monotonic()
    with Live(screen.render(), console=screen.console, refresh_per_second=8) as live:
        while left > 0 and not run.finished.is_set():
            try:
                scored = committed.get(timeout=REFRESH_S)
            except queue.Empty:
                if time.monotonic() - last > NO_PROGRESS_S:
                    raise StreamError(f"no battle was scored for {NO_PROGRESS_S:.0f} s; is the cluster up?") from None
                continue
            last = time.monotonic()
            for message in scored.messages:
                record = message.event.record
                event = run.sent.get((record.partition, record.offset))
                if event is None:
                    continue  # somebody tries a battle on the page
                screen.add(message, event)
                voters.vote(event)
                left -= 1
            live.update(screen.render())
    if not screen.console.is_terminal:
        screen.console.print()  # only on a terminal does the live picture end its last line


def _verdict_row(entry: DemoEvent, preference: Preference, judges: list[str]) -> tuple[RenderableType, ...]:
    opinions = {opinion.name: opinion.probabilities for opinion in preference.judges}
    prompt = " ".join(entry.battle.prompt[0].split())[:80] if entry.battle else ""
    return (
        Text(entry.name),
        Text(prompt),
        *(_bars(opinions[judge]) if judge in opinions else Text("left out", style="red") for judge in judges),
        _bars(preference.probabilities, bold=True),
        Text(_SHORT[preference.preferred], style="bold cyan"),
        Text(_SHORT[entry.label] if entry.label else ""),
    )


def _dead_letter_row(name: str, reason: str, judges: int) -> tuple[RenderableType, ...]:
    cells = [Text(reason, style="yellow"), *[Text("")] * judges]
    return (Text(name), Text("dead letter", style="yellow"), *cells, Text("–", style="yellow"), Text(""))


def _bars(probabilities: Probabilities, *, bold: bool = False) -> Text:
    """Three percentages, the largest one lit."""
    values = {"model_a": probabilities.model_a, "model_b": probabilities.model_b, "tie": probabilities.tie}
    best = probabilities.preferred
    text = Text()
    for outcome, value in values.items():
        style = "bold green" if outcome == best else "" if bold else "dim"
        text.append(f"{100 * value:3.0f} ", style=style)
    return text


def _summary(
    result: Check,
    people: Agreement | None,
    votes: int,
    screen: Screen,
    judges: Panel,
    config: StreamConfig,
    page: DemoBoard | None,
) -> RenderableType:
    untrained = [judge.name for judge in judges.judges if judge.provenance.trained is False]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    answers = len(result.preferences) + len(result.dead_letters)
    later = f", {votes} on [cyan]{config.votes_topic}[/] as verdicts came" if votes else ""
    grid.add_row("in", f"{result.produced} records on [cyan]{config.battles_topic}[/]{later}")
    grid.add_row(
        "out",
        f"{answers} = {len(result.preferences)} on [cyan]{config.preferences_topic}[/] + "
        f"{len(result.dead_letters)} on [cyan]{config.dead_letters_topic}[/] "
        f"({', '.join(sorted(result.dead_letters)) or 'none'})",
    )
    colour = "green" if result.exact else "red"
    grid.add_row(
        "check",
        f"[{colour}]{result.lost} lost, {result.twice} twice[/] "
        "(both topics read back by a separate read_committed consumer)",
    )
    grid.add_row("speed", f"{screen.rate:.1f} battles/s, {screen.seconds:.1f} s")
    if people:
        grid.add_row(
            "people",
            f"log loss {people.log_loss:.3f}, accuracy {people.accuracy:.2f} on {people.battles} judged battles "
            f"(knowing nothing: {math.log(len(OUTCOMES)):.3f}, 0.33)",
        )
    if page and page.error:
        grid.add_row("page", f"[yellow]it ended before its time: {escape(str(page.error))}[/]")
    elif page:
        grid.add_row("page", f"[cyan]{page.url}[/]")
    if untrained:
        grid.add_row(
            "[yellow]note[/]",
            f"the heads of {' and '.join(untrained)} are [bold]untrained[/]: the way is real, but these probabilities "
            "mean nothing yet",
        )
    return Box(grid, title="[bold]summary[/]", border_style=colour)


def _keep_running(run: DemoRun, committed: queue.SimpleQueue[Scored], console: Console, page: DemoBoard | None) -> None:
    """A line per verdict until Ctrl-C."""
    config = run.config
    console.print(
        Align.left(
            f"Still serving. Send more from another terminal:\n"
            f"  prefstream replay FILE --bootstrap-servers {config.bootstrap_servers} --topic {config.battles_topic}\n"
            f"Metrics: {run.service.http_url}/metrics    Ctrl-C ends it."
            + (f"\nThe page, with a form to try a battle: {page.url}" if page and not page.error else "")
        )
    )
    try:
        while not run.finished.is_set():
            with suppress(queue.Empty):
                for message in committed.get(timeout=REFRESH_S).messages:
                    console.print(_line(message))
    except KeyboardInterrupt:
        console.print("stopping")


def _line(message: Message) -> Text:
    if message.reason is not None or message.value is None:
        return Text(f"dead letter: {message.reason}", style="yellow")
    preference = decode_preference(message.value)
    says = f" {_SHORT[preference.preferred]}  "
    return Text.assemble((says, "bold cyan"), _bars(preference.probabilities), f" {preference.id}")
