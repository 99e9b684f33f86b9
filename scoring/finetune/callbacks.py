"""What happens around a step: progress, interruption, the best weights so far, whole checkpoints, losses gone wrong."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import TrainerCallback

from prefstream.scoring.atomic_file import sync, write_atomically, write_json
from prefstream.scoring.errors import FinetuneError

COMPLETE: Final = "complete"
"""File in a checkpoint that was written to the end: what the run had cost by then."""

BEST_WEIGHTS: Final = "best.safetensors"
BEST_RECORD: Final = "best.json"


@dataclass(frozen=True, slots=True)
class StepReport:
    """Where a run stands.

    Attributes:
        step: optimiser steps done.
        steps: of the whole run.
        loss: of the last logged step; None before the first.
        dev: metrics of the last look at the dev pairs.
        left_s: estimate of the seconds left, None before there is one.
    """

    step: int
    steps: int
    loss: float | None
    dev: Mapping[str, float]
    left_s: float | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took.

    Attributes:
        seconds: by the clock on the wall.
        cpu_seconds: of its first process.
    """

    seconds: float
    cpu_seconds: float


class TrainingObserver(Protocol):
    """Told what a run is doing, on the thread that trains."""

    def say(self, line: str) -> None:
        """One thing that happened."""

    def advanced(self, report: StepReport) -> None:
        """A step is done, or the dev pairs were read."""


class Report(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Passes on how the run is getting on.

    Args:
        observer: who is told.
        tokens: of each planned step: those of one stage may be longer than another's.
        clock: seconds, monotonic.
    """

    def __init__(
        self, observer: TrainingObserver, tokens: NDArray[np.int64], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._observer = observer
        self._read = np.concatenate([[0], np.cumsum(tokens)])
        self._clock = clock
        self._began = 0.0
        self._first_step = 0
        self._loss: float | None = None
        self._dev: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock; a resumed run starts at a later step."""
        self._began = self._clock()
        self._first_step = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        """Remember the loss."""
        self._loss = (logs or {}).get("loss", self._loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell of the step."""
        self._tell(state)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Mapping[str, float], **_: Any) -> None:
        """Tell of the dev pairs."""
        self._dev = {name.removeprefix("eval_"): value for name, value in metrics.items()}
        self._tell(state)

    def _tell(self, state: Any) -> None:
        read = self._tokens(state.global_step, state)
        done, left = read - self._tokens(self._first_step, state), int(self._read[-1]) - read
        left_s = (self._clock() - self._began) / done * left if done else None
        self._observer.advanced(StepReport(state.global_step, state.max_steps, self._loss, self._dev, left_s))

    def _tokens(self, step: int, state: Any) -> int:
        """Read up to an update, which may be several planned steps."""
        planned = len(self._read) - 1
        return int(self._read[min(planned, math.ceil(step * planned / state.max_steps))])


class RunClock:
    """How long a run took, with what went before an interruption.

    Args:
        before: what a checkpoint recorded.
        clocks: seconds, monotonic, and CPU seconds of this process.
    """

    def __init__(
        self,
        before: Cost | None = None,
        clocks: tuple[Callable[[], float], Callable[[], float]] = (time.monotonic, time.process_time),
    ) -> None:
        self._before = before or Cost(0.0, 0.0)
        self._clocks = clocks
        self._began = [clock() for clock in clocks]

    def cost(self) -> Cost:
        """So far."""
        wall, cpu = (clock() - began for clock, began in zip(self._clocks, self._began, strict=True))
        return Cost(self._before.seconds + wall, self._before.cpu_seconds + cpu)


class Interruption(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Ends the run after the step at hand, with a checkpoint, when asked to."""

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self._wanted = wanted
        self.happened = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save and stop."""
        if any_process(args, wanted=self._wanted()) and state.global_step < state.max_steps:
            self.happened = True
            control.should_save = True
            control.should_training_stop = True


def any_process(args: Any, *, wanted: bool) -> bool:
    """Whether any of the processes that train together wants it: one that stopped alone would leave others waiting."""
    if args.world_size == 1:
        return wanted
    votes = torch.tensor(int(wanted), device=args.device)
    torch.distributed.all_reduce(votes, op=torch.distributed.ReduceOp.MAX)
    return bool(votes)


class WholeCheckpoints(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Marks each checkpoint that was written to the end: the process, or the machine, may die while it writes one.

    Args:
        clock: of the run; the mark says what the run had cost by then.
    """

    def __init__(self, clock: RunClock) -> None:
        self._clock = clock

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mark the newest, once all of it is on the disk."""
        if state.is_world_process_zero:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            for file in checkpoint.iterdir():
                sync(file)
            write_json(checkpoint / COMPLETE, asdict(self._clock.cost()))


class FiniteLoss(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Ends a run whose loss is no number: every further step would be lost, and every checkpoint spoilt."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        """Look at the loss."""
        self._look("loss", (logs or {}).get("loss", 0.0), state)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Mapping[str, float], **_: Any) -> None:
        """Look at the dev log loss: weights that answer no numbers must not be kept as the best."""
        self._look("dev log loss", metrics["eval_log_loss"], state)

    def _look(self, what: str, value: float, state: Any) -> None:
        if not math.isfinite(value):
            raise FinetuneError(
                f"the {what} at step {state.global_step} is no number; lower optimizer.learning_rate, or train in "
                "dtype: float32"
            )


class KeepBest(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Keeps the weights with the lowest dev log loss, and stops a run that no longer lowers it."""

    def __init__(self, folder: Path, patience: int | None) -> None:
        self._folder = folder
        self._patience = patience

    def on_evaluate(
        self, args: Any, state: Any, control: Any, model: Any, metrics: Mapping[str, float], **_: Any
    ) -> None:
        """Compare with the best so far."""
        import peft
        from safetensors.torch import save

        log_loss = metrics["eval_log_loss"]
        best = read_best(self._folder)
        if best is None or log_loss < best["log_loss"]:
            best = {"step": state.global_step, "log_loss": log_loss}
            if state.is_world_process_zero:
                weights = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
                write_atomically(self._folder / BEST_WEIGHTS, save(weights))
                write_json(self._folder / BEST_RECORD, best)
        # Counted by steps, not one by one: a resumed run meets again what it had looked at before the interruption.
        stale = math.ceil((state.global_step - best["step"]) / state.eval_steps)
        if self._patience is not None and stale >= self._patience:
            control.should_training_stop = True


def read_best(folder: Path) -> dict[str, Any] | None:
    """Step and log loss of the best weights so far; None before the first look at the dev pairs."""
    try:
        record: dict[str, Any] = json.loads((folder / BEST_RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return record


def newest_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that was written to the end."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def cost_until(checkpoint: Path) -> Cost:
    """What the run had cost when it wrote a whole checkpoint."""
    return Cost(**json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8")))
