"""Shows how a training run is getting on: a bar with an estimate on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from consumer.progress import LINE_EVERY_S, duration

if TYPE_CHECKING:
    from scoring.finetune.callbacks import StepReport


class TrainingProgress:
    """An observer of a training run, for people. A context manager.

    Args:
        console: where to; its own `is_terminal` decides between bar and lines.
        clock: seconds, monotonic.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._last_line = clock()
        self._dev_shown: dict[str, float] = {}
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[status]}", markup=False),
                console=self._console,
                transient=True,
            )
            self._bar.add_task("training", total=None, status="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def advanced(self, report: StepReport) -> None:
        """Move the bar; without a terminal, write a line when the last one is old enough. Dev metrics always show."""
        if report.dev != self._dev_shown:
            self._dev_shown = dict(report.dev)
            figures = ", ".join(f"{name} {value:.4f}" for name, value in report.dev.items())
            self.say(f"step {report.step}: dev {figures}")
        now = self._clock()
        if self._bar:
            self._bar.update(self._bar.task_ids[0], total=report.steps, completed=report.step, status=_status(report))
        elif now - self._last_line >= LINE_EVERY_S:
            self._last_line = now
            self.say(f"step {report.step} of {report.steps}, {_status(report)}")


def _status(report: StepReport) -> str:
    parts = [f"loss {report.loss:.4f}"] if report.loss is not None else []
    if report.left_s is not None:
        parts.append(f"about {duration(report.left_s)} left")
    return ", ".join(parts)
