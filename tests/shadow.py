"""`python -m tests.shadow`: what a shadow costs those who serve, and whether it can do them any harm.

On one broker of Apache Kafka (`KAFKA_HOME`), all on this machine: battles come, a process serves them, and beside it
runs a shadow that answers all of them as well, by a judge that is well, slow, hangs, or raises; a supervisor starts it
again when it ends. No judge costs anything but the time that it is told to take, so that what is measured is the
stream. Arms take turns. Afterwards a reader of its own counts the answers of both.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
import urllib3
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Column, Table

from prefstream.consumer.bench.cluster import fill, fresh_config, two_kilobytes
from prefstream.consumer.client.clients import admin_client
from prefstream.consumer.client.topics import wait_until_led
from prefstream.consumer.config import StreamConfig
from prefstream.schemas import Battle, KafkaSource, decode_preference
from tests.support.kafka.cluster import ENV_HOME, KafkaCluster, kafka_home
from tests.support.priors import write_prior_panel
from tests.support.processes import PREFSTREAM, Prefstream, run_arguments
from tests.support.streams import read_outcome, read_topic, wait_until

_SPOILT: Final = """
import time
from prefstream.scoring.judges.prior import PriorJudge
def score(judge, batch):
    {}
PriorJudge.score = score
"""

ARMS: Final = {
    "alone": "",
    "a shadow": PREFSTREAM,
    "a shadow that is slow": PREFSTREAM,
    "a shadow that hangs": _SPOILT.format("time.sleep(3600)") + PREFSTREAM,
    "a shadow that raises": _SPOILT.format("raise RuntimeError('told to')") + PREFSTREAM,
}
"""What stands beside those who serve: the program of its process, if there is one."""

ALONE: Final = next(iter(ARMS))
SLOW_S: Final = 0.5
"""What a batch takes a judge that is slow."""

HANGS_S: Final = 1.0
"""After so long a process ends whose judge hangs: it is started again several times in a run."""

RESTART_S: Final = 0.2
"""What a supervisor waits before it starts a process again."""

ANSWERED_S: Final = 600.0
LOOK_S: Final = 0.05


@dataclass(frozen=True)
class Run:
    """What one run of an arm gave.

    Attributes:
        seconds: from when the first battle was written until the last one was answered by those who serve.
        cpu_s: that the serving process computed meanwhile.
        serving_exact: whether each battle has exactly one answer of theirs, and nothing else has.
        shadow_answers: battles that the shadow has answered by then, or in the end, where its judge is well.
        shadow_exact: whether it has answered none twice, and all, where its judge is well.
        starts: of the shadow's process.
    """

    seconds: float
    cpu_s: float
    serving_exact: bool
    shadow_answers: int
    shadow_exact: bool
    starts: int


class Supervised:
    """A process that is started again whenever it ends."""

    def __init__(self, arguments: list[str], program: str, log: Path) -> None:
        self.starts = 0
        self._command = (arguments, program, log)
        self._stopping = threading.Event()
        self._process: Prefstream | None = None
        self._thread = threading.Thread(target=self._supervise, daemon=True)
        self._thread.start()

    def wait_streaming(self) -> None:
        """Wait until it reads battles for the first time."""
        wait_until(lambda: self._process, what="the shadow's process")
        assert self._process
        self._process.wait_streaming()

    def end(self) -> None:
        """Kill it for good."""
        self._stopping.set()
        self._thread.join()

    def _supervise(self) -> None:
        arguments, program, log = self._command
        while not self._stopping.is_set():
            self._process = Prefstream(*arguments, log=log, program=program)
            self.starts += 1
            while not self._process.ended and not self._stopping.wait(LOOK_S):
                pass
            self._process.kill()
            self._stopping.wait(RESTART_S)


def run_arm(arm: str, servers: str, folder: Path, texts: Sequence[Battle]) -> Run:
    """Run an arm once, on topics of its own."""
    battles = len(texts)
    config = fresh_config(servers, StreamConfig().max_batch_battles)
    shadow = config.model_copy(update={"shadow": True, "shadow_topic": f"{config.group_id}.shadow"})
    with admin_client(config) as admin:
        admin.create_topics({shadow.shadow_topic: {"num_partitions": 4, "replication_factor": 1}})
        wait_until_led(admin, [shadow.shadow_topic])
    panel = write_prior_panel(folder)
    options: dict[str, object] = {"log_level": "info", "instance_id": "one"}
    serving = Prefstream(*run_arguments(config, panel, http_port=0, **options), log=folder / "serving.log")
    try:
        url = serving.wait_streaming()["http"]
        judged = write_prior_panel(folder, SLOW_S) if "slow" in arm else panel
        arguments = run_arguments(shadow, judged, score_timeout_s=HANGS_S, **options)
        with _beside(arguments, ARMS[arm], folder / "shadow.log") as beside:
            before = _asked(url)
            began = time.monotonic()
            fill(config, texts)
            wait_until(lambda: serving.ended or _asked(url)[0] >= battles, ANSWERED_S, "all answers")
            seconds = time.monotonic() - began
            cpu_s = _asked(url)[1] - before[1]
            well = arm == "a shadow"
            if well:
                wait_until(lambda: len(_answered(shadow)) >= battles, ANSWERED_S, "all answers of the shadow")
    finally:
        serving.kill()
    outcome = read_outcome(config)
    answered = _answered(shadow)
    positions = set(outcome.positions)
    return Run(
        seconds,
        cpu_s,
        len(outcome.preferences) == len(positions) == battles and not outcome.dead_letters,
        answered.total(),
        max(answered.values(), default=1) == 1
        and answered.keys() <= positions
        and (len(answered) == battles or not well),
        beside.starts if beside else 0,
    )


@contextmanager
def _beside(arguments: list[str], program: str, log: Path) -> Iterator[Supervised | None]:
    if not program:
        yield None
        return
    supervised = Supervised(arguments, program, log)
    try:
        supervised.wait_streaming()
        yield supervised
    finally:
        supervised.end()


def _asked(url: str) -> tuple[float, float]:
    """Preferences that were published, and seconds computed, by the process's metrics."""
    answer = urllib3.request("GET", f"{url}/metrics", timeout=100)
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(answer.data.decode())
        for sample in family.samples
    }
    return samples["prefstream_preferences_published_total"], samples["process_cpu_seconds_total"]


