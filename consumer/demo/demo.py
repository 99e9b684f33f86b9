"""The demo: real battles through the real stream, and a check of what came out. Knows no screen.

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
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.acl import topic_operations
from prefstream.consumer.client.clients import make_consumer, make_producer
from prefstream.consumer.client.topics import create_topics, delete_topics_and_group, find_partitions
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import StreamError, UsageError
from prefstream.consumer.stream.pipeline import Scored
from prefstream.consumer.stream.service import Service
from prefstream.schemas import (
    OUTCOMES,
    Battle,
    KafkaSource,
    Outcome,
    Preference,
    decode_battle,
    decode_preference,
    encode_battle,
)
from prefstream.schemas.dead_letter import HEADER_OFFSET, HEADER_PARTITION, HEADER_REASON, header
from prefstream.schemas.vote import BOTH_BAD, Winner
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.battles import read_battles
from prefstream.scoring.files.content import file_format
from prefstream.scoring.files.labelled import read_labelled
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.panel.predict import triples
from prefstream.scoring.probabilities import credit, log_losses

SAMPLES: Final = "samples"
PARTITIONS: Final = 3
DEMO_BATCH_BATTLES: Final = 8
"""Small, so that verdicts come a handful at a time for somebody who watches."""

READ_BACK_TIMEOUT_S: Final = 30.0
"""Everything was committed before the check starts; more than some seconds mean that a broker is away."""


@dataclass(frozen=True, slots=True)
class DemoEvent:
    """One event of the demo: what is sent, and what of it can be shown.

    Attributes:
        name: the battle's id, or a made-up name for what is no battle.
        value: the record's value.
        battle: None for what is no battle.
        said: which answer people preferred; known for the package's own battles.
    """

    name: str
    value: bytes = field(repr=False)
    battle: Battle | None = None
    said: Winner | None = None

    @property
    def label(self) -> Outcome | None:
        """The same in terms of a battle's three outcomes."""
        return "tie" if self.said == BOTH_BAD else self.said


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


def sample_entries() -> list[DemoEvent]:
    """The package's own battles, and three events that are none."""
    folder = files("prefstream.consumer.demo") / SAMPLES
    lines = (folder / "battles.jsonl").read_bytes().splitlines()
    with_battles = [_entry_of_line(line) for line in lines]
    malformed = (folder / "malformed.txt").read_bytes().splitlines()
    return with_battles + [DemoEvent(f"malformed-{number}", line) for number, line in enumerate(malformed, 1)]


def file_entries(path: Path, on_bad_row: Callable[[str], None]) -> list[DemoEvent]:
    """The user's own battles; a line of JSONL that is none is sent as it is, a bad row of CSV can't be.

    Args:
        path: whatever `read_battles` reads.
        on_bad_row: told which row of CSV is left out, and why.

    Raises:
        FileError: the file can't be read.
        UsageError: it holds no battle.
    """
    entries = []
    labels = _labels(path)
    is_csv = file_format(path) == "csv"
    for record in read_battles(path):
        if record.battle:
            label = labels.get(record.line)
            entries.append(DemoEvent(record.battle.id, encode_battle(record.battle), record.battle, label))
        elif not is_csv:
            entries.append(DemoEvent(f"{path.name}:{record.line}", record.raw))
        else:
            on_bad_row(f"{path.name}:{record.line} is left out: {record.rejected}")
    if not any(entry.battle for entry in entries):
        raise UsageError(f"{path} holds no battle; see `prefstream schema battle`")
    return entries


def _labels(path: Path) -> dict[int, Winner]:
    """What people said, by the line of the battle; empty where the file doesn't tell."""
    try:
        records = list(read_labelled(path))
    except FileError:  # no columns of labels; what else is wrong is told when the battles are read
        return {}
    labels = {record.line: record.battle.label for record in records if record.battle}
    return {line: BOTH_BAD if label.both_bad else label.outcome for line, label in labels.items()}


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well the panel foresaw what people said.

    Attributes:
        battles: with a label.
        log_loss: mean, in nats; log 3 = 1.0986 is knowing nothing.
        accuracy: share whose most probable outcome happened.
    """

    battles: int
    log_loss: float
    accuracy: float


def agreement(preferences: Sequence[Preference], sent: Mapping[tuple[int, int], DemoEvent]) -> Agreement | None:
    """Hold preferences against the labels of their battles; None where there are no labels.

    Args:
        preferences: read back.
        sent: by partition and offset; ids may repeat in somebody's file.
    """
    judged = [
        (preference, event.label)
        for preference in preferences
        if isinstance(preference.source, KafkaSource)
        and (event := sent.get((preference.source.partition, preference.source.offset)))
        and event.label
    ]
    if not judged:
        return None
    rows = triples([preference.probabilities for preference, _ in judged])
    outcomes = np.array([OUTCOMES.index(label) for _, label in judged])
    return Agreement(
        battles=len(judged),
        log_loss=float(log_losses(rows)[np.arange(len(judged)), outcomes].mean()),
        accuracy=float(credit(rows, outcomes).mean()),
    )


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


def _entry_of_line(line: bytes) -> DemoEvent:
    battle = decode_battle(line)
    return DemoEvent(battle.id, line, battle, orjson.loads(line).get("winner"))
