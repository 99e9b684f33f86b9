"""Answers to a topic, exactly once: each chunk in a transaction, with the offset behind it.

Offsets are those of a consumer group that has no members. Its name follows from range, panel and target, so a run that
is started again finds where it was; beside each offset stands the range as it was fixed at first. One transactional id
per group: of two runs at the same time the later one fences the earlier.

    1. Score the chunk; no transaction is open            a crash here: it is scored again
    2. Begin, send answers, send the offset behind them   a crash here: nobody sees them, the next run ends it
    3. Commit                                             a crash here: the committed offset tells whether it was done
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from types import TracebackType
from typing import Final, NamedTuple, Self

from prefstream.consumer.client.acl import acls_of, may_commit, may_publish
from prefstream.consumer.client.clients import make_consumer, make_producer
from prefstream.consumer.client.kafka_errors import Meaning, Translator
from prefstream.consumer.client.offsets import OFFSETS_TIMEOUT_MS
from prefstream.consumer.client.protocols import OffsetAndMetadata, TopicPartition
from prefstream.consumer.client.transaction import AbortedError, Transactions, UnsettledError
from prefstream.consumer.client.watchdog import Watchdog
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import StreamError, TransactionFailedError, UsageError
from prefstream.consumer.rescore.chunks import RefusedRecord
from prefstream.consumer.rescore.progress import PartitionNote, RangeProgress
from prefstream.consumer.rescore.targets import RescoredChunk, advanced
from prefstream.consumer.stream.messages import Composer, Message
from prefstream.consumer.stream.partitions.assignment import Event
from prefstream.schemas import Reason

TRIES: Final = 5
"""Of one transaction, with growing pauses: a coordinator fails over in about 9 s."""

FIRST_PAUSE_S: Final = 0.5

TRANSACTION_TIMEOUT_MS: Final = 60_000
"""A run that is killed holds up readers of its target for so long, unless it is started again."""


def run_id(span: str, panel: str, target: str) -> str:
    """What tells a run from others.

    Args:
        span: the range, as it was asked for.
        panel: hash of the panel.
        target: the topic of answers.
    """
    return hashlib.sha256(json.dumps([span, panel, target]).encode()).hexdigest()[:16]


def default_group(run: str) -> str:
    """The group that keeps how far a run is, where nobody names one."""
    return f"prefstream-rescore-{run}"


class _Saved(NamedTuple):
    """What is committed of one partition."""

    partition: int
    offset: int
    note: PartitionNote


class TopicTarget:
    """A topic of preferences, as the stream writes them.

    Args:
        config: names brokers and login, and whether it is passed on who wrote the responses.
        source: topic of the battles.
        topic: of the answers; must exist.
        run: `run_id` of what is written.
        group: keeps how far the run is.
        frame: stands before the JSON of each answer.
    """

    def __init__(
        self, config: StreamConfig, source: str, topic: str, run: str, group: str, *, frame: bytes = b""
    ) -> None:
        self._config = config
        self._topic = topic
        self._run = run
        self._group = group
        self._publish_models = config.publish_models
        self._composer = Composer(group, frame=frame)
        self._watchdog = Watchdog(config.broker_timeout_s)
        # No instance of the stream can have this name: ~ is not allowed there.
        transactional_id = f"{group}-~rescore"
        make = partial(
            make_producer, config, transactional_id=transactional_id, transaction_timeout_ms=TRANSACTION_TIMEOUT_MS
        )
        self._transactions = Transactions(make, self._watchdog, _translator(source, topic, group, transactional_id))

    def __enter__(self) -> Self:
        try:
            self._transactions.open()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transactions.close()
        self._watchdog.close()

    def begin(self, fixed: RangeProgress) -> RangeProgress:
        """As `RescoreTarget.begin`. The range is committed first: a run that is started again has the same."""
        saved = self._saved(fixed.topic)
        if not saved:
            self._commit((), fixed, [one.partition for one in fixed.partitions])
            return fixed
        progress = RangeProgress(
            topic=fixed.topic,
            topic_id=saved[0].note.topic_id,
            partitions=tuple(one.note.at(one.partition, one.offset) for one in saved),
        )
        progress.refuse_recreated(fixed.topic_id)
        return progress

    def write(self, chunk: RescoredChunk, progress: RangeProgress) -> tuple[RangeProgress, Sequence[RefusedRecord]]:
        """As `RescoreTarget.write`. An answer that is larger than the topic takes is refused."""
        messages = [
            self._composer.preference(
                Event.of(one.record),
                one.answer.to_preference(one.battle, one.source, chunk.timings, publish_models=self._publish_models),
                chunk.timings.scored_at,
            )
            for one in chunk.scored
        ]
        too_large: list[RefusedRecord] = []
        pause_s = FIRST_PAUSE_S
        failed = 0
        while True:
            after = advanced(progress, chunk, refused_there=len(too_large))
            try:
                self._commit(messages, after, [chunk.partition])
            except AbortedError as aborted:
                if aborted.oversized:
                    too_large += [_too_large(messages[position]) for position in aborted.oversized]
                    messages = [one for at, one in enumerate(messages) if at not in aborted.oversized]
                    continue
                error: StreamError = aborted
            except UnsettledError as unsettled:
                if self._settled(after, chunk.partition):
                    return after, too_large
                error = unsettled
            else:
                return after, too_large
            failed += 1
            if failed == TRIES:
                raise TransactionFailedError(
                    f"writing to {self._topic} failed {TRIES} times, the last time by: {error}. Nothing of the last "
                    "transaction is visible; run the same again, it goes on where it was"
                ) from error
            time.sleep(pause_s)
            pause_s *= 2

    def finish(self) -> None:
        """As `RescoreTarget.finish`: the committed offsets say it."""

    def _commit(self, messages: Sequence[Message], progress: RangeProgress, partitions: Sequence[int]) -> None:
        offsets = {
            TopicPartition(progress.topic, one.partition): OffsetAndMetadata(
                one.next, PartitionNote.of(self._run, progress, one).model_dump_json(exclude_none=True), -1
            )
            for one in progress.partitions
            if one.partition in partitions
        }
        with self._transactions.begin() as transaction:
            for message in messages:
                transaction.send(self._topic, value=message.value, key=message.key, headers=message.headers)
            transaction.commit(offsets, self._group)

    def _settled(self, progress: RangeProgress, partition: int) -> bool:
        """End a transaction of which nobody knows the end; whether it was committed."""
        self._transactions.open()
        committed = {one.partition: one.offset for one in self._saved(progress.topic)}
        return any(one.partition == partition and committed.get(partition) == one.next for one in progress.partitions)

    def _saved(self, topic: str) -> list[_Saved]:
        """What the group has committed, with our notes."""
        reading = Translator(f"reading the offsets of group {self._group}", acls=lambda _: may_commit(self._group))
        with reading.translating(), closing(make_consumer(self._config, group_id=self._group)) as consumer:
            places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
            found: Mapping[TopicPartition, OffsetAndMetadata | None] = {
                place: consumer.committed(place, metadata=True, timeout_ms=OFFSETS_TIMEOUT_MS) for place in places
            }
        saved = []
        for place, committed in found.items():
            if committed is None or committed.offset < 0:
                continue
            note = PartitionNote.decode(committed.metadata)
            if note is None or note.run != self._run:
                raise UsageError(
                    f"the offsets of group {self._group} are not of this run (range, panel, topic): give another "
                    "--group, or delete this one to begin anew"
                )
            saved.append(_Saved(place.partition, committed.offset, note))
        return saved


def _too_large(message: Message) -> RefusedRecord:
    detail = f"the preference has {len(message.value or b'')} bytes, more than its topic takes"
    return RefusedRecord(message.event.record, Reason.PREFERENCE_TOO_LARGE, detail)


def _translator(source: str, topic: str, group: str, transactional_id: str) -> Translator:
    return Translator(
        f"writing to {topic}",
        acls=acls_of({topic: "WRITE", source: "READ"}, may_commit(group), may_publish(transactional_id), [topic]),
        remedies={
            Meaning.FENCED: f"another run with the transactional id {transactional_id} began: wait for its end",
            Meaning.TOPIC_MISSING: "was it deleted meanwhile?",
        },
    )
