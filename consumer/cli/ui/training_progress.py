"""Shows how a training run is getting on: a bar with an estimate on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from prefstream.consumer.cli.ui.progress import Meter, duration

if TYPE_CHECKING:
    from prefstream.scoring.finetune.callbacks import StepReport


class TrainingProgress(Meter):
    """An observer of a training run, for people. A context manager.

    Args:
        console: where to; its own `is_terminal` decides between bar and lines.
        clock: seconds, monotonic.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._dev_shown: dict[str, float] = {}
        super().__init__(console, verb="training", counts=True, clock=clock)

    def advanced(self, report: StepReport) -> None:
        """Show the step; dev metrics always show."""
        if report.dev != self._dev_shown:
            self._dev_shown = dict(report.dev)
            figures = ", ".join(f"{name} {value:.4f}" for name, value in report.dev.items())
            self.say(f"step {report.step}: dev {figures}")
        status = _status(report)
        self.show(report.step, status, f"step {report.step} of {report.steps}, {status}", total=report.steps)


def _status(report: StepReport) -> str:
    parts = [f"loss {report.loss:.4f}"] if report.loss is not None else []
    if report.left_s is not None:
        parts.append(f"about {duration(report.left_s)} left")
    return ", ".join(parts)
