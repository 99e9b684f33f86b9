"""`python -m tests.chaos`: a run of any length, with its figures."""

from __future__ import annotations

import os
import random
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from consumer.broker import EmbeddedBroker
from tests.chaos.driver import Cycle, Report, plan, run_chaos
from tests.chaos.world import World
from tests.kafka.cluster import ENV_HOME, KafkaCluster, kafka_home


def chaos(
    *,
    cycles: Annotated[int, typer.Option(min=1, help="How many faults.")] = 200,
    brokers: Annotated[int, typer.Option(min=0, help="Apache Kafka's brokers, 1 or 3; 0 for the embedded one.")] = 3,
    processes: Annotated[int, typer.Option(min=1, help="Processes of `prefstream run`.")] = 3,
    battles: Annotated[int, typer.Option(min=1, help="Records over all cycles, at least.")] = 50_000,
    seed: Annotated[int | None, typer.Option(help="Of every choice; a new one by default.")] = None,
    first: Annotated[int, typer.Option(min=0, help="Number of the first cycle: goes on where a run ended.")] = 0,
    only: Annotated[str, typer.Option(help="Only faults whose name contains this.")] = "",
    keep: Annotated[Path | None, typer.Option(help="Keep logs in this folder.")] = None,
) -> None:
    """Strike a running stream with faults, and let an independent reader count what came out.

    Exit codes: 0 every input has exactly one answer, 1 not.
    """
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    console = Console()
    console.print(f"seed {seed}: the same cycles again with --seed {seed}")
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        folder.mkdir(parents=True, exist_ok=True)
        cluster = stack.enter_context(_cluster(folder, brokers)) if brokers else None
        servers = cluster.bootstrap_servers if cluster else stack.enter_context(EmbeddedBroker()).bootstrap_servers
        world = stack.enter_context(World(servers, folder, processes=processes, partitions=6, cluster=cluster))
        faults = plan(seed, cycles, brokers=brokers, first=first, only=only)
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
        ) as progress:
            task = progress.add_task("cycles", total=len(faults))

            def tell(cycle: Cycle) -> None:
                progress.console.print(
                    f"{cycle.number:4} {cycle.fault:34} {cycle.strike_s:6.1f} s, then {cycle.recovery_s:6.1f} s"
                )
                progress.advance(task)

            report = run_chaos(world, faults, seed=seed, battles=battles, first=first, on_cycle=tell)
    _show(report, console)
    if not report.verdict.is_clean or report.leaks:
        raise typer.Exit(1)


def _cluster(folder: Path, brokers: int) -> KafkaCluster:
    home = kafka_home()
    if home is None:
        raise typer.BadParameter(f"{ENV_HOME} should name an unpacked Kafka, and Java be there; or --brokers 0")
    return KafkaCluster(home, folder / "kafka", brokers=brokers)


def _show(report: Report, console: Console) -> None:
    table = Table(title=f"{len(report.cycles)} faults; seconds from the end of each until all was answered")
    for column in ("fault", "times", "median", "worst"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    for fault, times in report.recoveries().items():
        table.add_row(fault, str(len(times)), f"{times[len(times) // 2]:.1f}", f"{times[-1]:.1f}")
    console.print(table)
    console.print(f"exit codes: {dict(sorted(report.exits.items()))}; words of users in logs: {report.leaks or 'none'}")
    console.print(f"{report.verdict}", style="green" if report.verdict.is_clean else "bold red")


if __name__ == "__main__":
    os.environ.setdefault("PREFSTREAM_NO_REEXEC", "1")
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(chaos)
    app()
