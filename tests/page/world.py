"""A board with much in it, served by its own process, to which preferences and votes go on coming."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import psutil
from kafka import KafkaProducer

from prefstream.consumer.board.service import open_store
from prefstream.consumer.board.store.records import PreferenceRecord, VoteRecord
from prefstream.consumer.board_config import BoardConfig
from prefstream.consumer.config import TopicNames
from prefstream.schemas import OUTCOMES, encode_preference
from prefstream.schemas.vote import Vote
from tests.support.board import preference
from tests.support.board_topics import board_names
from tests.support.boards import board_service
from tests.support.processes import broker_process

MB: Final = 1e6

BATCH: Final = 2_000
"""Preferences of a transaction while the file is filled: few enough that nothing of it takes long."""

TICK_S: Final = 0.1
"""Between two sendings of those who go on coming."""

VOTES_PER_PREFERENCE: Final = 0.05
"""Of those: as many as the file has, and enough that all numbers go on changing."""


@dataclass(frozen=True)
class Load:
    """What a board has to show.

    Attributes:
        preferences: in its file, over 60 models.
        votes: in its file.
        hours: over which both are spread, up to now.
        per_s: preferences that come each second from then on.
    """

    preferences: int = 100_000
    votes: int = 5_000
    hours: float = 12.0
    per_s: float = 30.0


@dataclass(frozen=True)
class World:
    """A board that is served.

    Attributes:
        url: where.
        server: its process.
    """

    url: str
    server: psutil.Process

    @property
    def rss_mb(self) -> float:
        """Resident memory of the server."""
        return float(self.server.memory_info().rss / MB)

    @property
    def cpu_s(self) -> float:
        """Processor time that the server has had."""
        times = self.server.cpu_times()
        return float(times.user + times.system)


@contextmanager
def served_world(folder: Path, load: Load, seed: int, tell: Callable[[str], None]) -> Iterator[World]:
    """Fill a board's file, serve it, and let preferences and votes come.

    Args:
        folder: for the file and the logs.
        load: how much.
        seed: of all of it.
        tell: told how far it is.
    """
    rng = random.Random(seed)
    with ExitStack() as stack:
        names = board_names(stack.enter_context(broker_process(folder / "broker.log")))
        began = time.monotonic()
        fill_file(folder / "board.sqlite", names, load, rng)
        tell(f"{load.preferences:,} preferences and {load.votes:,} votes in the file after {_since(began):.0f} s")
        process, url = stack.enter_context(board_service(names, folder))
        stack.enter_context(Arrivals(names, load, rng))
        yield World(url, psutil.Process(process.process.pid))


def fill_file(path: Path, names: TopicNames, load: Load, rng: random.Random) -> None:
    """Put preferences and votes into a new board's file, as if they had come over the topics, which stay empty.

    Args:
        path: of the file.
        names: the topics that the file is of.
        load: how much.
        rng: of all of it.
    """
    topics = names.model_dump(include={"bootstrap_servers", "preferences_topic", "votes_topic"})
    now = int(time.time() * 1000)
    step_ms = load.hours * 3_600_000 / max(1, load.preferences)
    voted = set(rng.sample(range(load.preferences), min(load.votes, load.preferences)))
    with open_store(BoardConfig.load(**topics), path) as store:
        for start in range(0, load.preferences, BATCH):
            numbers = range(start, min(start + BATCH, load.preferences))
            at = {number: now - int(step_ms * (load.preferences - number)) for number in numbers}
            store.apply(
                [PreferenceRecord(preference(f"b{number}", rng), at[number], 0, number) for number in numbers],
                [
                    VoteRecord(
                        Vote(id=f"b{number}", winner=rng.choice(OUTCOMES)), min(now, at[number] + 60_000), 0, number
                    )
                    for number in numbers
                    if number in voted
                ],
            )


class Arrivals:
    """Preferences and votes that come, from entering the context to leaving it, by a thread of its own.

    Args:
        names: the topics.
        load: how many a second.
        rng: of all that is drawn; of this thread alone from then on.
    """

    def __init__(self, names: TopicNames, load: Load, rng: random.Random) -> None:
        self._names = names
        self._per_s = load.per_s
        self._rng = rng
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began, sent = time.monotonic(), 0
        with closing(KafkaProducer(bootstrap_servers=self._names.bootstrap_servers, linger_ms=20)) as producer:
            while not self._stop.wait(TICK_S):
                due = int(_since(began) * self._per_s)
                for number in range(sent, due):
                    self._send(producer, number)
                sent = due

    def _send(self, producer: KafkaProducer, number: int) -> None:
        key = f"live{number}".encode()
        producer.send(self._names.preferences_topic, encode_preference(preference(f"live{number}", self._rng)), key=key)
        if number and self._rng.random() < VOTES_PER_PREFERENCE:
            voted = f"live{self._rng.randrange(max(0, number - 1_000), number)}"
            vote = json.dumps({"id": voted, "winner": self._rng.choice(OUTCOMES)})
            producer.send(self._names.votes_topic, vote.encode(), key=voted.encode())


def _since(began: float) -> float:
    return time.monotonic() - began
