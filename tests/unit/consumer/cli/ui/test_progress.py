"""What a person sees while a file is gone through."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from prefstream.consumer.cli.ui.progress import LINE_EVERY_S, MAX_SHOWN, CountProgress, FileProgress, RecordProgress
from prefstream.scoring.files.rows import RejectedRow


class Clock:
    """Stands still until told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """1,000 bytes; its name looks like rich's markup."""
    path = tmp_path / "[red]battles.csv"
    path.write_bytes(b"x" * 1000)
    return path


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_a_plain_line_comes_now_and_then(file: Path) -> None:
    out, clock = console(terminal=False), Clock()
    with FileProgress(out, file, verb="scoring", clock=clock) as progress:
        for second in range(1, 26):
            clock.now = float(second)
            progress.advanced(10 * second, 20 * second)
    assert shown(out).splitlines() == [
        f"scoring {file}: 10%, 200 battles, 20.0/s, about 1 min 30 s left",
        f"scoring {file}: 20%, 400 battles, 20.0/s, about 1 min 20 s left",
    ]


def test_estimate_of_a_resumed_run_counts_from_where_it_began(file: Path) -> None:
    out, clock = console(terminal=False), Clock()
    with FileProgress(out, file, verb="scoring", start_bytes=900, clock=clock) as progress:
        clock.now = 3600.0
        progress.advanced(950, 10)
    assert "95%, 10 battles, 0.0/s, about 1 h 0 min left" in shown(out)


def test_what_was_done_before_counts_as_it_does_in_the_percentage(file: Path) -> None:
    out, clock = console(terminal=False), Clock()
    with FileProgress(out, file, verb="scoring", start_bytes=200, start_rows=4, clock=clock) as progress:
        clock.now = LINE_EVERY_S
        progress.advanced(1000, 16)
    assert "100%, 20 battles (4 from before), 1.6/s" in shown(out)


def test_on_a_terminal_a_bar_moves(file: Path) -> None:
    out, clock = console(terminal=True), Clock()
    with FileProgress(out, file, verb="scoring", clock=clock) as progress:
        clock.now = LINE_EVERY_S * 2
        progress.advanced(500, 10)
    assert "50%" in shown(out)
    assert "10 battles, 0.5/s, about 20 s left" in shown(out)
    assert str(file) not in shown(out)


@pytest.mark.parametrize("terminal", [False, True])
def test_rejected_rows_are_named_up_to_a_number_then_counted(file: Path, terminal: bool) -> None:
    out = console(terminal=terminal)
    with FileProgress(out, file, verb="scoring") as progress:
        for line in range(MAX_SHOWN + 3):
            progress.rejected(line + 1, RejectedRow("not_csv", "the row has 2 cells"))
    assert f"{file}:1: not_csv: the row has 2 cells" in shown(out)
    assert shown(out).count("not_csv") == MAX_SHOWN
    assert "... and 3 more rejected rows" in shown(out)


def test_a_warning_is_told_once_then_counted(file: Path) -> None:
    out = console(terminal=False)
    with FileProgress(out, file, verb="scoring") as progress:
        for line in range(7, 30):
            progress.warned(line, "read as text")
        progress.warned(8, "another")
    assert shown(out).splitlines() == [
        f"{file}:7: warning: read as text",
        f"{file}:8: warning: another",
        f"{file}: the warning of line 7 holds for 23 rows, first lines 7, 8, 9, 10, 11",
    ]


def test_empty_file_has_a_progress_too(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    for terminal in (False, True):
        out = console(terminal=terminal)
        clock = Clock()
        with FileProgress(out, tmp_path / "empty.jsonl", verb="sending", clock=clock) as progress:
            clock.now = 60.0
            progress.advanced(0, 0)
        assert "0 battles" in shown(out)


def test_a_count_without_a_terminal_is_a_line_now_and_then() -> None:
    clock, out = Clock(), console(terminal=False)
    with CountProgress(out, 200, verb="scoring", clock=clock) as progress:
        clock.now = LINE_EVERY_S / 2
        progress.advanced(40)
        clock.now = LINE_EVERY_S
        progress.advanced(50)
        progress.advanced(60)
    assert shown(out) == "scoring: 50 of 200 battles, 5.0/s, about 30 s left\n"


def test_a_count_on_a_terminal_is_a_bar_that_goes_away() -> None:
    clock, out = Clock(), console(terminal=True)
    with CountProgress(out, 200, verb="scoring", clock=clock) as progress:
        clock.now = 10.0
        progress.advanced(50)
        bar = progress._bar
        assert bar is not None
        assert bar.tasks[0].completed == 50
        assert "about 30 s left" in bar.tasks[0].fields["status"]


def test_of_a_range_it_says_what_is_read_and_names_some_of_what_cannot_be_used() -> None:
    out = console(terminal=False)
    with RecordProgress(out, verb="reading") as progress:
        progress.began("battles@earliest..latest", 1_200)
        progress.deleted("battles/0", 1)
        for offset in range(MAX_SHOWN + 2):
            progress.rejected(f"battles/1/{offset}", "no JSON")
        progress.advanced(1_200)
    lines = shown(out).splitlines()
    assert lines[:3] == [
        "battles@earliest..latest: 1,200 offsets to read",
        "battles/0: 1 offset deleted before they were read",
        "battles/1/0: no JSON",
    ]
    assert len(lines) == 2 + MAX_SHOWN + 1
    assert lines[-1] == "... and 2 more such records"


def test_of_a_second_range_the_estimate_counts_from_where_that_began() -> None:
    clock, out = Clock(), console(terminal=False)
    with RecordProgress(out, verb="reading", clock=clock) as progress:
        progress.began("battles", 10)
        clock.now = LINE_EVERY_S
        progress.began("answers", 200)
        clock.now += LINE_EVERY_S
        progress.advanced(50)
    assert shown(out).splitlines()[-1] == "reading: 50 of 200 records, 5.0/s, about 30 s left"
