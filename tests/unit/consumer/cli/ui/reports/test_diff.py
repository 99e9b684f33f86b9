"""A comparison in the terminal: what strangers wrote is shown, and never obeyed."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from prefstream.consumer.cli.ui.reports import diff as ui
from prefstream.scoring.comparison.diff import diff_answers
from tests.support.answers import make_preference, table_of
from tests.support.judged import make_probabilities

EVIL = "\x1b[31mred [bold]"


def test_names_of_judges_languages_and_battles_are_escaped() -> None:
    sides = [
        table_of(
            make_preference(number, row, judges=(EVIL, f"{EVIL}{seed}"), battle_id=f"{EVIL}{number}").model_copy(
                update={"language": (EVIL, "en")[number % 2]}
            )
            for number, row in enumerate(make_probabilities(10, seed=seed))
        )
        for seed in (0, 1)
    ]
    found = diff_answers(*sides, resamples=20)
    console = Console(file=StringIO(), width=200)
    for table in (ui.change_table(found), ui.shift_table(found), ui.changed_table(found)):
        console.print(table)
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue() + "\n".join(ui.lines(found))
    assert "\x1b" not in shown
    assert shown.count(r"\x1b[31mred [bold]") >= 7  # twice as a judge, as a language, in notes, and of battles
