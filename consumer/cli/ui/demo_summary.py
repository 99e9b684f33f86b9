"""The demo's last screen: what came out of the stream, and what its judges are worth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel as Box
from rich.table import Table
from rich.text import Text

from prefstream.consumer.cli.ui.demo_screen import Screen
from prefstream.consumer.cli.ui.trust import estimate, percent
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.demo.demo import Check
from prefstream.consumer.demo.found import RIGHT_IS_LONGER, RIGHT_IS_SHORTER, Agreement, Judged, agreement, hits
from prefstream.consumer.words import counted
from prefstream.schemas import OUTCOMES
from prefstream.scoring.card.card import Card
from prefstream.scoring.panel.panel import Panel

MEANT_FOR: Final = (
    "trying out: the first halves of two models of 270 and 135 million parameters, with heads that were fitted in half "
    "an hour on a CPU, and a judge that counts words and the like. For work train judges of 8 to 9 billion, a GPU each "
    "(README): such ones reach a log loss of 0.93 to 0.94 on battles like arena's"
)
"""The last figures are Gemma 2 9B's, with LoRA, in the competition that arena's rows are of."""

GOES_BY_LENGTH: Final = 0.5
"""By so much more of the right answers found where they are the longer ones. With 16 battles of either kind, one panel
in a thousand that guesses would come here."""

_BASELINES: Final = ("reading nothing", "by length alone")
"""The card's baselines, for people."""


def stream_box(result: Check, config: StreamConfig, screen: Screen, *, votes: int, page: Text | None) -> RenderableType:
    """What came out of the stream, and whether each event has exactly one answer.

    Args:
        result: of the check.
        config: of the demo's stream.
        screen: that showed it.
        votes: how many were cast.
        page: where the page is, or why it ended; None where there is none.
    """
    colour = "green" if result.exact else "red"
    answers = len(result.preferences) + len(result.dead_letters)
    whose = "what the samples' authors expect" if screen.expected else "what people said"
    grid = _grid()
    grid.add_row(
        "in",
        f"{result.produced} records on [cyan]{config.battles_topic}[/]"
        + (f", {votes} on [cyan]{config.votes_topic}[/]: {whose}" if votes else ""),
    )
    grid.add_row(
        "out",
        f"{answers} = {len(result.preferences)} on [cyan]{config.preferences_topic}[/] + "
        f"{len(result.dead_letters)} on [cyan]{config.dead_letters_topic}[/] "
        f"({', '.join(sorted(result.dead_letters)) or 'none'})",
    )
    grid.add_row(
        "check",
        f"[{colour}]{result.lost} lost, {result.twice} twice[/] "
        "(both topics read back by a separate read_committed consumer)",
    )
    grid.add_row("speed", f"{screen.rate:.1f} battles/s, {screen.seconds:.1f} s")
    if page:
        grid.add_row("page", page)
    return Box(grid, title="[bold]what came out[/]", border_style=colour)


def worth_box(card: Card | None, answers: Sequence[Judged], judges: Panel, *, expected: bool) -> RenderableType | None:
    """What the judges are worth: first by people's verdicts on many battles, then by those that were just scored.

    Args:
        card: of the panel; None where it has none.
        answers: to battles of which is known what is right.
        judges: the panel.
        expected: whether that is what the samples' authors expect, rather than what people said.

    Returns:
        None where nothing is known of them.
    """
    lines = _grid()
    for row in (*_lines(card, answers, expected=expected), *_warning(judges)):
        lines.add_row(*row)
    parts = [*_by_people(card), Text(), lines] if card else [lines]
    return Box(Group(*parts), title="[bold]what these judges are worth[/]") if lines.row_count else None


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    return grid


def _by_people(card: Card) -> Iterator[RenderableType]:
    yield Text("Against people's verdicts on prompts that are new to them; 95 % intervals:")
    yield Text()
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("", "log loss, less is better", "right"):
        table.add_column(heading, no_wrap=True)
    for name, tier in card.tiers.items():
        table.add_row(
            Text(f"{name}, {counted(tier.battles, 'battle')}"),
            Text(estimate(tier.panel.log_loss), style="bold"),
            Text(percent(tier.panel.accuracy), style="bold"),
        )
        for told, found in zip(_BASELINES, tier.baselines, strict=True):
            table.add_row(f"  {told}", f"{found.log_loss.value:.3f}", _share(found.accuracy.value), style="dim")
    yield table


def _lines(card: Card | None, answers: Sequence[Judged], *, expected: bool) -> Iterator[tuple[str, RenderableType]]:
    if card:
        yield "people", Text(_people(card))
    if expected and (found := _clear_cut(answers)):
        yield "clear-cut", Text(found)
    if known := agreement(answers):
        yield ("samples" if expected else "yours"), Text(_on_these(known, expected=expected))
    if card:
        yield "meant for", Text(MEANT_FOR)


def _warning(judges: Panel) -> Iterator[tuple[str, RenderableType]]:
    if untrained := [judge.name for judge in judges.judges if judge.provenance.trained is False]:
        names = escape(" and ".join(untrained))
        told = f"the heads of {names} are [bold]untrained[/]: the way is real, these probabilities mean nothing yet"
        yield "[yellow]note[/]", told


def _people(card: Card) -> str:
    """How often people agree: with each other on the very battles, where several voted, and elsewhere."""
    here = [
        f"{_share(voters.each_other.value)} of {name}'s battles, whose verdicts are majorities"
        + (f" (the panel with one voter on {_share(voters.panel.value)})" if voters.panel.value is not None else "")
        for name, tier in card.tiers.items()
        if (voters := tier.voters)
    ]
    elsewhere = [
        f"{_range(one.low, one.high)} of {one.among}'s{'' if one.ties else ', which have no ties'}"
        for one in card.people
    ]
    *first, last = here + elsewhere
    return f"agree with each other on {', '.join(first)} and {last}"


def _clear_cut(answers: Sequence[Judged]) -> str | None:
    longer, shorter = hits(answers, RIGHT_IS_LONGER), hits(answers, RIGHT_IS_SHORTER)
    if not (battles := longer.battles + shorter.battles):
        return None
    found = (
        f"the right answer is found in {longer.hits + shorter.hits} of the {battles} samples that have a wrong one: in "
        f"{longer.hits} of {longer.battles} where it is the longer, in {shorter.hits} of {shorter.battles} where it is "
        "the shorter"
    )
    if longer.share - shorter.share > GOES_BY_LENGTH:
        found += ". They go by length"
    longer, shorter = (hits(answers, tier, adjusted=True) for tier in (RIGHT_IS_LONGER, RIGHT_IS_SHORTER))
    if longer.battles + shorter.battles == battles:
        found += f". With length taken out (adjusted) it is found in {longer.hits + shorter.hits}: "
        found += f"in {longer.hits} and in {shorter.hits}"
    return found


def _on_these(known: Agreement, *, expected: bool) -> str:
    chance = f"a third for each outcome: {math.log(len(OUTCOMES)):.3f}, {_share(1 / len(OUTCOMES))}"
    figures = f"log loss {known.log_loss:.3f}, right in {_share(known.accuracy)} ({chance})"
    if expected:
        return f"{known.battles} hard cases, written for this project; by what their authors expect: {figures}"
    return f"what people said of {counted(known.battles, 'battle')}: {figures}"


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.0f} %"


def _range(low: float, high: float) -> str:
    return _share(low) if low == high else f"{100 * low:.0f} to {_share(high)}"
