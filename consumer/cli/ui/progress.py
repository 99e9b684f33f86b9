"""Shows how a file is getting on: a bar with an estimate on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from prefstream.consumer.words import counted
from prefstream.scoring.files.row_warnings import RowWarnings
from prefstream.scoring.files.rows import RejectedRow

MAX_SHOWN: Final = 20
"""Rejected rows named one by one: a file of the wrong kind would fill the screen, and hide the count."""

LINE_EVERY_S: Final = 10.0
"""Without a terminal: often enough to see that it lives, rare enough for a log of hours."""


class Meter:
    """A bar on a terminal; elsewhere a line when the last one is old enough. A context manager.

    Args:
        console: where to; its own `is_terminal` decides between bar and lines.
        verb: what is done, beside the bar.
        total: what the bar counts to; None while nobody knows.
        completed: where it starts.
        counts: show so many of how many instead of a percentage.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        console: Console,
        *,
        verb: str,
        total: int | None = None,
        completed: int = 0,
        counts: bool = False,
        clock: Callable[[], float],
    ) -> None:
        self._console = console
        self._clock = clock
        self._last_line = clock()
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn() if counts else TaskProgressColumn(),
                TimeElapsedColumn(),  # it moves while a chunk takes its time
                TextColumn("{task.fields[status]}", markup=False),
                console=console,
                transient=True,
            )
            self._bar.add_task(verb, total=total, completed=completed, status="")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, line: str) -> None:
        """Print a line, above the bar."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def show(self, completed: int, status: str, line: str, *, total: int | None = None) -> None:
        """Move the bar, or write a line.

        Args:
            completed: how far it is.
            status: beside the bar.
            line: what a line says in its place.
            total: a new one; None leaves it.
        """
        now = self._clock()
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=completed, total=total, status=status)
        elif now - self._last_line >= LINE_EVERY_S:
            self._last_line = now
            self.say(line)


class FileProgress(Meter):
    """An `Observer` for people. A context manager; on leaving it says how many rows it did not name.

    Args:
        console: where to; its own `is_terminal` decides between bar and lines.
        file: the file, for the places of rejected rows and the total.
        verb: what is done to it, for the lines.
        start_bytes: how much of it was done before.
        start_rows: rows in it.
        size: of the file in bytes; None asks the file system.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        console: Console,
        file: Path | str,
        *,
        verb: str,
        start_bytes: int = 0,
        start_rows: int = 0,
        size: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._verb = verb
        self._total = Path(file).stat().st_size if size is None else size
        self._start = start_bytes
        self._start_rows = start_rows
        self._began = clock()
        self._rejected = 0
        self._warnings = RowWarnings()
        super().__init__(console, verb=verb, total=max(1, self._total), completed=start_bytes, clock=clock)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._rejected > MAX_SHOWN:
            self.say(f"... and {self._rejected - MAX_SHOWN:,} more rejected rows")
        for alike in self._warnings:
            if alike.rows > 1:
                self.say(f"{self._file}: the warning of line {alike.lines[0]} holds for {alike}")

    def rejected(self, line: int, row: RejectedRow) -> None:
        """Name the row, unless too many were named before."""
        self._rejected += 1
        if self._rejected <= MAX_SHOWN:
            self.say(f"{self._file}:{line}: {row}")

    def warned(self, line: int, warning: str) -> None:
        """Name the row where it is the first with that warning; how many more there were is said at the end."""
        if self._warnings.add(line, warning):
            self.say(f"{self._file}:{line}: warning: {warning}")

    def advanced(self, done_bytes: int, rows: int) -> None:
        """Show how far the file is done."""
        status = self._status(done_bytes, rows)
        share = done_bytes / self._total if self._total else 1.0
        self.show(done_bytes, status, f"{self._verb} {self._file}: {share:.0%}, {status}")

    def _status(self, done_bytes: int, rows: int) -> str:
        elapsed = max(self._clock() - self._began, 1e-9)
        before = f" ({self._start_rows:,} from before)" if self._start_rows else ""
        status = f"{counted(self._start_rows + rows, 'battle')}{before}, {rows / elapsed:,.1f}/s"
        if done_bytes > self._start:
            left_s = elapsed * (self._total - done_bytes) / (done_bytes - self._start)
            status += f", about {duration(left_s)} left"
        return status


class CountProgress(Meter):
    """How many of a known number are done, for people. A context manager.

    Args:
        console: where to; its own `is_terminal` decides between bar and lines.
        total: how many there are; 0 while nobody knows.
        verb: what is done to them.
        unit: what they are.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        console: Console,
        total: int = 0,
        *,
        verb: str,
        unit: str = "battles",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._verb = verb
        self._unit = unit
        self._began = clock()
        super().__init__(console, verb=verb, total=max(1, total), clock=clock)

    def advanced(self, done: int, total: int | None = None) -> None:
        """So many are done in all; of so many, where that is another number: then counting begins anew."""
        if total is not None and total != self._total:
            self._total, self._began = total, self._clock()
        elapsed = max(self._clock() - self._began, 1e-9)
        status = f"{done:,} of {self._total:,} {self._unit}, {done / elapsed:,.1f}/s"
        if 0 < done < self._total:
            status += f", about {duration(elapsed * (self._total - done) / done)} left"
        self.show(done, status, f"{self._verb}: {status}", total=max(1, self._total))


class RecordProgress(CountProgress):
    """A `RangeObserver` for people: how far a range of a topic is read or scored. A context manager.

    Args:
        console: where to.
        verb: what is done to it.
        clock: seconds, monotonic.
    """

    def __init__(self, console: Console, *, verb: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, verb=verb, unit="records", clock=clock)
        self._rejected = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._rejected > MAX_SHOWN:
            self.say(f"... and {self._rejected - MAX_SHOWN:,} more such records")

    def began(self, what: str, offsets: int) -> None:
        """Say what is read; counting begins anew."""
        self.say(f"{what}: {counted(offsets, 'offset')} to read")
        self.advanced(0, offsets)

    def rejected(self, place: str, why: str) -> None:
        """Name the record, unless too many were named before."""
        self._rejected += 1
        if self._rejected <= MAX_SHOWN:
            self.say(f"{place}: {why}")

    def deleted(self, place: str, offsets: int) -> None:
        """Say what is not there any more."""
        self.say(f"{place}: {counted(offsets, 'offset')} deleted before they were read")


def duration(seconds: float) -> str:
    """A time for people, such as 3 min 20 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
