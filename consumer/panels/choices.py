"""The panels topic: the last choice of each group, read once or followed, and written by who chooses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from prefstream.consumer.client.acl import spell
from prefstream.consumer.client.clients import make_consumer, make_producer
from prefstream.consumer.client.kafka_errors import Translator
from prefstream.consumer.client.offsets import OFFSETS_TIMEOUT_MS, read_ranges
from prefstream.consumer.client.protocols import ConsumerRecord
from prefstream.consumer.client.topics import find_partitions
from prefstream.consumer.config import TopicNames
from prefstream.consumer.errors import StreamError, UnconfirmedError
from prefstream.schemas import InvalidEventError, PanelChoice, decode_panel_choice, encode_panel_choice

log = structlog.get_logger(__name__)

POLL_MS: Final = 500
"""A choice is made by a person or once an hour: who follows need not hear of it sooner."""

SEND_S: Final = 60.0
"""Longer than the producer tries, so that its own error is what is told."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A choice, and where it stands: the same one made twice is two."""

    partition: int
    offset: int
    choice: PanelChoice


def read_choice(names: TopicNames, group: str) -> Heard | None:
    """The last choice for a group; None where nothing was ever chosen.

    Args:
        names: the brokers, and the topic's name.
        group: consumer group.

    Raises:
        TopicMissingError: there is no such topic.
        StreamError: it can't be read.
    """
    last: Heard | None = None
    with _reading(names).translating(), closing(make_consumer(names)) as consumer:
        partitions = find_partitions(consumer, names.panels_topic)
        begins = consumer.beginning_offsets(partitions, timeout_ms=OFFSETS_TIMEOUT_MS)
        ends = consumer.end_offsets(partitions, timeout_ms=OFFSETS_TIMEOUT_MS)
        for record in read_ranges(consumer, {one: range(begins[one], ends[one]) for one in partitions}):
            last = _of(record, group) or last
    return last


def follow(
    names: TopicNames, group: str, heard: Callable[[Heard], None]
) -> Callable[[threading.Event, Callable[[StreamError | None], None]], None]:
    """A watch, for a `Watcher`, of what is chosen for a group.

    Args:
        names: the brokers, and the topic's name.
        group: consumer group.
        heard: called with the last choice once all that stands there is read, and with each later one. What it was
            called with before may come again.
    """

    def watch(stop: threading.Event, tell: Callable[[StreamError | None], None]) -> None:
        with _reading(names).translating(), closing(make_consumer(names)) as consumer:
            partitions = find_partitions(consumer, names.panels_topic)
            ends = consumer.end_offsets(partitions, timeout_ms=OFFSETS_TIMEOUT_MS)
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            last: Heard | None = None
            told = False
            while not stop.is_set():
                for records in consumer.poll(timeout_ms=POLL_MS).values():
                    for record in records:
                        last = _of(record, group) or last
                if all((consumer.position(one) or 0) >= end for one, end in ends.items()):
                    if not told:
                        tell(None)
                        told = True
                    if last is not None:
                        heard(last)
                        last = None

    return watch


def publish_choice(names: TopicNames, choice: PanelChoice) -> None:
    """Write a choice; returns when the brokers have it.

    Two who choose at the same moment both succeed, and the later one counts.

    Args:
        names: the brokers, and the topic's name.
        choice: for its group.

    Raises:
        UnconfirmedError: nobody knows whether it was written.
        StreamError: it was not.
    """
    topic = names.panels_topic
    writing = Translator(f"writing to {topic}", acls=lambda _: spell("WRITE", topic), otherwise=UnconfirmedError)
    with writing.translating(), closing(make_producer(names)) as producer:
        sent = producer.send(topic, key=choice.group.encode(), value=encode_panel_choice(choice))
        sent.get(SEND_S)


def _reading(names: TopicNames) -> Translator:
    topic = names.panels_topic
    return Translator(f"reading {topic}", acls=lambda _: spell("READ", topic), otherwise=StreamError)


def _of(record: ConsumerRecord, group: str) -> Heard | None:
    """What a record chooses for a group; None where it is another's, or none that can be read.

    A tombstone takes back whatever was chosen.
    """
    if record.key != group.encode():
        return None
    if record.value is None:
        at = datetime.fromtimestamp(max(0, record.timestamp) / 1000, UTC)
        return Heard(record.partition, record.offset, PanelChoice(group=group, chosen_at=at, chosen_by="tombstone"))
    try:
        choice = decode_panel_choice(record.value)
    except InvalidEventError as error:
        log.warning("choice of a panel not read", partition=record.partition, offset=record.offset, why=str(error))
        return None
    return Heard(record.partition, record.offset, choice)
