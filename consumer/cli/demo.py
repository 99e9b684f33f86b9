"""`prefstream demo`: the whole way of a battle, to look at."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.align import Align
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from prefstream.consumer.cli.battles_file import FORMATS_HELP, input_file
from prefstream.consumer.cli.exit_codes import EXIT_FAULT, leave_now
from prefstream.consumer.cli.panel_option import DEFAULT_PANEL, PanelOption, panel_config
from prefstream.consumer.cli.ui.demo_screen import Screen, verdict_line
from prefstream.consumer.cli.ui.demo_summary import stream_box, worth_box
from prefstream.consumer.cli.ui.lines import say
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.demo.demo import DemoRun, check, demo_broker, produce, streaming
from prefstream.consumer.demo.events import file_entries, sample_entries
from prefstream.consumer.demo.found import judged
from prefstream.consumer.demo.voters import Voters, voting
from prefstream.consumer.errors import StreamError
from prefstream.consumer.observe.logs import configure_logging
from prefstream.consumer.process.garbage import loading
from prefstream.consumer.stream.pipeline import Scored
from prefstream.scoring.card.card import Card
from prefstream.scoring.config import ModelJudgeConfig, PanelConfig
from prefstream.scoring.panel.panel import Panel

if TYPE_CHECKING:
    from prefstream.consumer.demo.board import DemoBoard

JUDGES_LOAD: Final = (
    "Judges are loading: verdicts come in a moment. The first time, their models are fetched and converted."
)
"""What the page says until battles can be read."""

MADE_UP: Final = (
    "A demo: its battles were written for it, and so were the models' names. Its votes are what the authors expect of "
    "each, not what people said."
)
"""What the page says from then on, where the battles are the package's own."""

REFRESH_S: Final = 0.2
NO_PROGRESS_S: Final = 300.0
"""The slowest batch on the slowest laptop we know takes ten seconds."""


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
    """Watch battles being scored: broker, judges, exactly-once stream, and a check of what came out.

    The judges are small, for trying out: the last screen says what they are worth by people's verdicts, and how often
    they find the right answer. The battles are hard cases written for this project; `--battles` takes your own.

    A page in the browser shows it live: verdicts as they come, who leads, a form to try a battle of your own. Its
    address is told first.

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
        with loading(judges_wanted):
            judges = _load_judges(judges_wanted, notes, console)
        screen = Screen(console, judges, total=len(entries), expected=battles is None)
        committed: queue.SimpleQueue[Scored] = queue.SimpleQueue()
        with streaming(config, judges, on_committed=committed.put) as run:
            if page:
                page.notice = None if battles else MADE_UP
            run.sent = produce(config, entries)
            with voting(config) as voters:
                _watch(run, committed, screen, voters)
            run.raise_error()
            result = check(config, run.sent)
            console.print(stream_box(result, config, screen, votes=voters.cast, page=_told(page)))
            card = Card.read() if panel == DEFAULT_PANEL else None
            known = judged(result.preferences, run.sent)
            if worth := worth_box(card, known, judges, expected=screen.expected):
                console.print(worth)
            if svg:
                console.save_svg(str(svg), title="prefstream demo")
            if keep_running and not run.finished.is_set():
                _keep_running(run, committed, console, page)
    if run.service.gave_up:
        leave_now(0 if result.exact else EXIT_FAULT)
    if not result.exact:
        raise typer.Exit(EXIT_FAULT)


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
    """Draw, and have events voted on, until each has its answer, or the service ended."""
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


def _told(page: DemoBoard | None) -> Text | None:
    """Where the page is, or why it ended."""
    if page and page.error:
        return Text(f"it ended before its time: {page.error}", style="yellow")
    return Text(page.url, style="cyan") if page else None


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
                    console.print(verdict_line(message))
    except KeyboardInterrupt:
        console.print("stopping")
