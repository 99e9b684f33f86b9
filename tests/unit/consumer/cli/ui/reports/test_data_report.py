"""What people see of the report on a labelled file."""

from __future__ import annotations

import io

from rich.console import Console

from prefstream.consumer.cli.ui.reports.data_report import MAX_SHOWN_GROUPS, MAX_SHOWN_REJECTED, render
from prefstream.schemas import Battle, Outcome
from prefstream.scoring.files.data_report import DataReport
from prefstream.scoring.files.labelled import Label, LabelledBattle
from prefstream.scoring.files.rows import RejectedRow


def shown(report: DataReport) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(render(report))
    return out.getvalue()


def labelled(outcome: Outcome, number: int, source: str | None = None, *, ties_possible: bool = True) -> LabelledBattle:
    battle = Battle(id=str(number), prompt=("p",), response_a=("x" * 2000,), response_b=("y" * number,))
    target = (float(outcome == "model_a"), float(outcome == "model_b"), float(outcome == "tie"))
    return LabelledBattle(battle, Label(outcome, target, ties_possible=ties_possible), number, source, None)


def line_of(text: str, start: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith(start)]
    return line.removeprefix(start).split()


def test_counts_shares_and_lengths_are_shown() -> None:
    report = DataReport()
    for number in range(10):
        report.add(labelled("model_a" if number else "tie", number, "[arena]"))
    report.add(labelled("model_b", 10, "other", ties_possible=False))
    text = shown(report)
    assert text.startswith("11 rows, 11 usable, 1 prompt\n")
    assert line_of(text, "all") == ["11", "81.8%", "9.1%", "9.1%"]
    assert line_of(text, "ties possible") == ["10", "90.0%", "0.0%", "10.0%"]
    assert line_of(text, "source [arena]") == ["10", "90.0%", "0.0%", "10.0%"]
    assert "wins 90.0% of 10 decided battles" in text
    assert "2,000 to 2,000 characters: 20% up to 2,000" in text


def test_what_the_rows_do_not_say_is_not_shown() -> None:
    report = DataReport()
    report.add(labelled("tie", 1))
    text = shown(report)
    for absent in ("source", "tier", "ties possible", "languages", "wins", "rejected", "duplicate"):
        assert absent not in text


def test_rejected_rows_are_named_but_not_all() -> None:
    report = DataReport()
    for line in range(1, MAX_SHOWN_REJECTED + 4):
        report.reject(line, RejectedRow("bad_label", "no label"))
    text = shown(report)
    assert "8 rejected (bad_label 8)" in text
    assert f"line {MAX_SHOWN_REJECTED}: bad_label: no label" in text
    assert f"line {MAX_SHOWN_REJECTED + 1}:" not in text
    assert "... and 3 more" in text


def test_small_sources_are_shown_together() -> None:
    report = DataReport()
    for number in range(MAX_SHOWN_GROUPS + 3):
        report.add(labelled("tie", number, f"s{number}"))
    assert line_of(shown(report), "3 more") == ["3", "0.0%", "0.0%", "100.0%"]


def test_a_warning_is_named_once_with_its_rows() -> None:
    report = DataReport()
    for line in range(2, 9):
        report.warnings.add(line, "read as text")
    report.warnings.add(4, "another")
    text = shown(report)
    assert "warning, 7 rows, first lines 2, 3, 4, 5, 6: read as text" in text
    assert "warning, 1 row, line 4: another" in text
