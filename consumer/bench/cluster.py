"""Where the benchmarks of the stream run: a broker, topics of their own, and battles on them."""

from __future__ import annotations

import random
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from typing import Any, Final

from prefstream.consumer.client.clients import make_producer
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import StreamError
from prefstream.schemas import Battle, encode_battle

PARTITIONS: Final = 4
RECORD_BATCH_BYTES: Final = 1_000_000
"""As large as a topic takes by default."""

FILL_LINGER_MS: Final = 1_000
"""So long that record batches close for being full."""

FILL_TIMEOUT_S: Final = 60.0


@contextmanager
def broker(bootstrap_servers: str | None) -> Iterator[str]:
    """Addresses of the given cluster, or of an embedded broker in a process of its own."""
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


def fresh_config(bootstrap_servers: str, batch: int, **settings: Any) -> StreamConfig:
    """Settings of a stream with group and topics of its own, which are made here where they are missing.

    Args:
        bootstrap_servers: the cluster.
        batch: battles in a batch.
        settings: further ones, which win.
    """
    name = f"bench-{uuid.uuid4().hex[:8]}"
    fresh = {
        "group_id": name,
        "instance_id": name,
        "battles_topic": f"{name}.battles",
        "preferences_topic": f"{name}.preferences",
        "dead_letters_topic": f"{name}.dead-letters",
        "max_batch_battles": batch,
        "max_batch_tokens": 10_000_000,  # batches close on count, as the other programs' do
        "http": False,
        "log_level": "warning",
    }
    config = StreamConfig.load(**{**fresh, **settings, "bootstrap_servers": bootstrap_servers})
    create_topics(config, PARTITIONS)
    return config


def two_kilobytes(number: int) -> Battle:
    """A battle of 2 KB on the wire; the same number has the same text."""
    words = random.Random(number)  # noqa: S311 - filler text
    texts = ["".join(words.choices("etaoin shrdlu", k=size)) for size in (300, 800, 800)]
    return Battle(id=str(number), prompt=(texts[0],), response_a=(texts[1],), response_b=(texts[2],))


def fill(config: StreamConfig, battles: Sequence[Battle]) -> None:
    """Put battles on their topic as a busy producer does, in large record batches; by librdkafka where it is there."""
    records = ((battle.id.encode(), encode_battle(battle)) for battle in battles)
    if find_spec("confluent_kafka"):
        _fill_by_librdkafka(config, records)
    else:
        _fill_by_kafka_python(config, records)


def _fill_by_librdkafka(config: StreamConfig, records: Iterable[tuple[bytes, bytes]]) -> None:
    from confluent_kafka import Producer

    producer = Producer(
        {
            "bootstrap.servers": config.bootstrap_servers,
            "enable.idempotence": True,
            "batch.size": RECORD_BATCH_BYTES,
            "linger.ms": FILL_LINGER_MS,
            "queue.buffering.max.messages": 0,
        }
    )
    for key, value in records:
        producer.produce(config.battles_topic, key=key, value=value)
    if left := producer.flush(FILL_TIMEOUT_S):
        raise StreamError(f"the topic could not be filled: {left} battles were not written")


def _fill_by_kafka_python(config: StreamConfig, records: Iterable[tuple[bytes, bytes]]) -> None:
    with closing(make_producer(config, batch_size=RECORD_BATCH_BYTES, linger_ms=FILL_LINGER_MS)) as producer:
        for key, value in records:
            producer.send(config.battles_topic, key=key, value=value)
        producer.flush()
