"""`python -m tests.golden`: how far answers move by what is no fault, how far by faults, and which of these are seen.

The bounds of `scoring.golden.bounds` lie between the two. The demo's judges answer the demo's own battles on a CPU, as
they are, moved, and broken in memory; on other instructions of the processor in a process of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import torch
import typer
from rich.console import Console
from rich.table import Table

from prefstream import Battle, Panel
from prefstream.scoring.config import DEMO_PANEL, ModelJudgeConfig, load_panel_config
from prefstream.scoring.files.battles import read_battles
from prefstream.scoring.golden.check import PANEL, check_golden
from prefstream.scoring.golden.make import make_golden
from prefstream.scoring.golden.record import GoldenSet
from prefstream.scoring.judges.model import LocalJudge
from prefstream.scoring.panel.load import load_panel

SAMPLES: Final = Path(__file__).parents[1] / "consumer" / "demo" / "samples" / "battles.jsonl"

OTHER_INSTRUCTIONS: Final = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "ATEN_CPU_CAPABILITY": "avx2"}
"""An older processor, as far as torch's libraries can tell: without products of bfloat16 and of 8 bits."""

Arm = Callable[[LocalJudge[Any]], AbstractContextManager[None]]


def main(
    *,
    battles: Annotated[int, typer.Option(min=2, help="Of the golden set.")] = 12,
    dtype: Annotated[str, typer.Option(help="Of the judges.")] = "bfloat16",
    quantization: Annotated[str, typer.Option(help="Of the judges: none or int8-dynamic.")] = "none",
    golden: Annotated[Path | None, typer.Option(help="Answer this set once, and print the findings.")] = None,
) -> None:
    """Measure one dtype; minutes on two cores."""
    with _panel(dtype, quantization) as panel:
        if golden is not None:
            print(json.dumps(_findings(panel, GoldenSet.read(golden))))  # noqa: T201 - for the process that asked
            return
        console = Console(width=None if sys.stdout.isatty() else 120)
        table = Table(
            "",
            "judge",
            "mean",
            "largest",
            "bits seen",
            "bound seen",
            title=f"{dtype}, {quantization}, {battles} battles",
        )
        known = make_golden(panel, _samples(battles), source="golden.jsonl", count=battles, say=console.log)
        for name, arm in {**MOVES, **FAULTS}.items():
            with ExitStack() as stack:
                for judge in panel.judges:
                    assert isinstance(judge, LocalJudge)
                    stack.enter_context(arm(judge))
                _add(table, name, _findings(panel, known))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "golden.jsonl"
        known.write(path)
        command = [sys.executable, "-m", "tests.golden", "--golden", str(path), "--dtype", dtype]
        done = subprocess.run(
            [*command, "--quantization", quantization],
            env=os.environ | OTHER_INSTRUCTIONS,
            capture_output=True,
            text=True,
            check=True,
        )
        _add(table, "an older processor's instructions", json.loads(done.stdout.splitlines()[-1]))
    console.print(table)


def _panel(dtype: str, quantization: str) -> Panel:
    demo = load_panel_config(DEMO_PANEL)
    settings = {"dtype": dtype, "quantization": quantization}
    judges = tuple(one.model_copy(update=settings) for one in demo.judges if isinstance(one, ModelJudgeConfig))
    return load_panel(demo.model_copy(update={"judges": judges, "calibration": None}))


def _samples(count: int) -> list[Battle]:
    """Of all parts of the file."""
    every = [record.battle for record in read_battles(SAMPLES) if record.battle is not None]
    return every[:: len(every) // count][:count]


def _findings(panel: Panel, known: GoldenSet) -> list[tuple[str, float, float, int, float]]:
    """Of each judge: name, mean and largest difference, battles with another bit, and the bound of the mean."""
    found = [finding for finding in check_golden(panel, known).findings if finding.name != PANEL]
    return [(one.name, one.mean, one.largest, one.changed, one.bound) for one in found]


def _add(table: Table, arm: str, rows: list[Any]) -> None:
    for judge, mean, largest, changed, bound in rows:
        near = mean <= bound and largest <= 10 * bound
        table.add_row(arm, judge, f"{mean:.1e}", f"{largest:.1e}", "yes" if changed else "no", "no" if near else "yes")


@contextmanager
def _alone(judge: LocalJudge[Any]) -> Iterator[None]:
    [forward] = judge.forwards
    tokens = forward.budget_tokens
    forward.limit(1)
    yield
    forward.limit(tokens)


def _threads(count: int) -> Arm:
    @contextmanager
    def arm(judge: LocalJudge[Any]) -> Iterator[None]:
        [forward] = judge.forwards
        before, forward._threads = forward._threads, count
        yield
        forward._threads = before

    return arm


def _weights(part: float, change: Callable[[torch.Tensor], None]) -> Arm:
    """Change what one layer looks at, as far up in the model as `part` says: 0 the first one, 1 the last."""

    @contextmanager
    def arm(judge: LocalJudge[Any]) -> Iterator[None]:
        model = judge.forwards[0]._model
        assert model is not None
        layers = [weights for name, weights in model.named_parameters() if name.endswith("v_proj.weight")]
        weights = layers[round(part * (len(layers) - 1))]
        before = weights.detach().clone()
        with torch.no_grad():
            change(weights)
            yield
            weights.copy_(before)

    return arm


def _turn_sign(weights: torch.Tensor) -> None:
    weights.neg_()


def _lose_rows(weights: torch.Tensor) -> None:
    weights[: len(weights) // 8] = 0.0


def _flip_a_bit(weights: torch.Tensor) -> None:
    """The highest bit of an exponent that is small: times 2^128, as far as a number can have that."""
    weights[0, 0] = 1e4


def _nudge_one(weights: torch.Tensor) -> None:
    weights[0, 0] *= 1.5


MOVES: Final[dict[str, Arm]] = {
    "each sequence alone": _alone,
    "three threads": _threads(3),
}

FAULTS: Final[dict[str, Arm]] = {
    "a layer's signs turned: first": _weights(0.0, _turn_sign),
    "... middle": _weights(0.5, _turn_sign),
    "... last": _weights(1.0, _turn_sign),
    "an eighth of a middle layer lost": _weights(0.5, _lose_rows),
    "one weight is 10,000": _weights(0.5, _flip_a_bit),
    "one weight is half as large again": _weights(0.5, _nudge_one),
}


if __name__ == "__main__":
    typer.run(main)
