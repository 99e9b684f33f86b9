"""Benchmarks of the stream, each against a second program in the same run, because only ratios travel.

* Overhead: the service with judges that cost nothing, against a bare kafka-python loop that consumes, sends and
  commits batches of the same size. Both run in a process of their own, against a broker in another one. The topic is
  filled in record batches of about a megabyte, as a busy producer fills it: small ones take a reader's time.
* Stream against offline: the same battles, the same loaded panel, once through Kafka and once from a file.
"""

from __future__ import annotations

import multiprocessing
import random
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata

from prefstream.consumer.client.clients import make_producer
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import StreamError
from prefstream.consumer.files.score import score_file
from prefstream.consumer.files.score_output import ScorePaths
from prefstream.consumer.garbage import collect_rarely, keep_what_is_loaded
from prefstream.consumer.observe.logs import configure_logging
from prefstream.consumer.stream.pipeline import Scored
from prefstream.consumer.stream.service import Service
from prefstream.schemas import Battle, Probabilities, encode_battle
from prefstream.scoring.bench.side_by_side import SideBySide
from prefstream.scoring.config import PanelConfig, PriorJudgeConfig
from prefstream.scoring.panel.load import load_panel
from prefstream.scoring.panel.panel import Panel

PARTITIONS: Final = 4
RECORD_BATCH_BYTES: Final = 1_000_000
"""As large as a topic takes by default."""

FILL_LINGER_MS: Final = 1_000
"""So long that record batches close for being full."""

START_TIMEOUT_S: Final = 60.0
RUN_TIMEOUT_S: Final = 900.0


def overhead(battles: int, batch: int, repetitions: int, bootstrap_servers: str | None = None) -> SideBySide:
    """The service with prior judges against a bare consume-send-commit loop, exactly once both.

    Args:
        battles: battles of 2 KB in each run.
        batch: battles in a transaction.
        repetitions: how often each program runs.
        bootstrap_servers: a cluster; None starts the embedded broker in a process of its own.
    """
    with _broker(bootstrap_servers) as servers:
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(repetitions):
            for rates, program in ((ours, _run_service), (theirs, _run_bare_loop)):
                config = _fresh_config(servers, batch)
                _fill(config, [_two_kilobytes(number) for number in range(battles)])
                rates.append(_in_own_process(program, config, battles))
    return SideBySide(tuple(ours), tuple(theirs))


def stream_against_offline(
    panel: Panel, battles: Sequence[Battle], batch: int, repetitions: int, bootstrap_servers: str | None = None
) -> SideBySide:
    """The same battles and panel through Kafka and from a file, in batches of the same size."""
    with _broker(bootstrap_servers) as servers:
        ours, theirs = [], []
        for _ in range(repetitions):
            theirs.append(_offline_rate(panel, battles, batch))
            config = _fresh_config(servers, batch)
            _fill(config, battles)
            ours.append(_stream_rate(config, panel, len(battles)))
    return SideBySide(tuple(ours), tuple(theirs))


