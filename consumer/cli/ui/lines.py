"""Lines and tables on a terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table

_ANY_WIDTH: Final = 10_000


def say(console: Console, line: str) -> None:
    """Print a line as it is: brackets in it are no markup, and it is not wrapped.

    Args:
        console: to print on.
        line: whatever it holds.
    """
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_table(console: Console, table: Table) -> None:
    """Print a table of which nothing is cut off: a terminal too narrow for it breaks its lines instead.

    Rich would take the names away first, then words, and then digits: what is left of a number is another one.

    Args:
        console: to print on.
        table: its columns get the width of their longest word, or where they don't wrap of what they hold; those that
            fold may be narrower.
    """
    options = console.options.update_width(_ANY_WIDTH)
    for column in table.columns:
        if column.overflow != "fold" or column.no_wrap:
            needed = [Measurement.get(console, options, cell) for cell in (column.header, *column.cells)]
            column.min_width = max(one.maximum if column.no_wrap else one.minimum for one in needed)
    found = console.width
    console.width = max(found, Measurement.get(console, options, table).minimum)
    try:
        # What Rich measures of a table may be less than what it then takes, and with more room it takes more.
        while (drawn := _drawn_width(console, table)) > console.width:
            console.width = drawn
        console.print(table)
    finally:
        console.width = found


def _drawn_width(console: Console, table: Table) -> int:
    lines = Segment.split_lines(console.render(table, console.options))
    return max(map(Segment.get_line_length, lines), default=0)
