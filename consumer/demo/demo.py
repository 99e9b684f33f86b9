"""The demo: battles through the real stream, and a check of what came out. Knows no screen.

The check trusts nothing that the stream says: a consumer of its own reads the output topics back, committed records
only, and every record that was produced must have exactly one answer there.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.acl import topic_operations
from prefstream.consumer.client.clients import make_consumer, make_producer
from prefstream.consumer.client.topics import create_topics, delete_topics_and_group, find_partitions
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.demo.events import DemoEvent
from prefstream.consumer.errors import StreamError
from prefstream.consumer.stream.pipeline import Scored
from prefstream.consumer.stream.service import Service
from prefstream.schemas import Preference, decode_preference
from prefstream.schemas.dead_letter import HEADER_OFFSET, HEADER_PARTITION, HEADER_REASON, header
from prefstream.scoring.panel.panel import Panel

PARTITIONS: Final = 3
DEMO_BATCH_BATTLES: Final = 8
"""Small, so that verdicts come a handful at a time for somebody who watches."""

READ_BACK_TIMEOUT_S: Final = 30.0
"""Everything was committed before the check starts; more than some seconds mean that a broker is away."""


@dataclass(frozen=True, slots=True)
class Check:
    """What the independent consumer found.

    Attributes:
        produced: records sent to the battles topic.
        preferences: read back, in topic order.
        dead_letters: reasons of the dead letters read back.
        lost: records without an answer.
        twice: records with more than one answer.
    """

    produced: int
    preferences: tuple[Preference, ...]
    dead_letters: tuple[str, ...]
    lost: int
    twice: int

    @property
    def exact(self) -> bool:
        """Whether every record has exactly one answer."""
        return self.lost == 0 and self.twice == 0


@dataclass(slots=True)
class DemoRun:
    """A demo under way: topics, service, and where each record went."""

    config: StreamConfig
    service: Service
    sent: dict[tuple[int, int], DemoEvent] = field(default_factory=dict)
    error: BaseException | None = None
    finished: threading.Event = field(default_factory=threading.Event)

    def raise_error(self) -> None:
        """Raise what ended the service, if anything did."""
        if self.error:
            raise self.error


@contextmanager
def demo_broker(bootstrap_servers: str | None, tell: Callable[[str], None]) -> Iterator[StreamConfig]:
    """A configuration with topics and a group of its own, on a given cluster or on an embedded broker.

    Args:
        bootstrap_servers: of the cluster, which is left at the end as it was found.
        tell: told what could not be removed from it.

    Raises:
        StreamError: the topics can't be created.
    """
    with ExitStack() as stack:
        prefix = ""
        if bootstrap_servers is None:
            bootstrap_servers = stack.enter_context(EmbeddedBroker()).bootstrap_servers
        else:
            prefix = f"prefstream-demo-{uuid.uuid4().hex[:8]}."
        config = StreamConfig.load(
            bootstrap_servers=bootstrap_servers,
            group_id=f"{prefix}prefstream-demo",
            battles_topic=f"{prefix}battles",
            preferences_topic=f"{prefix}preferences",
            dead_letters_topic=f"{prefix}battles.dead-letters",
            votes_topic=f"{prefix}votes",
            votes_dead_letters_topic=f"{prefix}votes.dead-letters",
            max_batch_battles=DEMO_BATCH_BATTLES,
            dead_letter_limit=1,  # somebody's file that is mostly unusable is for them to see, to its end
            http_port=0,
            log_level="error",
        )
        create_topics(config, PARTITIONS, also=_topics_of_votes(config))
        if prefix:
            stack.callback(_remove, config, tell)
        yield config


def _remove(config: StreamConfig, tell: Callable[[str], None]) -> None:
    """Remove what the demo made on somebody's cluster, or say what is left there."""
    try:
        delete_topics_and_group(config, also=_topics_of_votes(config))
    except StreamError as error:
        names = ", ".join([*topic_operations(config), *_topics_of_votes(config)])
        tell(f"left behind on {config.bootstrap_servers}: the topics {names} and the group {config.group_id} ({error})")


def _topics_of_votes(config: StreamConfig) -> list[str]:
    return [config.votes_topic, config.votes_dead_letters_topic]


def produce(config: StreamConfig, entries: Sequence[DemoEvent]) -> dict[tuple[int, int], DemoEvent]:
    """Send every entry; where each one went, by partition and offset.

    Raises:
        StreamError: a record could not be delivered.
    """
    with closing(make_producer(config)) as producer:
        sent = [
            (entry, producer.send(config.battles_topic, key=entry.name.encode(), value=entry.value))
            for entry in entries
        ]
        producer.flush()
    for entry, future in sent:
        if future.failed():
            raise StreamError(f"{entry.name} could not be sent: {future.exception}")
    return {(future.value.partition, future.value.offset): entry for entry, future in sent}


@contextmanager
def streaming(
    config: StreamConfig,
    panel: Panel,
    *,
    on_committed: Callable[[Scored], None],
) -> Iterator[DemoRun]:
    """The service in a thread of its own; stopped, and its error raised, at the end.

    Raises:
        BaseException: what ended the service.
    """
    run = DemoRun(config, Service(config, lambda: panel, on_committed=on_committed))

    def serve() -> None:
        try:
            run.service.run()
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which raises it
            run.error = error
        finally:
            run.finished.set()

    thread = threading.Thread(target=serve, name="stream")
    thread.start()
    try:
        yield run
    finally:
        run.service.stop()
        thread.join()
    run.raise_error()


def check(config: StreamConfig, sent: Mapping[tuple[int, int], DemoEvent]) -> Check:
    """Read both output topics back and hold them against what was sent; battles of others do not count.

    Raises:
        StreamError: the topics could not be read to their ends in time.
    """
    preferences: list[Preference] = []
    reasons: list[str] = []
    answers: Counter[tuple[int, int]] = Counter()
    for record in _read_back(config):
        if record.topic == config.preferences_topic:
            preference = decode_preference(record.value)
            place = (getattr(preference.source, "partition", -1), getattr(preference.source, "offset", -1))
            if place in sent:
                preferences.append(preference)
        else:
            place = (int(header(record, HEADER_PARTITION) or -1), int(header(record, HEADER_OFFSET) or -1))
            if place in sent:
                reasons.append(header(record, HEADER_REASON) or "?")
        answers[place] += 1
    return Check(
        produced=len(sent),
        preferences=tuple(preferences),
        dead_letters=tuple(reasons),
        lost=sum(position not in answers for position in sent),
        twice=sum(answers[position] > 1 for position in sent),
    )


def _read_back(config: StreamConfig) -> Iterator[Any]:
    """Every committed record of both output topics, up to where they end now."""
    with closing(make_consumer(config, auto_offset_reset="earliest")) as consumer:
        partitions = [
            partition
            for topic in (config.preferences_topic, config.dead_letters_topic)
            for partition in find_partitions(consumer, topic)
        ]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        deadline = time.monotonic() + READ_BACK_TIMEOUT_S
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            if time.monotonic() > deadline:
                raise StreamError(f"the output topics could not be read back within {READ_BACK_TIMEOUT_S:.0f} s")
            for records in consumer.poll(timeout_ms=200).values():
                yield from records
