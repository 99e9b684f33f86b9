"""Tables on a terminal: nothing of them is cut off, however narrow it is."""

from __future__ import annotations

from io import StringIO

from hypothesis import given
from hypothesis import strategies as st
from rich import box
from rich.console import Console
from rich.table import Column, Table

from prefstream.consumer.cli.ui.lines import print_table

WORDS = st.text("abcdefgh0123456789.,()%", min_size=1, max_size=12)
CELLS = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)


def printed(rows: list[list[str]], no_wrap: list[bool], width: int) -> str:
    table = Table(*(Column(rows[0][place], no_wrap=fixed) for place, fixed in enumerate(no_wrap)), box=box.ASCII)
    for row in rows[1:]:
        table.add_row(*row)
    printed_to = StringIO()
    console = Console(file=printed_to, width=width)
    print_table(console, table)
    assert console.width == width
    return printed_to.getvalue()


@given(st.data(), st.integers(1, 6), st.integers(1, 90))
def test_every_word_of_a_table_is_there_whole_and_its_lines_are_of_one_width(
    data: st.DataObject, columns: int, width: int
) -> None:
    rows = data.draw(st.lists(st.lists(CELLS, min_size=columns, max_size=columns), min_size=1, max_size=4))
    drawn = printed(rows, data.draw(st.lists(st.booleans(), min_size=columns, max_size=columns)), width)
    lines = drawn.splitlines()
    assert len({len(line) for line in lines}) == 1
    told = sorted(word for line in lines if not set(line) <= set("|+-") for word in line.replace("|", " ").split())
    assert told == sorted(word for row in rows for cell in row for word in cell.split())


def test_what_does_not_wrap_stands_on_one_line() -> None:
    assert "| 0.945 [0.93, 0.96] |" in printed([["log loss"], ["0.945 [0.93, 0.96]"]], [True], 10)
