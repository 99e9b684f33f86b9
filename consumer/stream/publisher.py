"""Scored batches out, one after the other: each is tried until it is committed, whatever the broker answers.

    in state         what happens                               next
    ---------------  -----------------------------------------  ---------
    idle, retrying   committed, or all its partitions moved     idle
    idle, retrying   aborted, or we are no member now           retrying
    idle, retrying   nobody knows how the transaction ended     unsettled
    unsettled        settled: it was committed                  idle
    unsettled        settled: it was not; sent again at once    as above
    unsettled        the coordinator does not tell              unsettled

Unsettled is a transaction that may be committed, aborted or open. A new producer ends it, and the committed offsets
tell which it was. In every state but idle one batch is held: it goes out before any later one, 0.1 s after it failed,
then after twice as long each time, and after `broker_timeout_s` it is given up.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias
from uuid import UUID

import structlog

from prefstream.consumer.client.protocols import OffsetAndMetadata, TopicPartition
from prefstream.consumer.client.transaction import AbortedError, UnsettledError
from prefstream.consumer.client.watchdog import Watchdog
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import BrokerUnreachableError, StreamError, TransactionFailedError
from prefstream.consumer.observe.metrics import StreamMetrics
from prefstream.consumer.stream.assignment import Membership
from prefstream.consumer.stream.dead_letter_limit import DeadLetterLimit, Window
from prefstream.consumer.stream.messages import Message, shrink
from prefstream.consumer.stream.offset_metadata import OffsetMetadata
from prefstream.consumer.stream.pipeline import Scored
from prefstream.consumer.stream.sink import Sink
from prefstream.consumer.stream.source import Source

log = structlog.get_logger(__name__)

FIRST_BACKOFF_S: Final = 0.1
"""First wait before an aborted transaction is tried again, doubled each time: most faults pass at once."""

LONGEST_BACKOFF_S: Final = 2.0
"""Longest such wait: a coordinator moves within seconds."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Retrying:
    """A batch that is sent again.

    Attributes:
        scored: the batch.
        due: when, on the monotonic clock.
        backoff_s: the wait that led there.
        failing_since: of its first failure; None while we only wait to be a member again, which has a bound of its own.
    """

    scored: Scored
    due: float = 0.0
    backoff_s: float = FIRST_BACKOFF_S
    failing_since: float | None = None


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A batch of whose transaction nobody knows the end.

    Attributes:
        retrying: what happens to it if the transaction was aborted.
        sent: the messages that were in it.
    """

    retrying: Retrying
    sent: tuple[Message, ...]


State: TypeAlias = Idle | Retrying | Unsettled


@dataclass(frozen=True, slots=True)
class Published:
    """A batch that is dealt with.

    Attributes:
        scored: the batch.
        messages: those that are visible now; none where all its partitions moved to other members.
        commit_s: seconds that the transaction took; for one that was unsettled, since it first failed.
    """

    scored: Scored
    messages: tuple[Message, ...]
    commit_s: float


class Publisher:
    """Commits scored batches in order. Belongs to the polling thread.

    Args:
        config: the settings.
        source: says what is ours, and what was committed.
        sink: Kafka out.
        metrics: counts aborted transactions.
        watchdog: bounds questions for committed offsets.
    """

    def __init__(
        self, config: StreamConfig, source: Source, sink: Sink, metrics: StreamMetrics, watchdog: Watchdog
    ) -> None:
        self._config = config
        self._source = source
        self._sink = sink
        self._metrics = metrics
        self._watchdog = watchdog
        self._limit = DeadLetterLimit(config.dead_letter_limit, config.dead_letter_window, source.committed_metadata)
        self._state: State = Idle()

    def open(self) -> None:
        """Take over the transactional id; raises what `Transactions.open` does."""
        self._sink.open()

    @property
    def state(self) -> State:
        """What is held, and why."""
        return self._state

    @property
    def held(self) -> Retrying | None:
        """The batch that goes out before any other, and when; None when idle."""
        match self._state:
            case Idle():
                return None
            case Retrying() as retrying:
                return retrying
            case Unsettled(retrying):
                return retrying

    def publish(self, scored: Scored) -> Published | None:
        """Try to commit a batch: `held.scored` while one is held, else the next; settles first what is unsettled.

        Returns:
            What became of it; None where it is held and must be tried again.

        Raises:
            TransactionFailedError: it has failed for too long.
            StreamError: what can't be mended from inside.
        """
        try:
            if isinstance(self._state, Unsettled) and (published := self._settle(self._state)):
                return published
            return self._publish_owned(scored)
        except BrokerUnreachableError as error:
            retrying = self._retry_later(scored, error)
            self._state = replace(self._state, retrying=retrying) if isinstance(self._state, Unsettled) else retrying
            return None

    def _publish_owned(self, scored: Scored) -> Published | None:
        membership = self._source.membership()
        owned = tuple(message for message in scored.messages if membership.owns(message.event))  # step 3
        with self._watchdog.guard("committed offsets"):
            if owned and not (membership.joined and self._source.began_in_this_topic(_partitions(owned))):
                self._state = replace(self.held or Retrying(scored), due=time.monotonic() + FIRST_BACKOFF_S)
                return None  # the next poll joins again, or tells what we lost
            windows = self._limit.check(owned)
        started = time.monotonic()
        if owned and not self._commit(scored, owned, windows, membership):
            return None
        return self._done(scored, owned, time.monotonic() - started)

    def _commit(
        self,
        scored: Scored,
        owned: tuple[Message, ...],
        windows: Mapping[TopicPartition, Window],
        membership: Membership,
    ) -> bool:
        """Step 4, and where it fails the state in which step 5 begins."""
        try:
            self._sink.publish(owned, _offsets(owned, windows, self._source.topic_id), membership)
        except AbortedError as aborted:
            log.warning("transaction aborted, retrying", error=str(aborted))
            self._metrics.transaction_aborted()
            smaller = _shrink(scored, [owned[position] for position in aborted.oversized])
            self._state = self._retry_later(smaller, aborted)
            return False
        except UnsettledError as error:
            log.warning("transaction unsettled", error=str(error))
            self._state = Unsettled(self._retry_later(scored, error), owned)
            return False
        self._limit.accept(windows)
        return True

    def _settle(self, unsettled: Unsettled) -> Published | None:
        """Find out whether an unsettled transaction was committed, and with it its batch; None where it was not."""
        self._sink.open()
        partitions = _partitions(unsettled.sent)
        with self._watchdog.guard("committed offsets"):
            ends = {partition: self._source.committed_offset(partition) for partition in partitions}
        self._state = unsettled.retrying
        self._limit.forget(partitions)
        committed = all(message.event.record.offset < ends[message.event.partition] for message in unsettled.sent)
        log.info("transaction settled", committed=committed, battles=len(unsettled.sent))
        if not committed:
            self._metrics.transaction_aborted()
            return None
        now = time.monotonic()
        return self._done(unsettled.retrying.scored, unsettled.sent, now - (unsettled.retrying.failing_since or now))

    def _retry_later(self, scored: Scored, cause: StreamError) -> Retrying:
        """Step 5: the batch goes out again after a while, before any later one."""
        now, held = time.monotonic(), self.held
        if held is None or held.failing_since is None:
            return Retrying(scored, now + FIRST_BACKOFF_S, failing_since=now)
        if now - held.failing_since > self._config.broker_timeout_s:
            raise TransactionFailedError(
                f"a batch could not be committed for {self._config.broker_timeout_s:.0f} s; last: {cause}"
            ) from cause
        backoff_s = min(LONGEST_BACKOFF_S, 2 * held.backoff_s)
        return Retrying(scored, now + backoff_s, backoff_s, held.failing_since)

    def _done(self, scored: Scored, messages: tuple[Message, ...], commit_s: float) -> Published:
        self._state = Idle()
        return Published(scored, messages, commit_s)


def _partitions(messages: Iterable[Message]) -> set[TopicPartition]:
    return {message.event.partition for message in messages}


def _offsets(
    messages: Iterable[Message], windows: Mapping[TopicPartition, Window], topic_id: UUID | None
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Per partition, the offset behind its last record, and what is noted with it."""
    ends: dict[TopicPartition, int] = {}
    for message in messages:
        partition = message.event.partition
        ends[partition] = max(ends.get(partition, 0), message.event.record.offset + 1)
    bits = {partition: window.bits for partition, window in windows.items()}
    return {
        # -1: of no leader epoch, which nobody asks for.
        partition: OffsetAndMetadata(end, OffsetMetadata(topic_id, bits.get(partition, 0)).encode(), -1)
        for partition, end in ends.items()
    }


def _shrink(scored: Scored, oversized: Iterable[Message]) -> Scored:
    """The batch with smaller forms of the messages that are too large for their topic."""
    too_large = {id(message) for message in oversized}
    if not too_large:
        return scored
    messages = []
    for message in scored.messages:
        smaller = shrink(message) if id(message) in too_large else message
        if smaller is None:
            record = message.event.record
            raise StreamError(
                f"the dead letter of {record.topic}/{record.partition}/{record.offset} is too large even without "
                "value, key and headers: raise max.message.bytes of the dead-letters topic"
            )
        messages.append(smaller)
    return replace(scored, messages=tuple(messages))
