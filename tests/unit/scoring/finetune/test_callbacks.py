"""What happens around a step: the best weights, early stopping, whole checkpoints, losses gone wrong, the estimate."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transformers import TrainerControl, TrainerState

from prefstream.scoring.errors import FinetuneError
from prefstream.scoring.finetune.callbacks import (
    BEST_WEIGHTS,
    COMPLETE,
    Cost,
    FiniteLoss,
    Interruption,
    KeepBest,
    Report,
    RunClock,
    StepReport,
    WholeCheckpoints,
    cost_until,
    newest_checkpoint,
    read_best,
)

ARGS = SimpleNamespace(world_size=1, device="cpu")
EVERY = 5
"""Steps between two looks at the dev pairs."""


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that say at which step they were taken, in place of a model's."""
    monkeypatch.setattr("peft.get_peft_model_state_dict", lambda model, **_: model)
    monkeypatch.setattr("safetensors.torch.save", lambda weights: weights.encode())


def look(keep: KeepBest, step: int, log_loss: float) -> bool:
    """One look at the dev pairs; whether the run is to stop."""
    control = TrainerControl()
    state = TrainerState(global_step=step, eval_steps=EVERY, is_world_process_zero=True)
    keep.on_evaluate(ARGS, state, control, model=f"weights of {step}", metrics={"eval_log_loss": log_loss})
    return bool(control.should_training_stop)


def stops_at(keep: KeepBest, losses: Sequence[float], *, first: int = EVERY) -> int | None:
    """The step at which a run with these dev log losses stops; None if it goes on to the end."""
    for number, log_loss in enumerate(losses):
        if look(keep, first + EVERY * number, log_loss):
            return first + EVERY * number
    return None


# The best weights.


def test_the_weights_with_the_lowest_log_loss_are_kept(tmp_path: Path) -> None:
    stops_at(KeepBest(tmp_path, None), [1.0, 0.8, 0.9, 0.8])
    assert read_best(tmp_path) == {"step": 10, "log_loss": 0.8}
    assert (tmp_path / BEST_WEIGHTS).read_text() == "weights of 10"


def test_there_are_none_before_the_first_look(tmp_path: Path) -> None:
    assert read_best(tmp_path) is None


@pytest.mark.parametrize(("patience", "stop"), [(1, 15), (2, 30), (3, None), (None, None)])
def test_a_run_stops_after_so_many_looks_without_a_lower_loss(
    tmp_path: Path, patience: int | None, stop: int | None
) -> None:
    assert stops_at(KeepBest(tmp_path, patience), [1.0, 0.8, 0.9, 0.7, 0.7, 0.9]) == stop


def test_an_interruption_does_not_bring_the_stop_nearer(tmp_path: Path) -> None:
    """Looks between the last checkpoint and the interruption are met again when the run goes on."""
    losses = [0.8, 0.9, 1.0, 0.7, 0.9]
    assert stops_at(KeepBest(tmp_path, 3), losses[:3]) is None
    assert stops_at(KeepBest(tmp_path, 3), losses[1:], first=2 * EVERY) is None
    assert read_best(tmp_path) == {"step": 20, "log_loss": 0.7}


def test_best_weights_from_beyond_the_checkpoint_are_not_lost(tmp_path: Path) -> None:
    losses = [0.9, 1.0, 0.95, 0.8]
    stops_at(KeepBest(tmp_path, None), losses)
    stops_at(KeepBest(tmp_path, None), losses[2:], first=3 * EVERY)
    assert read_best(tmp_path) == {"step": 20, "log_loss": 0.8}
    assert (tmp_path / BEST_WEIGHTS).read_text() == "weights of 20"


# Losses gone wrong.


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(loss: float) -> None:
    state = TrainerState(global_step=7)
    with pytest.raises(FinetuneError, match=r"the loss at step 7 is no number; lower optimizer\.learning_rate"):
        FiniteLoss().on_log(ARGS, state, TrainerControl(), logs={"loss": loss})
    with pytest.raises(FinetuneError, match="the dev log loss at step 7 is no number"):
        FiniteLoss().on_evaluate(ARGS, state, TrainerControl(), metrics={"eval_log_loss": loss})


