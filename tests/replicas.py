"""`python -m tests.replicas`: how much faster two replicas of a judge are than one, and than one with two threads."""

from __future__ import annotations

import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Column, Table

from prefstream.scoring.bench.process import run_worker
from prefstream.scoring.bench.request import Request
from prefstream.scoring.bench.side_by_side import SideBySide, TimedRun, all_take_turns
from prefstream.scoring.bench.throughput import DEFAULT_BATCH_BATTLES, bench_battles
from prefstream.scoring.config import DEMO_PANEL, PanelConfig, load_panel_config
from prefstream.scoring.loading.sources import prepare_demo_bases

ARMS: Final = {
    "one replica, one thread": (["cpu"], 1),
    "two replicas, a thread each": (["cpu", "cpu"], 2),
    "one replica, two threads": (["cpu"], 2),
}
"""Devices, and intra-op threads of all replicas together."""

SLOWEST: Final = next(iter(ARMS))

WORKER: Final = "prefstream.scoring.bench.throughput_worker"


def measure(
    *,
    judge: Annotated[str, typer.Option(help="Of the demo's panel.")] = "smollm",
    battles: Annotated[int, typer.Option(min=2, help="Of real lengths and meaningless text.")] = 100,
    repetitions: Annotated[int, typer.Option(min=1, help="Of each arm; they take turns.")] = 3,
) -> None:
    """A judge of the demo on a CPU with two cores at least, each arm in a process of its own. Needs a quiet machine."""
    console = Console(width=None if sys.stdout.isatty() else 120)  # a log file has no width
    panel = load_panel_config(DEMO_PANEL)
    [chosen] = [one for one in panel.judges if one.name == judge]
    prepare_demo_bases([chosen.base], say=console.log)  # type: ignore[union-attr]  # the demo's judge of features has none
    answers: dict[str, list[Any]] = {}
    with tempfile.TemporaryDirectory(prefix="prefstream-replicas-") as folder:

        def run(arm: str) -> TimedRun:
            devices, threads = ARMS[arm]
            there = chosen.model_copy(update={"device": tuple(devices) if len(devices) > 1 else devices[0]})
            config = PanelConfig(judges=(there,))
            request = Request(config, tuple(bench_battles(battles)), DEFAULT_BATCH_BATTLES, Path(folder))
            os.environ["OMP_NUM_THREADS"] = str(threads)
            fields = run_worker(WORKER, "panel", request.write())
            answers[arm] = fields.pop("probabilities")
            return TimedRun(**fields)

        runs = all_take_turns(list(ARMS), run, repetitions, say=partial(console.log, markup=False))
    columns = ("battles/s", "times as fast", "lowest", "highest", "CPU s", "CPU s / wall s")
    table = Table("arm", *(Column(name, justify="right") for name in columns))
    for arm, done in runs.items():
        speed = SideBySide.of_seconds(battles, [one.seconds for one in done], [one.seconds for one in runs[SLOWEST]])
        cpu_s, wall_s = sum(one.cpu_seconds for one in done), sum(one.seconds for one in done)
        figures = (sum(speed.ours_per_s) / len(done), speed.ratio, min(speed.ratios), max(speed.ratios))
        table.add_row(
            arm, *(f"{figure:.2f}" for figure in figures), f"{cpu_s / len(done):.1f}", f"{cpu_s / wall_s:.2f}"
        )
    console.print(table)
    same = answers["two replicas, a thread each"] == answers[SLOWEST]
    console.print(f"two replicas with a thread each answer what one does, to the bit: {'yes' if same else 'no'}")


if __name__ == "__main__":
    typer.run(measure)
