"""Topics of the board's own, filled as `run` and people fill them; processes that read them, to be killed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka import KafkaProducer

from prefstream.consumer.board.ingest.following import MAX_RECORDS
from prefstream.consumer.board.ingest.ingest import BoardIngest
from prefstream.consumer.board.store.reader import BoardReader
from prefstream.consumer.board.store.store import Store
from prefstream.consumer.client.topic_creation import make_topics
from prefstream.consumer.config import TOPIC_FIELDS, TopicNames
from prefstream.consumer.errors import BoardFileError
from prefstream.schemas import encode_preference
from tests.support.board import preference
from tests.support.board_recount import Raw
from tests.support.streams import WAIT_S, read_topic, wait_until

DAY_S = 86_400


def board_names(bootstrap_servers: str, *, partitions: int = 3) -> TopicNames:
    """Names of fresh topics, which are made."""
    prefix = f"b{uuid.uuid4().hex[:10]}"
    names = TopicNames.load(
        bootstrap_servers=bootstrap_servers,
        battles_topic=f"{prefix}.battles",
        preferences_topic=f"{prefix}.preferences",
        dead_letters_topic=f"{prefix}.battles.dead-letters",
        votes_topic=f"{prefix}.votes",
        votes_dead_letters_topic=f"{prefix}.votes.dead-letters",
    )
    make_topics(names, partitions=partitions)
    return names


@dataclass
class Load:
    """How much is written to the topics.

    Attributes:
        preferences: battles, each with a preference.
        votes: of people, hours after the preference.
        hours: over which the preferences' timestamps are spread, up to now.
    """

    preferences: int
    votes: int
    hours: float = 12.0


def fill(names: TopicNames, load: Load, rng: random.Random) -> None:
    """Write preferences and votes in turns: some twice, some for battles that there are not, some that are none."""
    now = int(time.time() * 1000)
    every = max(1, load.preferences // max(1, load.votes))
    with closing(KafkaProducer(bootstrap_servers=names.bootstrap_servers, linger_ms=20)) as producer:

        def send(topic: str, key: str, value: bytes, at: float) -> None:
            producer.send(topic, value, key=key.encode(), timestamp_ms=min(now, int(at)))

        for number in range(load.preferences):
            at = now - load.hours * 3_600_000 * (1 - number / load.preferences)
            said = encode_preference(preference(f"b{number}", rng, **({"model_a": None} if number % 50 == 7 else {})))
            send(names.preferences_topic, f"b{number}", said, at)
            if number % 100 == 3:
                send(names.preferences_topic, f"b{number}", encode_preference(preference(f"b{number}", rng)), at + 5)
            if number % 500 == 11:
                send(names.preferences_topic, "x", b'{"id": "x"}', at)
            if number % every == 0:
                voted = max(0, min(load.preferences + 5, number + int(rng.gauss(0, 300))))
                send(names.votes_topic, f"b{voted}", _vote(voted, rng), at + rng.uniform(-1, 1) * 600_000)
        producer.flush()


def _vote(number: int, rng: random.Random) -> bytes:
    if rng.random() < 0.03:
        return rng.choice((b"no JSON", b'{"id": "b1"}', b'{"id": "b1", "winner": "me"}'))
    vote: dict[str, Any] = {"id": f"b{number}", "winner": rng.choice(("model_a", "model_b", "tie", "both_bad"))}
    if rng.random() < 0.7:
        vote["voter"] = rng.choice(("ann", "bob", "cyd"))
    return json.dumps(vote).encode()


def raw_records(names: TopicNames, topic: str) -> list[Raw]:
    """All that is on a topic, by a reader of its own; those of a partition in order."""
    found = read_topic(names.bootstrap_servers, topic)
    return [Raw(record.value, record.timestamp, record.partition, record.offset) for record in found]


def is_vote(record: Raw) -> bool:
    """Whether a record on the votes topic is one, as those are that are written here."""
    try:
        return record.fields.get("winner") in {"model_a", "model_b", "tie", "both_bad"}
    except json.JSONDecodeError:
        return False


def taken_in(path: Path) -> int:
    """Records of both topics that the file has dealt with."""
    try:
        with BoardReader.open(path) as reader:
            counters = reader.counters()
    except BoardFileError:  # about to be made
        return 0
    names = ("preferences", "duplicate_battles", "bad_preferences", "votes", "bad_votes")
    return sum(counters.get(name, 0) for name in names)


@dataclass
class Ingesting:
    """A board's reading in a thread of its own."""

    store: Store
    ingest: BoardIngest
    stop: threading.Event = field(default_factory=threading.Event)
    error: list[BaseException] = field(default_factory=list)

    def counters(self) -> dict[str, int]:
        with self.store.reader() as reader:
            return reader.counters()

    def wait(self, condition: Callable[[dict[str, int]], object], what: str) -> None:
        """Until the counters are as they should be."""
        wait_until(lambda: self.error or condition(self.counters()), what=what)
        if self.error:
            raise self.error[0]


@contextmanager
def ingesting(
    names: TopicNames, path: Path, *, store: dict[str, Any] | None = None, **settings: Any
) -> Iterator[Ingesting]:
    """Read the topics in a thread; it has ended when the block has."""
    with Store(path, **(store or {})) as opened:
        running = Ingesting(opened, BoardIngest(names, opened, **settings))

        def run() -> None:
            try:
                running.ingest.run(running.stop)
            except BaseException as error:  # noqa: BLE001 - handed to the test
                running.error.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield running
        finally:
            running.stop.set()
            thread.join(WAIT_S)
            assert not thread.is_alive()


@contextmanager
def board_process(
    names: TopicNames, path: Path, log: Path, *, max_records: int = MAX_RECORDS
) -> Iterator[subprocess.Popen[bytes]]:
    """Read the topics in a process; killed at the end of the block, if it has not ended.

    Args:
        names: the topics.
        path: the file.
        log: where it logs, behind what stands there.
        max_records: of a transaction.
    """
    told_before = log.stat().st_size if log.exists() else 0
    told = names.model_dump_json(include=_NAMES)
    with log.open("ab") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(path), told, str(max_records)], stdout=lines, stderr=lines
        )
    wait_until(lambda: b"reading" in log.read_bytes()[told_before:] or process.poll() is not None, what="its start")
    try:
        yield process
    finally:
        process.kill()
        process.wait()


_NAMES = {"bootstrap_servers", *TOPIC_FIELDS}


def _main(path: Path, names: TopicNames, max_records: int) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Store(path) as store:
        BoardIngest(names, store, max_records=max_records).run(stop)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), TopicNames.load(**json.loads(sys.argv[2])), int(sys.argv[3]))