@contextmanager
def _broker(bootstrap_servers: str | None) -> Iterator[str]:
    """The given cluster, or an embedded broker in a process of its own."""
    if bootstrap_servers:
        yield bootstrap_servers
        return
    command = [sys.executable, "-c", "from prefstream.consumer.cli import main; main()", "broker", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
    try:
        said = process.stdout.readline() if process.stdout else ""
        if not said:
            raise StreamError("the embedded broker did not start")
        yield said.split()[-1]
    finally:
        process.terminate()
        process.communicate()


def _fresh_config(bootstrap_servers: str, batch: int) -> StreamConfig:
    name = f"bench-{uuid.uuid4().hex[:8]}"
    config = StreamConfig.load(
        bootstrap_servers=bootstrap_servers,
        group_id=name,
        instance_id=name,
        battles_topic=f"{name}.battles",
        preferences_topic=f"{name}.preferences",
        dead_letters_topic=f"{name}.dead-letters",
        max_batch_battles=batch,
        max_batch_tokens=10_000_000,  # batches close on count, as the other program's do
        http=False,
        log_level="warning",
    )
    create_topics(config, PARTITIONS)
    return config


def _two_kilobytes(number: int) -> Battle:
    words = random.Random(number)  # noqa: S311 - filler text
    texts = ["".join(words.choices("etaoin shrdlu", k=size)) for size in (300, 800, 800)]
    return Battle(id=str(number), prompt=(texts[0],), response_a=(texts[1],), response_b=(texts[2],))


def _fill(config: StreamConfig, battles: Sequence[Battle]) -> None:
    with closing(make_producer(config, batch_size=RECORD_BATCH_BYTES, linger_ms=FILL_LINGER_MS)) as producer:
        for battle in battles:
            producer.send(config.battles_topic, key=battle.id.encode(), value=encode_battle(battle))
        producer.flush()


def _in_own_process(program: Callable[[dict[str, Any], int], float], config: StreamConfig, battles: int) -> float:
    """Run a program in a fresh interpreter; its battles per second."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply_async(program, (config.model_dump(), battles)).get(timeout=RUN_TIMEOUT_S)


def _run_service(settings: dict[str, Any], battles: int) -> float:
    config = StreamConfig.load(**settings)
    configure_logging(config.log_level, config.log_format)
    collect_rarely()
    thirds = Probabilities(model_a=0.35, model_b=0.35, tie=0.3)
    prior = PriorJudgeConfig(name="prior", kind="prior", probabilities=thirds)
    with load_panel(PanelConfig(judges=(prior,))) as panel:
        keep_what_is_loaded()
        return _stream_rate(config, panel, battles)


def _stream_rate(config: StreamConfig, panel: Panel, battles: int) -> float:
    """Battles per second of the service, from the first record's arrival to the last commit."""
    done = threading.Event()
    first: list[float] = []
    count = 0

    def committed(scored: Scored) -> None:
        nonlocal count
        first.append(scored.batch.opened_at)
        count += len(scored.messages)
        if count >= battles:
            done.set()

    service = Service(config, lambda: _KeptOpen(panel), on_committed=committed)
    thread = threading.Thread(target=service.run, name="stream")
    thread.start()
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while not done.wait(1.0):
        if not thread.is_alive() or time.monotonic() > deadline:
            service.stop()
            raise StreamError(f"the stream ended after {count} of {battles} battles")
    seconds = time.monotonic() - first[0]
    service.stop()
    thread.join()
    return battles / seconds


class _KeptOpen(Panel):
    """A panel that its service does not close: the next repetition needs it."""

    def __init__(self, panel: Panel) -> None:
        self.__dict__ = panel.__dict__

    def close(self) -> None:
        """Keep it."""


def _run_bare_loop(settings: dict[str, Any], battles: int) -> float:
    """What anyone would write first: poll, send, send offsets, commit, in one thread."""
    config = StreamConfig.load(**settings)
    answer = b"x" * 600  # the size of a preference of one judge
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
    started = None
    count = 0
    while count < battles:
        polled = consumer.poll(timeout_ms=500, max_records=config.max_batch_battles)
        if not polled:
            continue
        started = started or time.monotonic()
        producer.begin_transaction()
        ends = {}
        for partition, records in polled.items():
            for record in records:
                producer.send(config.preferences_topic, key=record.key, value=answer)
            ends[partition] = OffsetAndMetadata(records[-1].offset + 1, "", -1)
            count += len(records)
        producer.send_offsets_to_transaction(ends, consumer.group_metadata())
        producer.commit_transaction()
    seconds = time.monotonic() - (started or time.monotonic())
    consumer.close(autocommit=False)
    producer.close()
    return count / seconds


def _offline_rate(panel: Panel, battles: Sequence[Battle], batch: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "battles.jsonl"
        source.write_bytes(b"".join(encode_battle(battle) + b"\n" for battle in battles))
        paths = ScorePaths(source, Path(folder) / "out.jsonl")
        started = time.monotonic()
        score_file(paths, panel, identity="bench", observer=_Silent(), stop=threading.Event(), chunk_rows=batch)
        return len(battles) / (time.monotonic() - started)


class _Silent:
    """Watches a run and says nothing."""

    def rejected(self, line: int, row: object) -> None:
        """Every battle here is valid."""

    def warned(self, line: int, warning: str) -> None:
        """Every battle here is plain."""

    def advanced(self, done_bytes: int, rows: int) -> None:
        """Nobody looks."""
