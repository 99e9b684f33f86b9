"""The demo while it runs: the last verdicts, how far it is, how fast."""

from __future__ import annotations

import time
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.panel import Panel as Box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from prefstream.consumer.demo.events import DemoEvent
from prefstream.consumer.stream.messages import Message
from prefstream.schemas import Outcome, Preference, Probabilities, decode_preference
from prefstream.scoring.panel.panel import Panel

VERDICTS_SHOWN: Final = 12
"""Fits, with its frame and the progress bar, into the 24 lines of the smallest terminal."""

DEAD_LETTERS_SHOWN: Final = 3
"""They stay in sight, below the verdicts that pass by."""

_SHORT: Final[dict[Outcome, str]] = {"model_a": "A", "model_b": "B", "tie": "tie"}


class Screen:
    """The live picture: the last verdicts, a progress bar, battles per second.

    Args:
        console: where to draw.
        judges: the panel; each judge gets a column.
        total: events to come.
        expected: whether their labels are what the samples' authors expect, rather than what people said.
    """

    def __init__(self, console: Console, judges: Panel, total: int, *, expected: bool) -> None:
        self.console = console
        self.seconds = 0.0
        self.expected = expected
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
        table.add_column("expected" if self.expected else "people", no_wrap=True, min_width=6)
        dead_letters = self._dead_letters[-DEAD_LETTERS_SHOWN:]
        for row in (*self._verdicts[len(dead_letters) - VERDICTS_SHOWN :], *dead_letters):
            table.add_row(*row)
        return Box(Group(table, Text(), self._progress), title="[bold]prefstream[/] which answer will people prefer?")


def verdict_line(message: Message) -> Text:
    """One verdict of many."""
    if message.reason is not None or message.value is None:
        return Text(f"dead letter: {message.reason}", style="yellow")
    preference = decode_preference(message.value)
    says = f" {_SHORT[preference.preferred]}  "
    return Text.assemble((says, "bold cyan"), _bars(preference.probabilities), f" {preference.id}")


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
