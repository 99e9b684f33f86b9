"""Sends hostile events through a running service, and holds every one against what came out for it.

Chunk by chunk: each is produced, waited for, read back by an independent consumer, and deleted from the topics again,
so that a campaign of any length fits into memory.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

import psutil
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from prefstream.consumer.client import patches
from prefstream.consumer.config import StreamConfig
from prefstream.schemas import ERROR_HEADERS, InvalidEventError, KafkaSource, Reason, decode_battle, decode_preference
from prefstream.schemas.dead_letter import (
    HEADER_KEY_SIZE,
    HEADER_MESSAGE,
    HEADER_OFFSET,
    HEADER_PARTITION,
    HEADER_REASON,
    HEADER_STACKTRACE,
    HEADER_TOPIC,
    HEADER_VALUE_SIZE,
    header,
    restore_original,
)
from prefstream.scoring.runtime import MALLOC_SETTINGS
from tests.fuzz.campaign import Report, fate_name
from tests.fuzz.corpus import CANARY
from tests.fuzz.hostile import GIANT_TRACE, MAX_ENVELOPE_BYTES, HostileEvent, hostile_envelope, hostile_events
from tests.fuzz.kinds import RECORD_BYTES
from tests.support.priors import prior_panel, write_prior_panel
from tests.support.processes import Prefstream, run_arguments
from tests.support.streams import Position, Running, committed_offsets, end_offsets, read_topic, running, wait_until

CHUNK: Final = 2_500
"""Events under way together: many transactions, and a few megabytes."""

WAIT_S: Final = 180.0
"""For a chunk, which takes a second or two on a quiet machine: longer means that something hangs."""

WARM_UP_EVENTS: Final = 50_000
"""Before memory counts: the allocator has met the largest events in every thread (measured)."""

PARTITIONS: Final = 4


@dataclass(frozen=True)
class Sent:
    """An event on the battles topic.

    Attributes:
        event: what it was made from.
        key: of its record.
        headers: of its record.
        battle_id: what the preference must name; None for what is no battle.
        reason: what its dead letter must give; None for a battle.
    """

    event: HostileEvent
    key: bytes | None
    headers: list[tuple[str, bytes]]
    battle_id: str | None
    reason: Reason | None


class Served(Protocol):
    """A running service."""

    @property
    def pid(self) -> int:
        """Its process."""

    def wait_published(self, sent: Mapping[Position, Sent]) -> None:
        """Wait until these came out, and forget them."""


class ServedHere:
    """A service in a thread of this process: at hand for a test that changes something in it."""

    pid = os.getpid()

    def __init__(self, service: Running) -> None:
        self._service = service

    def wait_published(self, sent: Mapping[Position, Sent]) -> None:
        """Wait until these came out, and forget them."""
        self._service.wait_published(len(sent), WAIT_S)
        self._service.committed.clear()


class ServedApart:
    """`prefstream run` in a process of its own: its memory is the service's and nobody else's."""

    def __init__(self, process: Prefstream, config: StreamConfig) -> None:
        self.pid = process.process.pid
        self._process = process
        self._config = config

    def wait_published(self, sent: Mapping[Position, Sent]) -> None:
        """Wait until these came out."""
        ends: dict[int, int] = {}
        for _, partition, offset in sent:
            ends[partition] = max(ends.get(partition, 0), offset + 1)

        def committed() -> bool:
            assert not self._process.ended, f"the service ended: {self._process.log[-2_000:]}"
            done = committed_offsets(self._config, PARTITIONS)
            return all((done[partition] or 0) >= end for partition, end in ends.items())

        wait_until(committed, WAIT_S, f"{len(sent)} messages")


@contextmanager
def served_here(config: StreamConfig) -> Iterator[Served]:
    """Run a service in a thread."""
    with running(config, lambda: prior_panel(judges=2)) as service:
        yield ServedHere(service)


@contextmanager
def served_apart(config: StreamConfig, folder: Path) -> Iterator[Served]:
    """Run a service in a process of its own, with the memory settings that it has in production.

    Args:
        config: of the service.
        folder: gets its panel file and its log, in which nothing of any event may stand.
    """
    arguments = run_arguments(
        config,
        write_prior_panel(folder),
        max_batch_battles=config.max_batch_battles,
        dead_letter_limit=config.dead_letter_limit,
    )
    process = Prefstream(*arguments, log=folder / "service.log", environment=MALLOC_SETTINGS)
    try:
        process.wait_streaming()
        yield ServedApart(process, config)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0, process.log[-2_000:]
    finally:
        process.kill()
    assert CANARY not in process.log, "text of events in the log"


def through_the_stream(
    config: StreamConfig, service: Served, seed: int, count: int, progress: Callable[[int], None] = lambda _: None
) -> Report:
    """Send events to a running service, and account for every one.

    Args:
        config: of the service; its topics are empty and have `PARTITIONS` partitions.
        service: the service.
        seed: of the events. What no record can hold is passed over.
        count: how many are sent.
        progress: told how many are done.
    """
    patches.apply()  # what the service reads, its reader must read, too
    title = "through the running stream"
    report = Report(title, seed, count, WARM_UP_EVENTS, process=psutil.Process(service.pid))
    events = (event for event in hostile_events(seed) if _fits(event))
    while report.events < count:
        chunk = list(islice(events, min(CHUNK, count - report.events)))
        started = time.perf_counter()
        sent = _send(config, chunk)
        try:
            service.wait_published(sent)
        except BaseException as error:
            error.add_note(f"while these were under way: {chunk[0]!r} to {chunk[-1]!r}")
            raise
        seconds = time.perf_counter() - started
        _account(config, sent, report)
        _forget(config)
        report.settle(chunk, seconds)
        progress(report.events)
    assert committed_offsets(config, PARTITIONS) == end_offsets(config, PARTITIONS)
    return report


def _fits(event: HostileEvent) -> bool:
    return len(event.value or b"") + MAX_ENVELOPE_BYTES < RECORD_BYTES or event.kind.name.startswith("as large")


def _send(config: StreamConfig, events: Iterable[HostileEvent]) -> dict[Position, Sent]:
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers, linger_ms=5, max_request_size=2**24)) as to:
        under_way = []
        for event in events:
            sent = _prepare(event)
            future = to.send(config.battles_topic, event.value, sent.key, sent.headers)
            under_way.append((future, sent))
        to.flush(WAIT_S)
        placed = [(future.get(WAIT_S), sent) for future, sent in under_way]
    return {(meta.topic, meta.partition, meta.offset): sent for meta, sent in placed}


def _prepare(event: HostileEvent) -> Sent:
    key, headers = hostile_envelope(event)
    if len(event.value or b"") + MAX_ENVELOPE_BYTES >= RECORD_BYTES:
        key, headers = b"", []
    try:
        battle_id, reason = decode_battle(event.value).id, None
    except InvalidEventError as error:
        battle_id, reason = None, error.reason
    if reason is None and GIANT_TRACE in headers:
        reason = Reason.PREFERENCE_TOO_LARGE
    return Sent(event, key, headers, battle_id, reason)


def _account(config: StreamConfig, sent: dict[Position, Sent], report: Report) -> None:
    """Hold what came out against what went in: each once, as it must be."""
    missing = dict(sent)
    for position, reason, fault in _outcomes(config, sent):
        if missing.pop(position, None) is None:
            report.escape(sent[position].event, "came out twice")
            continue
        report.fates[fate_name(reason)] += 1
        if fault:
            report.escape(sent[position].event, fault)
    for lost in missing.values():
        report.escape(lost.event, "never came out")


def _outcomes(config: StreamConfig, sent: dict[Position, Sent]) -> Iterator[tuple[Position, Reason | None, str | None]]:
    """Every preference and dead letter: for what, why, and what is wrong with it."""
    for record in read_topic(config.bootstrap_servers, config.preferences_topic):
        preference = decode_preference(record.value)
        source = preference.source
        assert isinstance(source, KafkaSource)
        position = (source.topic, source.partition, source.offset)
        yield position, None, _preference_fault(sent[position], preference.id, record)
    for record in read_topic(config.bootstrap_servers, config.dead_letters_topic):
        topic, partition, offset = (header(record, name) for name in (HEADER_TOPIC, HEADER_PARTITION, HEADER_OFFSET))
        position = (str(topic), int(partition or -1), int(offset or -1))
        reason = Reason(str(header(record, HEADER_REASON)))
        yield position, reason, _dead_letter_fault(sent[position], reason, record)


def _preference_fault(sent: Sent, battle_id: str, record: Any) -> str | None:
    if sent.reason is not None or battle_id != sent.battle_id or record.key != battle_id.encode():
        return f"has a preference, of battle {battle_id!r}"
    return None


def _dead_letter_fault(sent: Sent, reason: Reason, record: Any) -> str | None:
    if reason != sent.reason:
        return f"is a dead letter for {reason}, not for {sent.reason}"
    if CANARY in f"{header(record, HEADER_MESSAGE)} {header(record, HEADER_STACKTRACE)}":
        return "has a dead letter that quotes it"
    if header(record, HEADER_KEY_SIZE) is not None:
        return None  # it was too large even without its value
    theirs = [(restore_original(name), value) for name, value in record.headers if name not in ERROR_HEADERS]
    if _raw(theirs) != _raw(sent.headers) or record.key != sent.key:
        return "has a dead letter with another key or other headers"
    value = sent.event.value
    if (size := header(record, HEADER_VALUE_SIZE)) is not None:
        return None if (record.value, size) == (b"", str(len(value or b""))) else "lost its value, and is misdescribed"
    return None if record.value == value else "has a dead letter with another value"


def _raw(headers: list[tuple[str, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers as they are on the wire."""
    return [(name.encode(), value) for name, value in headers]


def _forget(config: StreamConfig) -> None:
    """Delete every record that was accounted for."""
    topics = (config.battles_topic, config.preferences_topic, config.dead_letters_topic)
    with closing(KafkaAdminClient(bootstrap_servers=config.bootstrap_servers)) as admin:
        admin.delete_records({TopicPartition(topic, number): -1 for topic in topics for number in range(PARTITIONS)})
