"""`python -m tests.cutovers`: ten cut-overs, two of them broken, under load; with SIGKILL at every step if wanted.

Two processes of one group on Apache Kafka (KAFKA_HOME). Told: whether each record was answered once, by which panels in
the order of offsets, the longest time in which nothing was answered, and what memory the processes took.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import typer
import yaml
from rich.console import Console
from rich.table import Table

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.panels.choices import publish_choice
from prefstream.scoring.config import DEMO_PANEL, load_panel_config
from tests.support.kafka.cluster import KafkaCluster, kafka_home
from tests.support.panel_folders import choice, write_panels
from tests.support.processes import PREFSTREAM, Prefstream, run_arguments
from tests.support.streams import (
    assert_exactly_once,
    battle_events,
    fresh_config,
    produce,
    read_topic,
    wait_until,
)

PARTITIONS: Final = 4
PROCESSES: Final = 2

CHOSEN: Final = ("b", "a", "broken", "c", "b", "a", "nowhere", "c", "a", "b")
"""Ten choices; `broken` is a panel file without judges, `nowhere` is no file."""

DEALT_WITH: Final = ("taken over", "not taken over", "answers already")
"""What the log says of the panel once a choice is dealt with."""

STEPS: Final = ("heard", "loading", "loaded", "handed over", "through")
"""Where a process is killed: each step of taking a panel over, just after it."""

KILLED_AT: Final = """
import os, signal
from pathlib import Path
from prefstream.consumer.panels import cutover
def dies(step, method, before=False):
    original = getattr(cutover.CutOver, method)
    def wrapped(self, *given, **named):
        if not before: done = original(self, *given, **named)
        order = Path({order!r})
        try: wanted = order.read_text() == step
        except OSError: wanted = False
        if wanted:
            try: order.unlink()
            except OSError: wanted = False
        if wanted: os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *given, **named) if before else done
    setattr(cutover.CutOver, method, wrapped)
dies("heard", "_begin")
dies("loading", "_load_beside", before=True)
dies("loaded", "_load_beside")
dies("handed over", "_end")
let_go = cutover._close
def closing(panels):
    let_go(panels)
    order = Path({order!r})
    if order.exists() and order.read_text() == "through":
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
cutover._close = closing
"""
"""Put before a program: it kills itself behind the step that a file names, which it takes away."""


class Fleet:
    """Processes that serve, started again when they are gone."""

    def __init__(self, config: StreamConfig, folder: Path, panel: Path, program: str) -> None:
        self._config = config
        self._folder = folder
        self._panel = panel
        self._program = program
        self.kills = 0
        self.processes = [self._start(number) for number in range(PROCESSES)]

    def _start(self, number: int) -> Prefstream:
        arguments = run_arguments(
            self._config,
            self._panel,
            panels=self._config.panels,
            panels_topic=self._config.panels_topic,
            instance_id=f"i{number}",
            max_batch_battles=16,
        )
        return Prefstream(*arguments, log=self._folder / f"{number}.log", program=self._program)

    def look(self) -> None:
        """Start those again that are gone."""
        for number, process in enumerate(self.processes):
            if process.ended:
                assert process.process.returncode == -9, process.log[-3000:]
                process.kill()
                self.kills += 1
                self.processes[number] = self._start(number)

    def rss_mb(self) -> list[float]:
        """What each takes of memory."""
        taken = []
        for process in self.processes:
            with suppress(psutil.NoSuchProcess):  # killed, and not started again yet
                taken.append(psutil.Process(process.process.pid).memory_info().rss / 2**20)
        return taken

    def answered(self) -> int:
        """Preferences that readers can see."""
        self.look()
        return len(read_topic(self._config.bootstrap_servers, self._config.preferences_topic))

    def handled(self) -> bool:
        """Whether every process has dealt with the last choice: taken it over, told why not, or begun with it."""
        self.look()
        for process in self.processes:
            dealt = sum(len(process.log_events(f"panel {told}")) for told in DEALT_WITH)
            heard = len(process.log_events("panel chosen"))
            started_since = bool(process.log_events("streaming"))
            if not started_since or dealt < heard:
                return False
        return True


@contextmanager
def load_of(config: StreamConfig, sent: list[Any], per_s: float) -> Iterator[None]:
    """So many battles a second, until the block ends."""
    stop = threading.Event()

    def send_on() -> None:
        while not stop.is_set():
            began = time.monotonic()
            sent.extend(produce(config, battle_events(20, first=len(sent))))
            stop.wait(max(0.0, 20 / per_s - (time.monotonic() - began)))

    thread = threading.Thread(target=send_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def panels_of(folder: Path, *, models: bool) -> Path:
    """The folder of panels: priors, or the demo's smallest judge with three calibrations of its own."""
    folder.mkdir()
    write_panels(folder, "a", "b", "c", seconds_per_batch=0.02)
    if models:
        demo = load_panel_config(DEMO_PANEL)
        [smallest] = [judge for judge in demo.judges if judge.name == "smollm"]
        entry = smallest.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        for name in ("a", "b", "c"):
            content = {"judges": [entry | {"name": name, "kind": smallest.kind}]}
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    (folder / "broken.yaml").write_text("judges: []\n")
    return folder


