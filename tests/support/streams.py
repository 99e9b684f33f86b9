"""What tests of the stream share: battles and what is none, a service in a thread, and an independent reader.

Whether each input left exactly once is never asked of the service: a read_committed consumer of its own reads the
output topics from the beginning.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from prefstream.consumer.client.clients import make_consumer
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.panels.loading import PanelLoader
from prefstream.consumer.stream.partitions.assignment import Event
from prefstream.consumer.stream.pipeline import Scored
from prefstream.consumer.stream.service import Service
from prefstream.schemas import KafkaSource, Preference, Reason, decode_preference
from prefstream.schemas.dead_letter import HEADER_OFFSET, HEADER_PARTITION, HEADER_REASON, HEADER_TOPIC, header
from prefstream.scoring.panel.panel import Panel
from tests.support.priors import prior_panel

Position = tuple[str, int, int]
"""Topic, partition, offset of an input record."""

MARKERS: Final = ("zqprompt", "zqanswera", "zqanswerb", "zqmodel", "zqkey", "zqheader")
"""Words that stand in every battle made here and nowhere else: found in a log, they are a leak."""

WAIT_S: Final = 100.0
"""Longest wait for anything that takes milliseconds on a quiet machine; others may do twenty times its work."""


def wait_until(condition: Callable[[], object], timeout_s: float = WAIT_S, what: str = "the condition") -> None:
    """Wait for a condition, or fail.

    Args:
        condition: asked every few milliseconds.
        timeout_s: how long to wait, in seconds.
        what: what was waited for, for the failure's message.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain for {what}"
        time.sleep(0.01)


def poll(consumer: Any, timeout_ms: int = 20) -> list[Any]:
    """Records that a consumer has."""
    return [record for records in consumer.poll(timeout_ms=timeout_ms).values() for record in records]


def settled(consumer: Any) -> bool:
    """Poll a member; whether it has joined for good, knows where to read, and was heard of.

    A leader joins once more where it hears that its topics have changed.
    """
    poll(consumer)
    coordinator = consumer._coordinator
    knows = bool(consumer.assignment()) and consumer._subscription.has_all_fetch_positions()
    return knows and coordinator.heartbeat.last_receive > 0 and not coordinator.need_rejoin()


def poll_at_once(*consumers: Any) -> None:
    """Poll each consumer in a thread of its own: members that join in turn would wait for each other."""
    if consumers:
        with ThreadPoolExecutor(len(consumers)) as pool:
            list(pool.map(poll, consumers))


def battle_event(number: int, **fields: Any) -> bytes:
    """A valid event whose every text holds a marker."""
    return json.dumps(
        {
            "id": f"battle-{number}",
            "prompt": [f"zqprompt {number}"],
            "response_a": [f"zqanswera {number}"],
            "response_b": [f"zqanswerb {number}"],
            "model_a": "zqmodel-one",
            "model_b": "zqmodel-two",
            **fields,
        }
    ).encode()


def battle_events(count: int, *, first: int = 0) -> list[bytes]:
    """So many valid events, numbered from `first` on."""
    return [battle_event(number) for number in range(first, first + count)]


def _with(text: str) -> bytes:
    """A valid event up to `text`, which takes the place of the prompt."""
    return b'{"id": "m", "prompt": ' + text.encode() + b', "response_a": ["zqanswera"], "response_b": ["zqanswerb"]}'


MALFORMED: Final[dict[str, tuple[bytes | None, Reason]]] = {
    "not JSON": (b'{"id": "m", "prompt": "zqprompt', Reason.NOT_JSON),
    "not UTF-8": (b'{"id": "m", "prompt": "zqprompt \xff"}', Reason.NOT_UTF8),
    "wrong types": (_with('{"zqprompt": 7}'), Reason.WRONG_TYPE),
    "missing field": (b'{"id": "m", "prompt": ["zqprompt"], "response_a": ["zqanswera"]}', Reason.MISSING_FIELD),
    "oversized field": (_with(json.dumps(["zqprompt"] * 1_001)), Reason.FIELD_TOO_LARGE),
    "nesting bomb": (b'{"zqprompt": ' + b"[" * 100_000, Reason.TOO_DEEP),
    "NaN": (_with("NaN"), Reason.NOT_FINITE),
    "null value": (None, Reason.NULL_VALUE),
    "turns differ": (_with('["zqprompt", "zqprompt"]'), Reason.TURNS_DIFFER),
    "lone surrogate": (_with(r'["zqprompt \ud800"]'), Reason.NOT_UTF8),
    "array": (b'["zqprompt"]', Reason.NOT_AN_OBJECT),
}
"""Events that are no battles, by name, each with the reason that its dead letter must give."""


