"""Draws the table of models for a terminal: ranks, ratings with their intervals, and these as dots with whiskers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from prefstream.consumer.board.report.payloads import ModelLine, StrengthTable
from prefstream.consumer.words import escaped

MEAN: Final = 1000.0
"""Rating that the mean of all models has: the mark in the whiskers' middle."""

_WHISKERS: Final = (15, 48)
"""Columns of the whiskers, at least and at most."""

_LEAST_NAME: Final = 16
"""Columns of a name before the whiskers give way. Longer ones are cut; JSON and CSV have them whole."""

_AROUND: Final = 8
"""Columns that the table's frame takes, and the blanks between columns."""

_MOST_NAMED: Final = 4
"""Models without a rating, in the line that says why."""

_FAR: Final = 1.5
"""How many median half widths of intervals the scale has beyond the outermost ratings at most: it ends where the
intervals do, but a model with three battles must not press all others into one column."""

_LEAST_SPAN: Final = 1e-6
"""Ratings that differ by less are one: dividing by it would leave the range of numbers."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Ratings from the left end of the whiskers' column to its right end."""

    low: float
    high: float

    @classmethod
    def of(cls, lines: Sequence[ModelLine]) -> Scale | None:
        """A scale that the ratings and most of their intervals fit into; None where no model has a rating."""
        ratings = [one.rating for one in lines if one.rating is not None]
        if not ratings:
            return None
        intervals = [(one.lower, one.upper) for one in lines if one.lower is not None and one.upper is not None]
        beyond = _FAR * median([(upper - lower) / 2 for lower, upper in intervals] or [0.0])
        lowest = min([*ratings, *(lower for lower, _ in intervals)])
        highest = max([*ratings, *(upper for _, upper in intervals)])
        return cls(max(lowest, min(ratings) - beyond), min(highest, max(ratings) + beyond))

    def column(self, value: float, width: int) -> int:
        """Where a rating stands among so many columns; outside of them where it is beyond the scale."""
        span = self.high - self.low
        return round((width - 1) * (value - self.low) / span) if span > _LEAST_SPAN else (width - 1) // 2


@dataclass(frozen=True, slots=True)
class Whiskers:
    """A rating and its interval, drawn as wide as there is room."""

    line: ModelLine
    scale: Scale | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _WHISKERS[1])
        yield draw(self.line, self.scale, width, plain=options.ascii_only)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(*(min(options.max_width, width) for width in _WHISKERS))


def draw(line: ModelLine, scale: Scale | None, width: int, *, plain: bool = False) -> Text:
    """A line of text such as `├──●──┤   │`.

    Args:
        line: of the model.
        scale: that of all.
        width: columns.
        plain: in ASCII.
    """
    left, rule, right, dot, mean = "[-]o|" if plain else "├─┤●│"
    cells = [" "] * width
    styles = [""] * width
    if scale is None or line.rating is None:
        return Text("".join(cells))
    if scale.low < MEAN < scale.high:
        at = scale.column(MEAN, width)
        cells[at], styles[at] = mean, "dim"
    if line.lower is not None and line.upper is not None:
        start, end = scale.column(line.lower, width), scale.column(line.upper, width)
        for at in range(max(start, 0), min(end + 1, width)):
            cells[at], styles[at] = {start: left, end: right}.get(at, rule), "cyan"
    at = scale.column(line.rating, width)
    cells[at], styles[at] = dot, "bold cyan"
    return Text.assemble(*zip(cells, styles, strict=True))


def strengths_table(table: StrengthTable, width: int) -> Table:
    """The table of the models that have a rating.

    Args:
        table: strengths, best first.
        width: columns of the terminal.
    """
    rated = [line for line in table.models if line.rating is not None]
    heads = ("rank", "rating", "95 %", "battles", "votes")
    rows = [
        (ranks(line), f"{line.rating:.0f}", interval(line), f"{line.battles:,}", f"{line.votes:,.0f}") for line in rated
    ]
    sizes = [max(len(cells[at]) for cells in (heads, *rows)) for at in range(len(heads))]
    room = width - sum(sizes) - _AROUND
    longest = max((cell_len(escaped(line.model)) for line in rated), default=_LEAST_NAME)
    drawing = room >= _LEAST_NAME + _WHISKERS[0]  # in a narrow terminal the numbers come first
    name = max(_LEAST_NAME, min(longest, room - _WHISKERS[0] if drawing else room))
    whiskers = min(_WHISKERS[1], room - name)
    scale = Scale.of(rated)
    columns = [*zip(heads, sizes, strict=True)]
    columns[1:1] = [("model", name)]
    if drawing:
        columns[4:4] = [(_ends(scale, whiskers), whiskers)]
    drawn = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    for head, size in columns:
        to_right = head in {"rank", "rating", "battles", "votes"}
        drawn.add_column(head, width=size, justify="right" if to_right else "left", no_wrap=True, overflow="ellipsis")
    for line, (rank, rating, spread, battles, votes) in zip(rated, rows, strict=True):
        whisker = [Whiskers(line, scale)] if drawing else []
        name_cell, rating_cell = Text(escaped(line.model)), Text(rating, "bold")
        drawn.add_row(rank, name_cell, rating_cell, Text(spread, "dim"), *whisker, battles, votes)
    return drawn


def _ends(scale: Scale | None, width: int) -> str:
    """Head of the whiskers: the ratings at their left and right end."""
    if scale is None:
        return ""
    low, high = f"{scale.low:.0f}", f"{scale.high:.0f}"
    return f"{low}{high:>{width - len(low)}}"


def ranks(line: ModelLine) -> str:
    """The ranks that a model may have, such as 1–3; of one without an interval, none."""
    if line.rank_low is None or line.rank_high is None:
        return "–"
    return str(line.rank_low) if line.rank_low == line.rank_high else f"{line.rank_low}–{line.rank_high}"


def interval(line: ModelLine) -> str:
    """The interval as distances from the rating, such as +31/−29, or ±30."""
    if line.rating is None or line.lower is None or line.upper is None:
        return "–"
    above, below = f"{line.upper - line.rating:.0f}", f"{line.rating - line.lower:.0f}"
    return f"±{above}" if above == below else f"+{above}/−{below}"


def without_rating(lines: Sequence[ModelLine]) -> list[str]:
    """Why models have no rating or no interval, each reason once with its models, some of them by name."""
    by_reason: dict[str, list[str]] = {}
    for line in lines:
        if line.why_no_interval is not None:
            by_reason.setdefault(line.why_no_interval, []).append(escaped(line.model))
    return [f"{_named(models)}: {why}" for why, models in by_reason.items()]


def _named(models: Sequence[str]) -> str:
    shown = ", ".join(models[:_MOST_NAMED])
    return shown if len(models) <= _MOST_NAMED else f"{shown} and {len(models) - _MOST_NAMED:,} more"