def longest_gap_s(config: StreamConfig) -> float:
    """The longest time between two commits of preferences, by the brokers' clock."""
    stamps = sorted(record.timestamp for record in read_topic(config.bootstrap_servers, config.preferences_topic))
    return max((after - before for before, after in pairwise(stamps)), default=0) / 1000


def measure(
    *,
    kill: Annotated[bool, typer.Option(help="SIGKILL a process at every step, in turn.")] = False,
    models: Annotated[bool, typer.Option(help="The demo's smollm as judge, in place of priors.")] = False,
    per_s: Annotated[float, typer.Option(help="Battles a second.")] = 200.0,
    settle_s: Annotated[float, typer.Option(help="Between two choices.")] = 2.0,
    seed: Annotated[int | None, typer.Option(help="Of which process a kill hits.")] = None,
) -> None:
    """Ten cut-overs, two of them broken, under load."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    home = kafka_home()
    if home is None:
        console.print("name an unpacked Apache Kafka by KAFKA_HOME (needs Java 17)")
        raise typer.Exit(2)
    seed = random.SystemRandom().randrange(10_000) if seed is None else seed
    console.print(f"seed {seed}")
    scratch = Path(tempfile.mkdtemp(prefix="prefstream-cutovers-"))
    order = scratch / "kill"
    folder = panels_of(scratch / "panels", models=models)
    program = (KILLED_AT.format(order=str(order)) if kill else "") + PREFSTREAM
    memory: list[list[float]] = []
    sent: list[Any] = []
    with KafkaCluster(home, scratch / "broker") as cluster:
        config = fresh_config(cluster.bootstrap_servers, partitions=PARTITIONS, panels=folder)
        fleet = Fleet(config, scratch, folder / "a.yaml", program)
        try:
            for process in fleet.processes:
                process.wait_streaming()
            stop_watching = threading.Event()

            def watch_memory() -> None:
                while not stop_watching.wait(0.05):
                    memory.append(fleet.rss_mb())

            watcher = threading.Thread(target=watch_memory)
            with load_of(config, sent, per_s):
                wait_until(lambda: len(sent) > 100)
                time.sleep(settle_s)
                before = fleet.rss_mb()
                watcher.start()
                for number, name in enumerate(CHOSEN, start=1):
                    if kill:
                        order.write_text(STEPS[(number - 1) % len(STEPS)])
                    publish_choice(config, choice(config.group_id, name, earlier=(choice("x", "a").serving,)))
                    began = time.monotonic()
                    time.sleep(1.0)  # to be heard of
                    wait_until(fleet.handled, 300.0, f"choice {number}")
                    console.print(f"{number} {name}: dealt with after {time.monotonic() - began:.1f} s")
                    time.sleep(settle_s)
                    fleet.look()
                stop_watching.set()
                watcher.join()
                after = fleet.rss_mb()
            wait_until(lambda: fleet.answered() >= len(sent), 300.0, "the last answer")
            outcome = assert_exactly_once(config, sent)
            _tell(console, config, fleet, outcome, (before, memory, after))
        finally:
            for process in fleet.processes:
                process.kill()
    shutil.rmtree(scratch, ignore_errors=True)


def _tell(console: Console, config: StreamConfig, fleet: Fleet, outcome: Any, memory: Any) -> None:
    before, during, after = memory
    orders: dict[int, list[str]] = {}
    for preference in sorted(outcome.preferences, key=lambda one: (one.source.partition, one.source.offset)):
        stretch = orders.setdefault(preference.source.partition, [])
        name = preference.judges[0].name
        if not stretch or stretch[-1] != name:
            stretch.append(name)
    table = Table("figure", "value", title="cut-overs")
    table.add_row("records, each answered once", f"{sum(outcome.positions.values()):,}")
    table.add_row("processes killed", str(fleet.kills))
    table.add_row(
        "answered by",
        ", ".join(
            f"{name}: {n:,}" for name, n in sorted(Counter(one.judges[0].name for one in outcome.preferences).items())
        ),
    )
    for partition, stretch in sorted(orders.items()):
        table.add_row(f"partition {partition}", " ".join(stretch))
    table.add_row("longest time without an answer", f"{longest_gap_s(config):.2f} s")
    table.add_row("memory of a process before", ", ".join(f"{mb:.0f} MB" for mb in before))
    table.add_row("at most", f"{max((mb for row in during for mb in row), default=0):.0f} MB")
    table.add_row("after", ", ".join(f"{mb:.0f} MB" for mb in after))
    console.print(table)


if __name__ == "__main__":
    typer.run(measure)