def test_logs_without_a_loss_are_fine() -> None:
    FiniteLoss().on_log(ARGS, TrainerState(), TrainerControl(), logs={"eval_log_loss": 1.0})
    FiniteLoss().on_log(ARGS, TrainerState(), TrainerControl())


# Checkpoints.


def checkpoint(folder: Path, step: int, *, whole: bool) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    if whole:
        (path / COMPLETE).touch()
    return path


def test_the_newest_whole_checkpoint_is_taken(tmp_path: Path) -> None:
    """By number, not by name; one that a killed process left half written doesn't count."""
    checkpoint(tmp_path, 9, whole=True)
    newest = checkpoint(tmp_path, 10, whole=True)
    checkpoint(tmp_path, 11, whole=False)
    assert newest_checkpoint(tmp_path) == newest


def test_without_a_whole_checkpoint_there_is_none(tmp_path: Path) -> None:
    checkpoint(tmp_path, 5, whole=False)
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_a_checkpoint_is_marked_once_it_is_written(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 6, whole=False)
    args = SimpleNamespace(output_dir=str(tmp_path))
    before = Cost(100.0, 60.0)
    now = [5.0, 2.0]
    clock = RunClock(before, (lambda: now[0], lambda: now[1]))
    now[:] = [25.0, 12.0]
    WholeCheckpoints(clock).on_save(args, TrainerState(global_step=6, is_world_process_zero=True), TrainerControl())
    assert newest_checkpoint(tmp_path) == path
    assert cost_until(path) == Cost(120.0, 70.0)


# Interruption and progress.


@pytest.mark.parametrize(("step", "happens"), [(3, True), (10, False)])
def test_an_interruption_saves_and_stops_unless_the_run_is_done_anyway(step: int, happens: bool) -> None:
    interruption, control = Interruption(lambda: True), TrainerControl()
    interruption.on_step_end(ARGS, TrainerState(global_step=step, max_steps=10), control)
    assert (interruption.happened, control.should_save, control.should_training_stop) == (happens,) * 3


def test_a_run_that_nobody_interrupts_goes_on() -> None:
    interruption, control = Interruption(lambda: False), TrainerControl()
    interruption.on_step_end(ARGS, TrainerState(global_step=3, max_steps=10), control)
    assert not interruption.happened
    assert not control.should_training_stop


def test_an_observer_is_told_of_loss_dev_metrics_and_the_time_left() -> None:
    """The estimate of a resumed run is made from what this process alone has read; the later steps are longer."""
    reports: list[StepReport] = []
    observer: Any = SimpleNamespace(advanced=reports.append)
    now = [100.0]
    tokens = np.array([7] * 10 + [5] * 4 + [10] * 6)
    report, control = Report(observer, tokens, clock=lambda: now[0]), TrainerControl()
    state = TrainerState(global_step=10, max_steps=20)
    report.on_train_begin(ARGS, state, control)
    now[0], state.global_step = 108.0, 14
    report.on_step_end(ARGS, state, control)
    report.on_log(ARGS, state, control, logs={"loss": 0.5, "learning_rate": 1e-4})
    report.on_log(ARGS, state, control, logs={"eval_log_loss": 0.9})
    report.on_evaluate(ARGS, state, control, metrics={"eval_log_loss": 0.9})
    assert reports == [StepReport(14, 20, None, {}, 24.0), StepReport(14, 20, 0.5, {"log_loss": 0.9}, 24.0)]


def test_the_estimate_knows_updates_of_several_steps() -> None:
    reports: list[StepReport] = []
    observer: Any = SimpleNamespace(advanced=reports.append)
    now = [0.0]
    report, control = Report(observer, np.array([10, 10, 30, 30, 20]), clock=lambda: now[0]), TrainerControl()
    state = TrainerState(global_step=0, max_steps=3)
    report.on_train_begin(ARGS, state, control)
    now[0], state.global_step = 4.0, 1
    report.on_step_end(ARGS, state, control)
    assert reports[0].left_s == 16.0


def test_the_record_of_the_best_is_readable_at_any_moment(tmp_path: Path) -> None:
    look(KeepBest(tmp_path, None), 5, 1.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.json", BEST_WEIGHTS]
    assert json.loads((tmp_path / "best.json").read_text())["step"] == 5
