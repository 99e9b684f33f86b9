"""How long a reader of committed records waits for a battle's answer, beside what no stream can be quicker than.

That is one pass of the judge and one commit, as both took in the same run. The service runs in a process of its own;
writer and reader are one other process, so that one clock takes the time, from the call that sends a battle until the
poll that brings its preference. Battles come at random moments (a Poisson process) whatever the stream does, so that
one which falls behind is seen to. What it can do at most is measured first, by battles that wait for it.
"""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np

from prefstream.consumer.bench.cluster import broker, fresh_config, two_kilobytes
from prefstream.consumer.client.clients import make_consumer, make_producer
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import StreamError
from prefstream.consumer.observe.logs import configure_logging
from prefstream.consumer.observe.metrics import COMMIT_SECONDS, INFERENCE_SECONDS
from prefstream.consumer.process.garbage import collect_rarely, keep_what_is_loaded
from prefstream.consumer.stream.service import Service
from prefstream.schemas import Probabilities, encode_battle
from prefstream.scoring.config import PanelConfig, PriorJudgeConfig, SimulateConfig
from prefstream.scoring.panel.load import load_panel

LINGERS_MS: Final = (50, 0)
BATCH_BATTLES: Final = 64
"""The stream's default."""

LONE_EVERY_S: Final = 0.4
"""Rests long enough that nothing of the battle before is under way."""

START_TIMEOUT_S: Final = 120.0
WAIT_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """How battles come, and what a pass costs.

    Attributes:
        name: of the case.
        pass_s: seconds of a judge's pass, whatever the number of battles; 0 for a judge that is free.
        share: of what the stream can do at most; None for battles that come alone.
        backlog: battles by which is measured what it can do at most. They take a second or two, so that it hardly
            matters how many come at once; the judge and the client's paths are warm after them.
    """

    name: str
    pass_s: float
    share: float | None
    backlog: int


LOADS: Final = (
    Load("lone battles, passes of 67 ms", 0.067, None, 1_000),
    Load("half load, passes of 67 ms", 0.067, 0.5, 2_000),
    Load("half load, passes of 5 ms", 0.005, 0.5, 10_000),
    Load("half load, free judge", 0.0, 0.5, 20_000),
)


@dataclass(frozen=True, slots=True)
class LatencyRun:
    """One case.

    Attributes:
        load: its name.
        linger_ms: setting of the stream.
        battles_per_s: that came.
        p50_s: median of the seconds from sent to read.
        p95_s: 95th percentile of it.
        p99_s: 99th.
        pass_s: mean time of a pass, as the stream saw it.
        commit_s: mean time of a transaction.
    """

    load: str
    linger_ms: int
    battles_per_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    pass_s: float
    commit_s: float

    def to_fields(self) -> dict[str, Any]:
        """For a JSON file, with the percentiles in passes and commits."""
        least_s = self.pass_s + self.commit_s
        ratios = {name: getattr(self, f"{name}_s") / least_s for name in ("p50", "p95", "p99")}
        return {**asdict(self), "of_pass_and_commit": ratios}


def latency(
    seconds: float, bootstrap_servers: str | None = None, *, loads: Sequence[Load] = LOADS
) -> Iterator[LatencyRun]:
    """Measure each load with each linger.

    Args:
        seconds: of each measurement, after the backlog that comes first.
        bootstrap_servers: a cluster; None starts the embedded broker in a process of its own.
        loads: what is measured.

    Raises:
        StreamError: the stream ended, or answers did not come.
    """
    with broker(bootstrap_servers) as servers:
        for load in loads:
            for linger_ms in LINGERS_MS:
                config = fresh_config(
                    servers,
                    BATCH_BATTLES,
                    max_batch_tokens=StreamConfig.model_fields["max_batch_tokens"].default,
                    linger_ms=linger_ms,
                )
                yield _measure(config, load, seconds)


def _measure(config: StreamConfig, load: Load, seconds: float) -> LatencyRun:
    with (
        _serving(config, load.pass_s) as service,
        closing(_Reader(config)) as reader,
        closing(_Writer(config)) as writer,
    ):
        writer.send([0.0] * load.backlog)
        most_per_s = rate_per_s(reader.wait(load.backlog))
        service.send("begin")
        gap_s = LONE_EVERY_S if load.share is None else 1 / (load.share * most_per_s)
        writer.send(list(_gaps(gap_s, seconds, random_gaps=load.share is not None)))
        reader.wait(len(writer.sent_at))
        service.send("end")
        pass_s, commit_s = service.recv()
        waited = [reader.read_at[number] - sent for number, sent in enumerate(writer.sent_at)][load.backlog :]
        p50, p95, p99 = np.percentile(waited, [50, 95, 99]).tolist()
        rate = len(waited) / (writer.sent_at[-1] - writer.sent_at[load.backlog] + gap_s)
        return LatencyRun(load.name, config.linger_ms, rate, p50, p95, p99, pass_s, commit_s)