def malformed_events(count: int) -> list[tuple[bytes | None, Reason]]:
    """So many malformed events, every kind in turn."""
    kinds = list(MALFORMED.values())
    return [kinds[number % len(kinds)] for number in range(count)]


def fresh_config(bootstrap_servers: str, *, partitions: int = 1, **settings: Any) -> StreamConfig:
    """A configuration with a group and topics of its own, which are created.

    Args:
        bootstrap_servers: the broker.
        partitions: of the battles topic.
        settings: of the stream; they override. A review topic gets a name of its own, too.
    """
    name = f"t{uuid.uuid4().hex[:10]}"
    config = StreamConfig.load(
        **{
            "bootstrap_servers": bootstrap_servers,
            "group_id": name,
            "battles_topic": f"{name}.battles",
            "preferences_topic": f"{name}.preferences",
            "dead_letters_topic": f"{name}.dead-letters",
            "panels_topic": f"{name}.panels",
            "http": False,
            **settings,
            **({"review_topic": f"{name}.review"} if settings.get("review_topic") else {}),
        }
    )
    create_topics(config, partitions)
    return config


def produce(
    config: StreamConfig,
    values: Iterable[bytes | None],
    *,
    partition: int | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
    timestamp_ms: int | None = None,
) -> list[Position]:
    """Write values to the battles topic, each with a key of its own; where they ended up."""
    to_topic: dict[str, Any] = {"partition": partition, "headers": list(headers), "timestamp_ms": timestamp_ms}
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers, linger_ms=5, max_request_size=2**24)) as to:
        futures = [
            to.send(config.battles_topic, value, key=f"zqkey-{n}".encode(), **to_topic)
            for n, value in enumerate(values)
        ]
        to.flush(WAIT_S)
        sent = [future.get(WAIT_S) for future in futures]
    return [(meta.topic, meta.partition, meta.offset) for meta in sent]


def produce_ahead(admin: Any, config: StreamConfig, values: Iterable[bytes | None]) -> list[Position]:
    """Write values to the battles topic as somebody does whose clock is three days ahead.

    Args:
        admin: has the topic take them.
        config: names the topic.
        values: of the records.
    """
    allowed = {"message.timestamp.after.max.ms": str(1 << 50)}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, config.battles_topic, allowed)])
    return produce(config, values, timestamp_ms=int(time.time() * 1000) + 3 * 24 * 3_600_000)


def write_transaction(config: StreamConfig, values: Sequence[bytes], *, commit: bool = True) -> list[Position]:
    """Write values to partition 0 in one transaction; where they stand, if they do."""
    name = f"{config.group_id}-upstream"
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers, transactional_id=name)) as upstream:
        upstream.init_transactions()
        upstream.begin_transaction()
        sent = [upstream.send(config.battles_topic, value, partition=0) for value in values]
        upstream.flush()
        if not commit:
            upstream.abort_transaction()
            return []
        upstream.commit_transaction()
        return [(meta.topic, meta.partition, meta.offset) for meta in (future.get() for future in sent)]


def read_topic(bootstrap_servers: str, topic: str, *, isolation: str = "read_committed") -> list[Any]:
    """Every record that a reader can see now, from the beginning of every partition."""
    with closing(
        KafkaConsumer(bootstrap_servers=bootstrap_servers, isolation_level=isolation, enable_auto_commit=False)
    ) as consumer:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        records: list[Any] = []
        deadline = time.monotonic() + WAIT_S
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            assert time.monotonic() < deadline, f"could not read {topic} to its end within {WAIT_S:g} s"
            for polled in consumer.poll(timeout_ms=200).values():
                records += polled
        return records


