"""What a person sees of a training run: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from prefstream.consumer.cli.ui.progress import LINE_EVERY_S
from prefstream.consumer.cli.ui.training_progress import TrainingProgress
from prefstream.scoring.finetune.callbacks import StepReport


class Clock:
    """Stands still until told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_a_plain_line_comes_now_and_then() -> None:
    out, clock = console(terminal=False), Clock()
    with TrainingProgress(out, clock=clock) as progress:
        for step in range(1, 26):
            clock.now = float(step)
            progress.advanced(StepReport(step, 100, None if step < 15 else 0.51234, {}, 100.0 - step))
    assert LINE_EVERY_S == 10
    assert shown(out).splitlines() == [
        "step 10 of 100, about 1 min 30 s left",
        "step 20 of 100, loss 0.5123, about 1 min 20 s left",
    ]


def test_a_look_at_the_dev_pairs_is_told_once_however_recent_the_last_line() -> None:
    out = console(terminal=False)
    with TrainingProgress(out, clock=Clock()) as progress:
        dev = {"log_loss": 1.01234, "accuracy": 0.5}
        for step in (4, 5, 6):
            progress.advanced(StepReport(step, 100, 1.0, dev, None))
        progress.advanced(StepReport(8, 100, 1.0, {"log_loss": 0.9, "accuracy": 0.5}, None))
    assert shown(out).splitlines() == [
        "step 4: dev log_loss 1.0123, accuracy 0.5000",
        "step 8: dev log_loss 0.9000, accuracy 0.5000",
    ]


def test_on_a_terminal_a_bar_moves_and_lines_stay_above_it() -> None:
    out, clock = console(terminal=True), Clock()
    with TrainingProgress(out, clock=clock) as progress:
        progress.say("loading")
        clock.now = LINE_EVERY_S * 5
        progress.advanced(StepReport(30, 100, 0.7, {"log_loss": 1.0}, 61.0))
    for expected in ("loading", "30/100", "loss 0.7000, about 1 min 1 s left", "step 30: dev log_loss 1.0000"):
        assert expected in shown(out)
    assert "step 30 of 100" not in shown(out)


@pytest.mark.parametrize("terminal", [False, True])
def test_brackets_in_a_line_are_no_markup(terminal: bool) -> None:
    out = console(terminal=terminal)
    with TrainingProgress(out) as progress:
        progress.say("reading [red]train.jsonl")
    assert "[red]train.jsonl" in shown(out)


def test_a_failure_takes_the_bar_away() -> None:
    out = console(terminal=True)
    with pytest.raises(RuntimeError), TrainingProgress(out) as progress:
        raise RuntimeError
    assert progress._bar is not None
    assert not progress._bar.live.is_started
