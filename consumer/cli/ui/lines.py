"""Lines and tables on a terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.measure import Measurement
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

    Rich would take the names away first, and then digits: what is left of a number is another one.

    Args:
        console: to print on.
        table: its columns that don't wrap get the width of what they hold.
    """
    options = console.options.update_width(_ANY_WIDTH)
    for column in table.columns:
        if column.no_wrap:
            cells = (column.header, *column.cells)
            column.min_width = max(Measurement.get(console, options, cell).maximum for cell in cells)
    found = console.width
    console.width = max(found, Measurement.get(console, options, table).minimum)
    try:
        console.print(table)
    finally:
        console.width = found