def assert_reviews_exact(config: StreamConfig) -> dict[str, bool]:
    """What was chosen is on the review topic, once, the very same; nothing else is. By id, whether it was chosen."""
    assert config.review_topic
    published = read_topic(config.bootstrap_servers, config.preferences_topic)
    reviews = read_topic(config.bootstrap_servers, config.review_topic)
    said = {as_sent(record): decode_preference(record.value) for record in published}
    chosen = [sent for sent, preference in said.items() if preference.review and preference.review.chosen]
    assert Counter(map(as_sent, reviews)) == Counter(chosen)
    return {preference.id: bool(preference.review and preference.review.chosen) for preference in said.values()}


def as_sent(record: Any) -> tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]:
    """Key, value and headers of a record."""
    return record.key, record.value, tuple(record.headers)


@dataclass(frozen=True)
class Outcome:
    """What a reader finds on the two output topics."""

    preferences: list[Preference]
    dead_letters: list[Any]
    positions: Counter[Position]

    def reasons(self) -> Counter[str | None]:
        """How many dead letters gave which reason."""
        return Counter(header(record, HEADER_REASON) for record in self.dead_letters)


def read_outcome(config: StreamConfig) -> Outcome:
    """Read both output topics and count what came out for each input position."""
    preferences = [
        decode_preference(record.value) for record in read_topic(config.bootstrap_servers, config.preferences_topic)
    ]
    dead_letters = read_topic(config.bootstrap_servers, config.dead_letters_topic)
    positions: Counter[Position] = Counter()
    for preference in preferences:
        source = preference.source
        assert isinstance(source, KafkaSource)
        positions[source.topic, source.partition, source.offset] += 1
    for record in dead_letters:
        topic, partition, offset = (header(record, name) for name in (HEADER_TOPIC, HEADER_PARTITION, HEADER_OFFSET))
        assert topic is not None
        assert partition is not None
        assert offset is not None
        positions[topic, int(partition), int(offset)] += 1
    return Outcome(preferences, dead_letters, positions)


def assert_exactly_once(config: StreamConfig, sent: Iterable[Position]) -> Outcome:
    """Every input came out, none twice, nothing else did."""
    outcome = read_outcome(config)
    expected = set(sent)
    twice = {position: count for position, count in outcome.positions.items() if count > 1}
    missing = expected - outcome.positions.keys()
    invented = outcome.positions.keys() - expected
    assert (len(missing), twice, invented) == (0, {}, set()), f"missing: {sorted(missing)[:5]}"
    return outcome


def visible_count(config: StreamConfig) -> int:
    """How many preferences and dead letters a reader can see now."""
    return sum(
        len(read_topic(config.bootstrap_servers, topic))
        for topic in (config.preferences_topic, config.dead_letters_topic)
    )


def delete_before(admin: Any, config: StreamConfig, offset: int) -> None:
    """Delete what stands before an offset of partition 0 of the battles, as retention does.

    Args:
        admin: a client; the fixture of that name.
        config: names the topic.
        offset: the first that stays.
    """
    admin.delete_records({TopicPartition(config.battles_topic, 0): offset})


def commit_beginning(config: StreamConfig, partitions: int = 1) -> None:
    """Commit offset 0 of each partition, so that a bare group consumer has somewhere to begin."""
    with closing(make_consumer(config, group_id=config.group_id)) as consumer:
        consumer.commit(
            {TopicPartition(config.battles_topic, number): OffsetAndMetadata(0, "", -1) for number in range(partitions)}
        )


def committed_offsets(config: StreamConfig, partitions: int = 4) -> dict[int, int | None]:
    """The group's committed offset of each partition of the battles topic."""
    with closing(
        KafkaConsumer(
            bootstrap_servers=config.bootstrap_servers, group_id=config.group, isolation_level="read_committed"
        )
    ) as consumer:
        return {
            number: consumer.committed(TopicPartition(config.battles_topic, number), timeout_ms=100_000)
            for number in range(partitions)
        }


def end_offsets(config: StreamConfig, partitions: int = 4) -> dict[int, int]:
    """End of each partition of the battles topic."""
    with closing(KafkaConsumer(bootstrap_servers=config.bootstrap_servers)) as consumer:
        ends = consumer.end_offsets([TopicPartition(config.battles_topic, number) for number in range(partitions)])
    return {partition.partition: end for partition, end in ends.items()}


