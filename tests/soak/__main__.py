"""`python -m tests.soak`: a steady load of any length, with its figures and a picture."""

from __future__ import annotations

import os
import random
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from prefstream.scoring.runtime import MALLOC_SETTINGS
from tests.chaos.world.world import World
from tests.soak.steady import WARM_UP_S, Course, Sample, steady
from tests.support.kafka.cluster import KafkaCluster, kafka_home
from tests.support.processes import broker_process


def soak(
    *,
    minutes: Annotated[float, typer.Option(min=0.5, help="How long.")] = 30.0,
    rate: Annotated[int, typer.Option(min=1, help="Battles a second; a tenth of them can't be scored.")] = 50,
    warm_up: Annotated[float, typer.Option(help="Minutes before growth counts.")] = WARM_UP_S / 60,
    apache: Annotated[bool, typer.Option(help="On Apache Kafka from KAFKA_HOME, or on the embedded broker.")] = True,
    seed: Annotated[int, typer.Option(help="Of the records.")] = 0,
    out: Annotated[Path, typer.Option("-o", resolve_path=True, help="Folder for figures and log.")] = Path("soak"),
) -> None:
    """Keep `prefstream run` with two tiny models busy, and see whether it grows.

    Exit codes: 0 it does not, and every record has exactly one answer; 1 not.
    """
    console = Console()
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        servers = stack.enter_context(broker_process(out / "broker.log")) if not apache else _apache(stack)
        world = stack.enter_context(World(servers, out, processes=1, partitions=6, models=True))
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console
        ) as progress:
            task = progress.add_task("load", total=minutes * 60)

            def tell(sample: Sample) -> None:
                text = f"{sample.rss_mb:6.0f} MB, {sample.descriptors} descriptors, {sample.threads} threads"
                progress.update(task, completed=sample.seconds, description=f"{text}, {sample.lag:5} unanswered")

            course = steady(
                world,
                seconds=minutes * 60,
                rate=rate,
                generator=random.Random(seed),
                warm_up_s=warm_up * 60,
                on_sample=tell,
            )
    course.write(out / "soak.json")
    course.draw(out / "soak.png")
    _show(course, console)
    if not course.is_steady:
        raise typer.Exit(1)


def _apache(stack: ExitStack) -> str:
    home = kafka_home()
    if home is None:
        raise typer.BadParameter("KAFKA_HOME should name an unpacked Kafka, and Java be there; or --no-apache")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
    return stack.enter_context(KafkaCluster(home, folder / "kafka")).bootstrap_servers


def _show(course: Course, console: Console) -> None:
    table = Table("", "", show_header=False, title=f"{course.produced:,} records at {course.rate} a second")
    first, last = course.settled[0], course.settled[-1]
    table.add_row("memory after warm-up", f"{first.rss_mb:.0f} to {last.rss_mb:.0f} MB")
    table.add_row("its slope", f"{course.slope_mb_per_min:+.3f} MB/min")
    table.add_row("file descriptors", f"{course.growth(lambda sample: sample.descriptors):+d}")
    table.add_row("threads", f"{course.growth(lambda sample: sample.threads):+d}")
    table.add_row("longest queue", f"{course.worst_lag_s:.1f} s of load")
    console.print(table)
    console.print(f"{course.verdict}", style="green" if course.verdict.is_clean else "bold red")


if __name__ == "__main__":
    os.environ.setdefault("PREFSTREAM_NO_REEXEC", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.update(MALLOC_SETTINGS)  # what `prefstream run` starts itself again with
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(soak)
    app()
