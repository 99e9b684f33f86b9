"""What `bench overhead` compares: the service, a bare loop, quix-streams; each in a process of its own.

All read committed records and write exactly once, so many in a transaction. Time and CPU time run from the first batch,
or record, in hand until the last transaction is committed.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import StreamError
from prefstream.consumer.observe.logs import configure_logging
from prefstream.consumer.process.garbage import collect_rarely, keep_what_is_loaded
from prefstream.consumer.stream.pipeline import Scored
from prefstream.consumer.stream.service import Service
from prefstream.schemas import Battle, Probabilities
from prefstream.scoring.bench.process import Stopwatch
from prefstream.scoring.config import PanelConfig, PriorJudgeConfig
from prefstream.scoring.panel.load import load_panel
from prefstream.scoring.panel.panel import EncodedBatch, Panel

RUN_TIMEOUT_S: Final = 900.0

ANSWER_BYTES: Final = 850
"""The size of a preference of one judge: what programs write that have no judge."""


@dataclass(frozen=True, slots=True)
class ArmRun:
    """What one program took.

    Attributes:
        seconds: for all battles.
        cpu_seconds: that its process computed meanwhile, over all its threads.
    """

    seconds: float
    cpu_seconds: float


def in_own_process(program: Callable[[dict[str, Any], int], ArmRun], config: StreamConfig, battles: int) -> ArmRun:
    """Run a program of this module in a fresh interpreter."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply_async(program, (config.model_dump(), battles)).get(timeout=RUN_TIMEOUT_S)


def run_service(settings: dict[str, Any], battles: int) -> ArmRun:
    """The service, with a judge that costs nothing."""
    config = StreamConfig.load(**settings)
    configure_logging(config.log_level, config.log_format)
    collect_rarely()
    thirds = Probabilities(model_a=0.35, model_b=0.35, tie=0.3)
    prior = PriorJudgeConfig(name="prior", kind="prior", probabilities=thirds)
    with load_panel(PanelConfig(judges=(prior,))) as panel:
        keep_what_is_loaded()
        return serve(config, panel, battles)


def serve(config: StreamConfig, panel: Panel, battles: int) -> ArmRun:
    """Run the service in this process until so many battles are committed.

    Raises:
        StreamError: it ended before, or took too long.
    """
    done = threading.Event()
    watch = Stopwatch()
    count = 0

    def committed(scored: Scored) -> None:
        nonlocal count
        count += len(scored.messages)
        if count >= battles and not done.is_set():
            watch.stop()
            done.set()

    service = Service(config, lambda: _Watched(panel, watch), on_committed=committed)
    thread = threading.Thread(target=service.run, name="stream")
    thread.start()
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while not done.wait(1.0):
        if not thread.is_alive() or time.monotonic() > deadline:
            service.stop()
            raise StreamError(f"the stream ended after {count} of {battles} battles")
    service.stop()
    thread.join()
    return ArmRun(watch.seconds, watch.cpu_seconds)


class _Watched(Panel):
    """A panel that starts a watch with the first batch, and that its service does not close: the next run needs it."""

    _watch: Stopwatch | None

    def __init__(self, panel: Panel, watch: Stopwatch) -> None:
        self.__dict__ = {**panel.__dict__, "_watch": watch}

    def encode(self, battles: Sequence[Battle]) -> EncodedBatch:
        """As the panel does."""
        if self._watch:
            self._watch.start()
            self._watch = None
        return super().encode(battles)

    def close(self) -> None:
        """Keep it."""


def run_bare_loop(settings: dict[str, Any], battles: int) -> ArmRun:
    """What anyone would write first: poll, send, send offsets, commit, in one thread, by kafka-python as it is."""
    config = StreamConfig.load(**settings)
    answer = b"x" * ANSWER_BYTES
    producer = KafkaProducer(bootstrap_servers=config.bootstrap_servers, transactional_id=config.group_id)
    producer.init_transactions()
    consumer = KafkaConsumer(
        bootstrap_servers=config.bootstrap_servers,
        group_id=config.group_id,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    consumer.partitions_for_topic(config.battles_topic)  # see consumer/stream/source.py: it may wait for ever otherwise
    consumer.subscribe([config.battles_topic])
    watch = Stopwatch()
    count = 0
    while count < battles:
        polled = consumer.poll(timeout_ms=500, max_records=config.max_batch_battles)
        if not polled:
            continue
        if not count:
            watch.start()
        producer.begin_transaction()
        ends = {}
        for partition, records in polled.items():
            for record in records:
                producer.send(config.preferences_topic, key=record.key, value=answer)
            ends[partition] = OffsetAndMetadata(records[-1].offset + 1, "", -1)
            count += len(records)
        producer.send_offsets_to_transaction(ends, consumer.group_metadata())
        producer.commit_transaction()
    watch.stop()
    consumer.close(autocommit=False)
    producer.close()
    return ArmRun(watch.seconds, watch.cpu_seconds)


def quix_python() -> Path | None:
    """This interpreter, if quix-streams is installed for it."""
    return Path(sys.executable) if find_spec("quixstreams") else None


def run_quix(python: Path, config: StreamConfig, battles: int) -> ArmRun:
    """quix-streams, which is Python around librdkafka, with a function that answers as the bare loop does.

    Args:
        python: an interpreter that has it.
        config: names cluster, topics, group and the battles of a transaction.
        battles: how many there are.

    Raises:
        StreamError: it failed.
    """
    request = {
        "bootstrap_servers": config.bootstrap_servers,
        "group_id": config.group_id,
        "battles_topic": config.battles_topic,
        "preferences_topic": config.preferences_topic,
        "batch": config.max_batch_battles,
        "battles": battles,
        "answer_bytes": ANSWER_BYTES,
    }
    # The script imports nothing of ours: it may be another environment's interpreter.
    command = [str(python), "-P", str(Path(__file__).with_name("quix_worker.py"))]
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own interpreter, a script of ours
            command, input=json.dumps(request), capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StreamError(f"quix-streams by {python} did not run: {error}") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise StreamError(f"quix-streams by {python} failed: {lines[-1] if lines else 'it said nothing'}")
    return ArmRun(**json.loads(done.stdout))