class Running:
    """A service in a thread.

    Attributes:
        service: the service.
        committed: the batches that readers can see, in the order of their commits.
        read_before_commit: how many records had been read when each of them was committed.
        error: what ended it, if not `stop`.
        stalled: the call that hung for longer than the broker time-out, which would have ended the process.
    """

    def __init__(self, config: StreamConfig, panel: PanelLoader | Callable[[], Panel]) -> None:
        self.committed: list[Scored] = []
        self.read_before_commit: list[float] = []
        self.error: BaseException | None = None
        self.stalled: str | None = None
        self.service = Service(config, panel, on_committed=self._note_committed, on_stall=self._note_stall)
        self._expected_to_end = False
        self._thread = threading.Thread(target=self._serve, name="service", daemon=True)
        self._thread.start()

    @property
    def published(self) -> int:
        """Messages that readers can see."""
        return sum(len(batch.messages) for batch in self.committed)

    @property
    def alive(self) -> bool:
        """Whether the service still runs."""
        return self._thread.is_alive()

    def wait_published(self, count: int, timeout_s: float = WAIT_S) -> None:
        """Wait until so many messages are visible; fail at once if the service fails."""

        def reached() -> bool:
            if self.error:
                raise self.error
            return self.published >= count

        wait_until(reached, timeout_s, f"{count} messages")

    def wait_ended_or_published(self, count: int, timeout_s: float = WAIT_S) -> BaseException | None:
        """Wait until so many messages are visible or the service ended; what ended it."""
        wait_until(lambda: self.published >= count or not self.alive, timeout_s, f"{count} messages or the end")
        self._expected_to_end = not self.alive
        return self.error

    def wait_ready(self) -> None:
        """Wait until the service is about to read."""
        wait_until(lambda: self.service.health.ready or self.error, what="readiness")

    def wait_ended(self, timeout_s: float = WAIT_S) -> BaseException | None:
        """Wait until the service ended by itself; what ended it."""
        self._expected_to_end = True
        self._thread.join(timeout_s)
        assert not self.alive, f"the service did not end within {timeout_s:g} s"
        return self.error

    def stop(self, timeout_s: float = WAIT_S) -> None:
        """Ask the service to end, wait until it has, and raise what it raised, unless that was waited for."""
        self.service.stop()
        self._thread.join(timeout_s)
        assert not self.alive, f"the service did not stop within {timeout_s:g} s; stalled: {self.stalled}"
        if self.error and not self._expected_to_end:
            raise self.error

    def _note_committed(self, batch: Scored) -> None:
        """Called by the thread that reads, so that it reads nothing meanwhile."""
        read = self.service.metrics.registry.get_sample_value("prefstream_battles_consumed_total")
        assert read is not None
        self.read_before_commit.append(read)
        self.committed.append(batch)

    def _note_stall(self, call: str, message: str) -> None:
        del message
        self.stalled = call

    def _serve(self) -> None:
        try:
            self.service.run()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self.error = error


@contextmanager
def running(config: StreamConfig, panel: PanelLoader | Callable[[], Panel] = prior_panel) -> Iterator[Running]:
    """Run a service in a thread; it is stopped at the end, and what it raised unexpectedly is raised.

    Args:
        config: its settings.
        panel: loads its judges.
    """
    handle = Running(config, panel)
    try:
        yield handle
    finally:
        handle.stop()


def in_parallel(check: Callable[..., None], cases: Sequence[tuple[Any, ...]], *, at_a_time: int = 16) -> None:
    """Run a check for many cases at a time, because each spends its time waiting; all failures are told.

    Args:
        check: called with each case's values.
        cases: the cases.
        at_a_time: how many checks run together.
    """
    with ThreadPoolExecutor(at_a_time, "case") as pool:
        futures = {pool.submit(check, *case): case for case in cases}
    failures = []
    for future, case in futures.items():
        if error := future.exception():
            error.add_note(f"case: {', '.join(map(str, case))}")
            failures.append(error)
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {len(cases)} cases", failures)


def make_event(
    value: bytes | None = b"{}",
    *,
    partition: int = 0,
    offset: int = 0,
    epoch: int = 1,
    topic: str = "battles",
    key: bytes | None = b"zqkey",
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> Event:
    """An event that no broker has seen, for tests of the stream's parts."""
    record = SimpleNamespace(
        topic=topic,
        partition=partition,
        offset=offset,
        key=key,
        value=value,
        headers=list(headers),
        timestamp=1_700_000_000_000,
    )
    return Event.of(record, epoch)
