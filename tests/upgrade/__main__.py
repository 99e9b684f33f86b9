"""`python -m tests.upgrade`: from another version to this one and back, process by process, under load."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from prefstream.consumer.broker import EmbeddedBroker
from tests.chaos.world.world import World
from tests.support.kafka.cluster import ENV_HOME, KafkaCluster, kafka_home
from tests.upgrade.rolling import Step, installed, upgrade_and_back


def upgrade(
    *,
    old: Annotated[Path, typer.Option(help="Python of a virtual environment that has the other version.")],
    brokers: Annotated[int, typer.Option(min=0, help="Apache Kafka's brokers, 1 or 3; 0 for the embedded one.")] = 1,
    records: Annotated[int, typer.Option(min=1, help="To write before each step, and after it.")] = 300,
    old_options: Annotated[str, typer.Option(help="Options of `run` for the other version alone.")] = "",
    new_options: Annotated[str, typer.Option(help="Options of `run` for this version alone.")] = "",
    seed: Annotated[int | None, typer.Option(help="Of every choice; a new one by default.")] = None,
    keep: Annotated[Path | None, typer.Option(resolve_path=True, help="Keep logs in this folder.")] = None,
) -> None:
    """Replace three processes of another version by this one, one by one, and take them back, while records flow.

    Exit codes: 0 every input has exactly one answer, 1 not.
    """
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(f"seed {seed}")
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="upgrade-")))
        folder.mkdir(parents=True, exist_ok=True)
        cluster = stack.enter_context(_cluster(folder, brokers)) if brokers else None
        embedded = None if brokers else stack.enter_context(EmbeddedBroker())
        broker = cluster or embedded
        assert broker is not None
        before = installed(str(old.absolute()), folder / "path", "old", old_options.split())
        after = installed(sys.executable, folder / "path", "new", new_options.split())
        world = World(
            broker.bootstrap_servers,
            folder,
            processes=3,
            partitions=6,
            cluster=cluster,
            embedded=embedded,
            leavers=False,
            review=False,  # an older version knows no such option
        )
        for process in world.fleet:
            process.version = before
        stack.enter_context(world)
        steps: list[Step] = []
        for step in upgrade_and_back(world, before, after, records=records, generator=random.Random(seed)):
            console.print(
                f"{step.process} -> {step.version:4} {step.how:22} reads after {step.away_s:5.1f} s; "
                f"silence {step.silence_s:5.1f} s, stall {step.stall_s:5.1f} s"
            )
            steps.append(step)
        verdict = world.verify()
        sight = world.look_back()
        console.print(_table(steps))
        exits = {process.name: dict(process.exits) for process in world.fleet}
        is_clean = verdict.is_clean and sight.is_clean
        console.print(f"exit codes: {exits}\n{sight}\n{verdict}", style="green" if is_clean else "bold red")
    if not is_clean:
        raise typer.Exit(1)


def _table(steps: list[Step]) -> Table:
    table = Table(title="each process in turn, in seconds")
    for column in ("process", "version", "by", "reads again after", "silence", "stall"):
        table.add_column(column)
    for step in steps:
        figures = (f"{figure:.1f}" for figure in (step.away_s, step.silence_s, step.stall_s))
        table.add_row(step.process, step.version, step.how, *figures)
    return table


def _cluster(folder: Path, brokers: int) -> KafkaCluster:
    home = kafka_home()
    if home is None:
        raise typer.BadParameter(f"{ENV_HOME} should name an unpacked Kafka, and Java be there; or --brokers 0")
    return KafkaCluster(home, folder / "kafka", brokers=brokers)


if __name__ == "__main__":
    os.environ.setdefault("PREFSTREAM_NO_REEXEC", "1")
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(upgrade)
    app()
