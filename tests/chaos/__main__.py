"""`python -m tests.chaos`: a run of any length, with its figures."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from prefstream.consumer.broker import EmbeddedBroker
from tests.chaos.driver import plan, run_chaos
from tests.chaos.faults.fault import APACHE_SETTINGS, EMBEDDED_SETTINGS
from tests.chaos.report import Report
from tests.chaos.world.world import World
from tests.support.kafka.cluster import ENV_HOME, KafkaCluster, kafka_home

PARTITIONS: Final = 6
"""Of the input topic at first: two for each of three processes."""


def chaos(
    *,
    cycles: Annotated[int, typer.Option(min=1, help="How many faults.")] = 200,
    brokers: Annotated[int, typer.Option(min=0, help="Apache Kafka's brokers, 1 or 3; 0 for the embedded one.")] = 3,
    processes: Annotated[int, typer.Option(min=1, help="Processes of `prefstream run`.")] = 3,
    battles: Annotated[int, typer.Option(min=1, help="Records over all cycles, at least.")] = 50_000,
    seed: Annotated[int | None, typer.Option(help="Of every choice; a new one by default.")] = None,
    first: Annotated[int, typer.Option(min=0, help="Number of the first cycle: goes on where a run ended.")] = 0,
    only: Annotated[str, typer.Option(help="Only faults whose name contains this.")] = "",
    models: Annotated[bool, typer.Option("--models", help="One process scores with two tiny models.")] = False,
    keep: Annotated[Path | None, typer.Option(resolve_path=True, help="Keep logs in this folder.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write every figure to this file, anew after each cycle.")
    ] = None,
) -> None:
    """Strike a running stream with faults, and let an independent reader count what came out.

    Exit codes: 0 every input has exactly one answer, 1 not.
    """
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    console = Console(width=None if sys.stdout.isatty() else 140)  # a log file has no width
    console.print(f"seed {seed}: the same cycles again with --seed {seed}")
    setup = {"brokers": brokers, "processes": processes, "battles": battles, "models": models, "only": only}
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        folder.mkdir(parents=True, exist_ok=True)
        cluster = stack.enter_context(_cluster(folder, brokers)) if brokers else None
        embedded = None if brokers else stack.enter_context(EmbeddedBroker(EMBEDDED_SETTINGS))
        broker = cluster or embedded
        assert broker is not None
        world = stack.enter_context(
            World(
                broker.bootstrap_servers,
                folder,
                processes=processes,
                partitions=PARTITIONS,
                cluster=cluster,
                embedded=embedded,
                models=models,
            )
        )
        faults = plan(seed, cycles, brokers=brokers, embedded=embedded is not None, first=first, only=only)
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
        ) as progress:
            task = progress.add_task("cycles", total=len(faults))

            def tell(report: Report) -> None:
                cycle = report.cycles[-1]
                progress.console.print(
                    f"{cycle.number:4} {cycle.fault:45} {cycle.strike_s:6.1f} s, then {cycle.recovery_s:6.1f} s; "
                    f"silence {cycle.silence_s:6.1f} s, stall {cycle.stall_s:6.1f} s",
                    soft_wrap=True,
                )
                progress.advance(task)
                if json_file:
                    report.write(json_file, setup)

            report = run_chaos(world, faults, seed=seed, battles=battles, first=first, on_cycle=tell)
    report.show(console)
    if json_file:
        report.write(json_file, setup)
    if not report.is_clean:
        raise typer.Exit(1)


def _cluster(folder: Path, brokers: int) -> KafkaCluster:
    home = kafka_home()
    if home is None:
        raise typer.BadParameter(f"{ENV_HOME} should name an unpacked Kafka, and Java be there; or --brokers 0")
    return KafkaCluster(home, folder / "kafka", brokers=brokers, settings=APACHE_SETTINGS)


if __name__ == "__main__":
    os.environ.setdefault("PREFSTREAM_NO_REEXEC", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models lose more to threads than they gain
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(chaos)
    app()