def _answered(shadow: StreamConfig) -> Counter[tuple[str, int, int]]:
    """How often the shadow has answered each battle."""
    answered: Counter[tuple[str, int, int]] = Counter()
    for record in read_topic(shadow.bootstrap_servers, shadow.shadow_topic):
        source = decode_preference(record.value).source
        assert isinstance(source, KafkaSource)
        answered[source.topic, source.partition, source.offset] += 1
    return answered


def measure(
    *,
    battles: Annotated[int, typer.Option(min=1, help="Of 2 KB each, in every run.")] = 20_000,
    repetitions: Annotated[int, typer.Option(min=1, help="Of each arm; they take turns.")] = 3,
) -> None:
    """Exits with 1 where anybody's answers are not exactly once. For its figures it needs a quiet machine."""
    console = Console(width=None if sys.stdout.isatty() else 140)  # a log file has no width
    home = kafka_home()
    if home is None:
        console.print(f"needs an unpacked Apache Kafka: name it by {ENV_HOME} (and have Java 17)")
        raise typer.Exit(2)
    runs: dict[str, list[Run]] = {arm: [] for arm in ARMS}
    texts = [two_kilobytes(number) for number in range(battles)]
    with tempfile.TemporaryDirectory(prefix="prefstream-shadow-") as name:
        folder = Path(name)
        with KafkaCluster(home, folder / "kafka") as cluster:
            for repetition in range(repetitions):
                for arm in ARMS if repetition % 2 == 0 else reversed(ARMS):
                    own = folder / f"{repetition}-{arm.replace(' ', '-')}"
                    own.mkdir()
                    runs[arm].append(run_arm(arm, cluster.bootstrap_servers, own, texts))
                    console.log(f"run {repetition + 1} of {repetitions}: {arm}: {runs[arm][-1]}", markup=False)
    columns = (
        "battles/s",
        "of alone",
        "lowest",
        "highest",
        "CPU s",
        "exactly once",
        "the shadow",
        "its answers",
        "its starts",
    )
    table = Table("beside those who serve", *(Column(name, justify="right") for name in columns))
    for arm, done in runs.items():
        ratios = [alone.seconds / one.seconds for one, alone in zip(done, runs[ALONE], strict=True)]
        table.add_row(
            arm,
            f"{battles / statistics.mean(one.seconds for one in done):,.0f}",
            *(f"{ratio:.2f}" for ratio in (statistics.median(ratios), min(ratios), max(ratios))),
            f"{statistics.mean(one.cpu_s for one in done):.1f}",
            "yes" if all(one.serving_exact for one in done) else "NO",
            "yes" if all(one.shadow_exact for one in done) else "NO",
            ", ".join(f"{one.shadow_answers:,}" for one in done),
            ", ".join(str(one.starts) for one in done),
        )
    console.print(table)
    if not all(one.serving_exact and one.shadow_exact for done in runs.values() for one in done):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(measure)