def rate_per_s(read_at: Sequence[float]) -> float:
    """How many answers came in a second, from moments at each of which a poll brought some.

    What the first poll brought came before it: the time that this took is not known.

    Raises:
        StreamError: one poll brought all of them.
    """
    first, last = min(read_at), max(read_at)
    if last == first:
        raise StreamError("all battles of the backlog were answered at once, which says nothing of the stream's speed")
    return sum(moment > first for moment in read_at) / (last - first)


def _gaps(mean_s: float, seconds: float, *, random_gaps: bool) -> Iterator[float]:
    """Seconds from one battle to the next, for so many seconds together."""
    drawn = random.Random(0)  # noqa: S311 - moments to measure at, not a secret
    left = seconds
    while left > 0:
        gap = drawn.expovariate(1 / mean_s) if random_gaps else mean_s
        yield gap
        left -= gap


class _Writer:
    """Sends battles, each with its number as id, and notes when."""

    def __init__(self, config: StreamConfig) -> None:
        self.sent_at: list[float] = []
        self._topic = config.battles_topic
        self._battle = two_kilobytes(0)
        self._producer = make_producer(config, linger_ms=0)

    def send(self, gaps_s: Sequence[float]) -> None:
        """Send as many battles as there are gaps, each so long after the one before was due."""
        due = time.monotonic()
        for gap_s in gaps_s:
            due += gap_s
            if (early_s := due - time.monotonic()) > 0:
                time.sleep(early_s)
            battle = self._battle.model_copy(update={"id": str(len(self.sent_at))})
            value = encode_battle(battle)
            self.sent_at.append(time.monotonic())
            self._producer.send(self._topic, key=battle.id.encode(), value=value)
        self._producer.flush()

    def close(self) -> None:
        """Close the client."""
        self._producer.close()


class _Reader:
    """Reads preferences in a thread of its own, and notes when each came."""

    def __init__(self, config: StreamConfig) -> None:
        self.read_at: dict[int, float] = {}
        self._consumer = make_consumer(config, auto_offset_reset="earliest")
        self._consumer.subscribe([config.preferences_topic])
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="reader", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._ended:
            polled = self._consumer.poll(timeout_ms=100)
            now = time.monotonic()
            self.read_at.update({int(record.key): now for records in polled.values() for record in records})

    def wait(self, count: int) -> list[float]:
        """Wait until so many battles are answered; returns when each was."""
        deadline = time.monotonic() + WAIT_TIMEOUT_S
        while len(self.read_at) < count:
            if time.monotonic() > deadline:
                raise StreamError(f"of {count} battles {len(self.read_at)} were answered in time")
            time.sleep(0.02)
        return list(self.read_at.values())

    def close(self) -> None:
        """End the thread, close the client."""
        self._ended = True
        self._thread.join()
        self._consumer.close()


@contextmanager
def _serving(config: StreamConfig, pass_s: float) -> Iterator[Connection]:
    """The service in a fresh interpreter; told to `begin` and to `end`, it answers with means of what lies between."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(config.model_dump(), pass_s, theirs))
    process.start()
    theirs.close()
    try:
        if not ours.poll(START_TIMEOUT_S):
            raise StreamError("the stream did not start in time")
        ours.recv()
        yield ours
    except EOFError:
        raise StreamError("the stream ended") from None
    finally:
        ours.close()
        process.join()


def _serve(settings: dict[str, Any], pass_s: float, told: Connection) -> None:
    """Run the service until nobody is there to tell anything."""
    config = StreamConfig.load(**settings)
    configure_logging(config.log_level, config.log_format)
    collect_rarely()
    prior = PriorJudgeConfig(
        name="prior",
        kind="prior",
        probabilities=Probabilities(model_a=0.35, model_b=0.35, tie=0.3),
        simulate=SimulateConfig(seconds_per_batch=pass_s),
    )
    panel = load_panel(PanelConfig(judges=(prior,)))
    keep_what_is_loaded()
    service = Service(config, lambda: panel)
    thread = threading.Thread(target=service.run, name="stream")
    thread.start()
    while thread.is_alive() and not service.health.ready:
        time.sleep(0.05)
    try:
        told.send("ready")
        told.recv()
        before = _sums(service)
        told.recv()
        told.send(
            [
                (after - begun) / max(1.0, count - number)
                for (begun, number), (after, count) in zip(before, _sums(service), strict=True)
            ]
        )
        told.recv()
    except (EOFError, OSError):  # whoever measures has what it wants, or gave up
        pass
    finally:
        service.stop()
        thread.join()


def _sums(service: Service) -> list[tuple[float, float]]:
    """Seconds and number of passes, and of transactions, since the start."""
    value = service.metrics.registry.get_sample_value
    return [
        (value(f"{metric.name}_sum") or 0.0, value(f"{metric.name}_count") or 0.0)
        for metric in (INFERENCE_SECONDS, COMMIT_SECONDS)
    ]
