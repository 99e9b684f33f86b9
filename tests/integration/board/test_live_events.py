"""Live events of a board that is killed, and of one that is asked to end; by one broker, which they don't depend on."""

from __future__ import annotations

import http.client
import json
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka import KafkaProducer

from prefstream.consumer.board.api.responses import API
from prefstream.consumer.config import TopicNames
from prefstream.schemas import encode_preference
from tests.conftest import Kafka
from tests.support.board import preference
from tests.support.board_topics import board_names
from tests.support.boards import ask, board_service
from tests.support.events import Event, events
from tests.support.streams import WAIT_S

EVENTS_BEFORE = 3
"""That are seen before the kill: it comes in the middle of a busy stretch."""

PAGES = 20


@dataclass
class Arriving:
    """Preferences that are written all the time, each of another battle."""

    names: TopicNames
    sent: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        rng = random.Random(1)
        with closing(KafkaProducer(bootstrap_servers=self.names.bootstrap_servers)) as producer:
            while not self.stop.wait(0.01):  # some dozens of them for an event
                producer.send(self.names.preferences_topic, encode_preference(preference(f"b{self.sent}", rng)))
                self.sent += 1
            producer.flush()
        self.ended.set()

    def end(self) -> None:
        """No more of them; `sent` stays what it is."""
        self.stop.set()
        assert self.ended.wait(WAIT_S)


@contextmanager
def arriving(names: TopicNames) -> Iterator[Arriving]:
    found = Arriving(names)
    thread = threading.Thread(target=found.run)
    thread.start()
    try:
        yield found
    finally:
        found.stop.set()
        thread.join(WAIT_S)


@dataclass
class Seen:
    """What a client got over all its streams.

    Attributes:
        last: id of the latest event.
        verdicts: that were told.
        skipped: how many it was told not to be told.
    """

    last: str
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0

    def take(self, event: Event) -> None:
        assert event.id is not None
        self.last = event.id
        self.verdicts += event.data["verdicts"]
        self.skipped += event.data["skipped"]


def number_of(event: str) -> int:
    return int(event.rpartition("-")[2])


def test_over_a_kill_a_client_that_comes_back_misses_no_verdict_and_sees_none_twice(
    embedded_kafka: Kafka, tmp_path: Path
) -> None:
    names = board_names(embedded_kafka.bootstrap_servers, partitions=2)
    with arriving(names) as source:
        with board_service(names, tmp_path) as (process, url):
            began = ask(url, f"{API}/verdicts").json["id"]
            seen = Seen(began)
            with events(url, after=began) as stream:
                for _ in range(EVENTS_BEFORE):
                    seen.take(stream.next("verdicts"))
                process.process.kill()
                with suppress(http.client.HTTPException, OSError):  # cut off, as a kill does
                    for event in stream:  # what was under way
                        if event.type == "verdicts":
                            seen.take(event)
        with board_service(names, tmp_path) as (_, url), events(url, last_event_id=seen.last) as stream:
            seen.take(stream.next("verdicts"))
            source.end()
            while number_of(seen.last) < source.sent:
                seen.take(stream.next("verdicts"))
    numbers = [number_of(one["event"]) for one in seen.verdicts]
    assert numbers == sorted(set(numbers))
    assert len({one["id"] for one in seen.verdicts}) == len(numbers)
    assert len(numbers) + seen.skipped == source.sent - number_of(began)


def test_a_board_that_is_asked_to_end_ends_its_streams_first(embedded_kafka: Kafka, tmp_path: Path) -> None:
    with board_service(board_names(embedded_kafka.bootstrap_servers), tmp_path) as (process, url), ExitStack() as stack:
        streams = [stack.enter_context(events(url)) for _ in range(PAGES)]
        for stream in streams:
            stream.next("status")
        process.signal(signal.SIGTERM)
        for stream in streams:
            assert all(event.type for event in stream)  # whole: one that is cut off raises
        assert process.wait() == 0
        lines = [json.loads(line) for line in process.log.splitlines()]
    assert [line["by"] for line in lines if line["event"] == "stopped"] == ["SIGTERM"]
    assert [line for line in lines if line["level"] in {"error", "critical"}] == []
