"""How a shadow's answers differ from those that are served: its newest ones, beside what the board has stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Final, NamedTuple

import numpy as np

from prefstream.consumer.board.report.stream_payloads import RecordPlace, ShadowBattle, ShadowReport
from prefstream.consumer.board.store.reading import StoredAnswer
from prefstream.consumer.board.watch.dead_letters import METADATA_MAX_AGE_MS, POLL_MS, TIMEOUT_MS, newest_of
from prefstream.consumer.client.acl import shadow_operations, spell
from prefstream.consumer.client.clients import make_consumer
from prefstream.consumer.client.connection_errors import explain, overheard
from prefstream.consumer.client.kafka_errors import KafkaError, Meaning, Translator, meaning_of
from prefstream.consumer.client.protocols import ConsumerRecord, GroupConsumer, TopicPartition
from prefstream.consumer.client.silence import Silence
from prefstream.consumer.client.topics import find_partitions
from prefstream.consumer.client.values import preference_of
from prefstream.consumer.config import TopicNames
from prefstream.consumer.errors import BrokersSilentError, StreamError
from prefstream.schemas import ContractError, KafkaSource
from prefstream.scoring.comparison.answers import probabilities_of
from prefstream.scoring.comparison.change import measure_change, most_distant
from prefstream.scoring.evaluation.bootstrap import Resamples

MOST_KEPT: Final = 2_000
"""Answers of the shadow, the newest: enough for an interval of two points around a share, and half a megabyte."""

MOST_NAMED: Final = 5
"""Battles that changed most: a glance."""

LOOK_S: Final = 10.0
"""Between two comparisons: a hundredth of a second each, and nobody acts on this within seconds."""

FIRST_LOOK_S: Final = 1.0
"""After the start: by then the newest answers are there."""

RESAMPLES: Final = 200
"""Its intervals move with every look anyway; `diff` has five times as many."""

SILENT_S: Final = 5.0
"""Brokers that answer nothing for so long are away."""

MAX_RECORDS: Final = 500
"""Of a poll: each is decoded whole, half a millisecond at most."""

_ANEW: Final = frozenset({Meaning.OFFSET_OUT_OF_RANGE, Meaning.LOG_TRUNCATED})


class ShadowAnswer(NamedTuple):
    """What a shadow answered.

    Attributes:
        id: of the battle.
        place: where the battle stands.
        probabilities: of A, B and tie.
    """

    id: str
    place: tuple[str, int, int]
    probabilities: tuple[float, float, float]


class ShadowWatch:
    """Reads what a shadow answers. Its thread calls `watch`; `now` is for any.

    Args:
        names: the topics, and where they are.
        find: what was served, by the ids of battles; those that are not known are left out.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        names: TopicNames,
        find: Callable[[Sequence[str]], Mapping[str, StoredAnswer]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = names
        self._topic = names.shadow_topic
        self._find = find
        self._clock = clock
        self._answers: dict[tuple[str, int, int], ShadowAnswer] = {}
        self._report: ShadowReport | None = None
        acl = spell(shadow_operations(names)[self._topic], self._topic)
        self._translator = Translator(f"reading {self._topic}", acls=lambda _: acl)

    @property
    def now(self) -> ShadowReport | None:
        """What was found last; None before that."""
        return self._report

    def watch(self, stop: threading.Event, tell: Callable[[StreamError | None], None]) -> None:
        """Read until a stop is asked for, or until the topic is one that must be taken up anew.

        Raises:
            StreamError: the topic can't be read now.
        """
        with self._translator.translating(), overheard("kafka") as heard, closing(self._consumer()) as consumer:
            partitions = find_partitions(consumer, self._topic)
            topic_id = consumer.topic_id(self._topic)
            self._begin(consumer, partitions)
            silence = Silence(consumer.heard_at)
            look_at = self._clock() + FIRST_LOOK_S
            while not stop.is_set() and consumer.topic_id(self._topic) == topic_id:
                try:
                    polled = consumer.poll(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
                except KafkaError as error:
                    if meaning_of(error) not in _ANEW:
                        raise
                    return
                for records in polled.values():
                    self.take(records)
                if (silent_s := silence.lasts_s()) > 1.0:
                    consumer.ask_for_topics()
                if silent_s > SILENT_S:
                    why = explain(list(heard), self._names) or "are they up?"
                    tell(BrokersSilentError(f"no broker at {self._names.bootstrap_servers} answers: {why}"))
                elif self._clock() >= look_at:
                    self.look()
                    look_at = self._clock() + LOOK_S
                    tell(None)

    def take(self, records: Iterable[ConsumerRecord]) -> None:
        """Keep what records answer, the newest ones; what is no preference of a battle on a topic is passed over."""
        for record in records:
            try:
                said = preference_of(record)
            except ContractError:
                continue
            if isinstance(said.source, KafkaSource):
                place = (said.source.topic, said.source.partition, said.source.offset)
                shares = said.probabilities
                self._answers.pop(place, None)  # the last one counts, and is the newest
                self._answers[place] = ShadowAnswer(said.id, place, (shares.model_a, shares.model_b, shares.tie))
        for place in list(self._answers)[: max(0, len(self._answers) - MOST_KEPT)]:
            del self._answers[place]

    def look(self) -> None:
        """Hold what is kept against what was served."""
        served = self._find([one.id for one in self._answers.values()])
        pairs = [
            (one, found)
            for one in self._answers.values()
            if (found := served.get(one.id)) is not None and found[:3] == one.place
        ]
        self._report = _report(self._topic, pairs, waiting=len(self._answers) - len(pairs))

    def _consumer(self) -> GroupConsumer:
        consumer: GroupConsumer = make_consumer(
            self._names, client_id="prefstream-board-shadow", metadata_max_age_ms=METADATA_MAX_AGE_MS
        )
        return consumer

    def _begin(self, consumer: GroupConsumer, partitions: list[TopicPartition]) -> None:
        """From the newest answers on: nothing but them is shown."""
        self._answers.clear()
        begins = consumer.beginning_offsets(partitions, timeout_ms=TIMEOUT_MS)
        ends = consumer.end_offsets(partitions, timeout_ms=TIMEOUT_MS)
        newest = newest_of({one: range(begins[one], ends[one]) for one in partitions}, MOST_KEPT)
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, newest[partition].start)


def _report(topic: str, pairs: Sequence[tuple[ShadowAnswer, StoredAnswer]], *, waiting: int) -> ShadowReport:
    if not pairs:
        return ShadowReport(topic=topic, compared=0, waiting=waiting, change=None, most_changed=())
    now = np.array([one.probabilities for one, _ in pairs])
    then = np.array([found.probabilities for _, found in pairs])
    return ShadowReport(
        topic=topic,
        compared=len(pairs),
        waiting=waiting,
        change=measure_change(then, now, Resamples(range(len(pairs)), resamples=RESAMPLES)),
        most_changed=tuple(
            ShadowBattle(
                id=pairs[place][0].id,
                source=RecordPlace(
                    topic=pairs[place][0].place[0],
                    partition=pairs[place][0].place[1],
                    offset=pairs[place][0].place[2],
                ),
                served=probabilities_of(pairs[place][1].probabilities),
                shadow=probabilities_of(pairs[place][0].probabilities),
            )
            for place, _ in most_distant(then, now, MOST_NAMED)
        ),
    )
