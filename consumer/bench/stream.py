"""Benchmarks of the stream, each against another program in the same run, because only ratios travel.

* Overhead: the service with judges that cost nothing, against a bare kafka-python loop that consumes, sends and
  commits batches of the same size, and against quix-streams where it is installed; and against itself with traces, if
  asked for. The topic is filled once, in record
  batches of about a megabyte, as a busy producer fills it: small ones take a reader's time.
* Stream against offline: the same battles, the same loaded panel, once through Kafka and once from a file.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from prefstream.consumer.bench.arms import (
    ArmRun,
    in_own_process,
    quix_python,
    run_bare_loop,
    run_quix,
    run_service,
    serve,
)
from prefstream.consumer.bench.cluster import broker, fill, fresh_config, two_kilobytes
from prefstream.consumer.bench.span_sink import span_sink
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.files.score import score_file
from prefstream.consumer.files.score_output import ScorePaths
from prefstream.schemas import Battle, encode_battle
from prefstream.scoring.bench.side_by_side import SideBySide
from prefstream.scoring.panel.panel import Panel

STREAM: Final = "stream"
BARE_LOOP: Final = "bare loop"
QUIX_STREAMS: Final = "quix-streams"
TRACED: Final = {"stream, 1 % traced": 0.01, "stream, all traced": 1.0}
"""The stream with traces, by the share of battles that get one."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """Runs of each program; those at the same place were neighbours in time.

    Attributes:
        battles: in each run.
        runs: by program. `QUIX_STREAMS` is not among them where it is not installed, nor are those of `TRACED` where
            nobody asked.
    """

    battles: int
    runs: Mapping[str, tuple[ArmRun, ...]]

    def against(self, other: str) -> dict[str, Any] | None:
        """The stream by another program, in battles per second and per second of a processor; None where it is not."""
        if other not in self.runs:
            return None
        ours, theirs = self.runs[STREAM], self.runs[other]
        sides = {
            "speed": ([run.seconds for run in ours], [run.seconds for run in theirs]),
            "cpu_speed": ([run.cpu_seconds for run in ours], [run.cpu_seconds for run in theirs]),
        }
        return {name: SideBySide.of_seconds(self.battles, *seconds).to_fields() for name, seconds in sides.items()}

    def to_fields(self) -> dict[str, Any]:
        """For a JSON file: the comparison with each program."""
        one_percent, everything = map(self.against, TRACED)
        return {
            "bare_loop": self.against(BARE_LOOP),
            "quix_streams": self.against(QUIX_STREAMS),
            "traced_1_percent": one_percent,
            "traced_all": everything,
        }


def overhead(
    battles: int,
    batch: int,
    repetitions: int,
    bootstrap_servers: str | None = None,
    *,
    quix: Path | None = None,
    traces: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Overhead:
    """The service with prior judges against others that consume, send and commit, exactly once all of them.

    Args:
        battles: battles of 2 KB in each run.
        batch: battles in a transaction.
        repetitions: how often each program runs; which one begins changes.
        bootstrap_servers: a cluster; None starts the embedded broker in a process of its own.
        quix: an interpreter that has quix-streams; None takes this one, if it has.
        traces: the stream with traces, too, which go to a collector in this process.
        say: told what is being run, a line at a time.
    """
    programs: dict[str, Callable[[StreamConfig, int], ArmRun]] = {
        STREAM: partial(in_own_process, run_service),
        BARE_LOOP: partial(in_own_process, run_bare_loop),
    }
    if python := quix or quix_python():
        programs[QUIX_STREAMS] = partial(run_quix, python)
    if traces:
        programs |= {name: partial(_run_traced, ratio) for name, ratio in TRACED.items()}
    runs: dict[str, list[ArmRun]] = {name: [] for name in programs}
    order = list(programs)
    with broker(bootstrap_servers) as servers, span_sink() if traces else nullcontext() as sink:
        filled = fresh_config(servers, batch)
        fill(filled, [two_kilobytes(number) for number in range(battles)])
        for _ in range(repetitions):
            for name in order:
                config = fresh_config(servers, batch).model_copy(update={"battles_topic": filled.battles_topic})
                run = programs[name](config, battles)
                cpu_us = 1e6 * run.cpu_seconds / battles
                spans = f", {sink.take():,} spans arrived" if sink and name in TRACED else ""
                say(f"{name}: {battles / run.seconds:,.0f} battles/s, {cpu_us:.1f} CPU µs a battle{spans}")
                runs[name].append(run)
            order.append(order.pop(0))
    return Overhead(battles, {name: tuple(done) for name, done in runs.items()})


def _run_traced(ratio: float, config: StreamConfig, battles: int) -> ArmRun:
    traced = config.model_copy(update={"traces": True, "traces_ratio": ratio})
    return in_own_process(run_service, traced, battles)


def stream_against_offline(
    panel: Panel, battles: Sequence[Battle], batch: int, repetitions: int, bootstrap_servers: str | None = None
) -> SideBySide:
    """The same battles and panel through Kafka and from a file, in batches of the same size."""
    with broker(bootstrap_servers) as servers:
        ours_s, theirs_s = [], []
        for _ in range(repetitions):
            theirs_s.append(_offline_seconds(panel, battles, batch))
            config = fresh_config(servers, batch)
            fill(config, battles)
            ours_s.append(serve(config, panel, len(battles)).seconds)
    return SideBySide.of_seconds(len(battles), ours_s, theirs_s)


def _offline_seconds(panel: Panel, battles: Sequence[Battle], batch: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "battles.jsonl"
        source.write_bytes(b"".join(encode_battle(battle) + b"\n" for battle in battles))
        paths = ScorePaths(Path(folder) / "out.jsonl", source=source)
        started = time.monotonic()
        score_file(paths, panel, identity="bench", observer=_Silent(), stop=threading.Event(), chunk_rows=batch)
        return time.monotonic() - started


class _Silent:
    """Watches a run and says nothing."""

    def rejected(self, line: int, row: object) -> None:
        """Every battle here is valid."""

    def warned(self, line: int, warning: str) -> None:
        """Every battle here is plain."""

    def advanced(self, done_bytes: int, rows: int) -> None:
        """Nobody looks."""
