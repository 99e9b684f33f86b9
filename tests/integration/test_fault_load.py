"""Ten times the load that a process can bear: its memory stays bounded, and afterwards it catches up."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import psutil
import pytest
from kafka import KafkaProducer

from prefstream.consumer.config import StreamConfig
from tests.conftest import APACHE, EMBEDDED, Kafka
from tests.support.figures import record
from tests.support.priors import write_prior_panel
from tests.support.processes import prefstream, run_arguments
from tests.support.streams import (
    WAIT_S,
    Position,
    assert_exactly_once,
    battle_event,
    committed_offsets,
    end_offsets,
    wait_until,
)

MakeConfig = Callable[..., StreamConfig]

BATCH: Final = 50
BATCH_S: Final = 0.1
"""A batch takes so long to score: no more than 500 battles a second, whatever the machine."""

STEADY_PER_S: Final = 100
FLOOD_PER_S: Final = 10 * STEADY_PER_S

GROWTH_BYTES: Final = 96 * 2**20
"""What a flood may add to the memory of a process: the client's buffers, a megabyte for each partition and fetch, and
what the interpreter keeps of them. A queue without a bound would grow with the flood's length."""

TEXT: Final = ["zqprompt " * 200]
"""Of about 2 KB, the size of a typical event."""


def produce_steadily(config: StreamConfig, per_s: int, seconds: float, first: int = 0) -> list[Position]:
    """Write events at a rate; where they ended up."""
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers, linger_ms=5)) as to:
        futures = []
        started = time.monotonic()
        for number in range(int(per_s * seconds)):
            value = battle_event(first + number, prompt=TEXT)
            futures.append(to.send(config.battles_topic, value, key=b"%d" % number))
            time.sleep(max(0.0, started + number / per_s - time.monotonic()))
        sent = [future.get(WAIT_S) for future in futures]
    return [(meta.topic, meta.partition, meta.offset) for meta in sent]


class Memory:
    """Watches how much memory a process holds."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self.most = self.now
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def now(self) -> int:
        return int(self._process.memory_info().rss)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self.most = max(self.most, self.now)


@pytest.mark.parametrize("kafka", [pytest.param(EMBEDDED, marks=pytest.mark.long), APACHE], indirect=True)
@pytest.mark.parametrize(
    "seconds", [5, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(900)])], ids="{}s".format
)
def test_ten_times_the_load_is_held_back_at_the_topic(
    stream_config: MakeConfig, tmp_path: Path, kafka: Kafka, seconds: int
) -> None:
    """Reading pauses while enough is in flight: the backlog stays at the broker, and memory does not follow it."""
    config = stream_config()
    panel = write_prior_panel(tmp_path, seconds_per_batch=BATCH_S)
    arguments = run_arguments(config, panel, max_batch_battles=BATCH, max_in_flight=2)
    with prefstream(*arguments, log=tmp_path / "log") as run:
        run.wait_streaming()
        sent = produce_steadily(config, STEADY_PER_S, 2)
        wait_until(lambda: run.published >= len(sent), what="the steady load")
        with closing(Memory(run.process.pid)) as memory:
            before = memory.now
            sent += produce_steadily(config, FLOOD_PER_S, seconds, len(sent))
            backlog = len(sent) - run.published
            flood_ended = time.monotonic()
            wait_until(lambda: committed_offsets(config) == end_offsets(config), 60 + 4 * seconds, "the backlog")
            caught_up_s = time.monotonic() - flood_ended
        grown = memory.most - before
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    assert backlog > len(sent) / 4, "it was to be more than the process could bear"
    record(
        f"{seconds} s of ten times the load, {kafka.name}",
        caught_up_s,
        f"a backlog of up to {backlog} of {len(sent)} records; {grown / 2**20:.0f} MiB more memory",
    )
    assert grown < GROWTH_BYTES
    assert_exactly_once(config, sent)
