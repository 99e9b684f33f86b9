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

Positions beyond the last record (markers, aborted records) are committed along with a batch, or by an empty batch of
their own, which goes through the same states.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import structlog

from prefstream.consumer.client.protocols import OffsetAndMetadata, TopicPartition
from prefstream.consumer.client.transaction import AbortedError, UnsettledError
from prefstream.consumer.client.values import place_of
from prefstream.consumer.client.watchdog import Watchdog
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import BrokerUnreachableError, StreamError, TransactionFailedError
from prefstream.consumer.observe.stream_metrics import StreamMetrics
from prefstream.consumer.stream.batch import Batch
from prefstream.consumer.stream.dead_letter_limit import DeadLetterLimit, Window
from prefstream.consumer.stream.messages import Message, shrink, unchoose, with_copies
from prefstream.consumer.stream.partitions.assignment import Membership
from prefstream.consumer.stream.partitions.offset_metadata import OffsetMetadata
from prefstream.consumer.stream.pipeline import Scored
from prefstream.consumer.stream.sink import Sink
from prefstream.consumer.stream.source import Source

log = structlog.get_logger(__name__)

FIRST_BACKOFF_S: Final = 0.1
"""First wait before an aborted transaction is tried again, doubled each time: most faults pass at once."""

LONGEST_BACKOFF_S: Final = 2.0
"""Longest such wait: a coordinator moves within seconds."""

POSITIONS_EVERY_S: Final = 1.0
"""How long after any commit positions are committed without a batch: where upstream writes a marker a moment, they move
all the time. A process that is killed leaves at most so much behind, and its successor reads over it."""

LOOK_EVERY_S: Final = 0.1
"""How often it is looked whether there are such positions, which takes about a microsecond for each partition."""

_NO_BATCH: Final = Scored(Batch((), 0.0), (), (), 0, 0.0, 0.0, 0.0)
"""What positions alone are published with."""


FAILING_S: Final = 5.0
"""A batch that can't be committed for so long holds the stream up: what passes at once has passed."""


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
        membership: the snapshot that they were sent with.
    """

    retrying: Retrying
    sent: tuple[Message, ...]
    membership: Membership


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
        self._positions_due = time.monotonic()

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
            case Unsettled(retrying=retrying):
                return retrying

    def obstacle(self) -> StreamError | None:
        """What keeps us from committing, where that is more than a fault that has passed at the next attempt."""
        held = self.held
        if held is None or held.failing_since is None or time.monotonic() - held.failing_since < FAILING_S:
            return None
        return TransactionFailedError("a batch can't be committed, and is tried again")

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

    def commit_positions(self, *, at_once: bool = False) -> None:
        """Step 6: where nothing of a partition is in flight, commit its position if it is not what is committed.

        Args:
            at_once: not only `POSITIONS_EVERY_S` after the last commit: partitions may be about to leave us.

        Raises:
            StreamError: what can't be mended from inside. What can be is tried again as a batch is.
        """
        now = time.monotonic()
        if isinstance(self._state, Idle) and (at_once or now >= self._positions_due):
            self._positions_due = now + LOOK_EVERY_S
            self.publish(_NO_BATCH)

    def _publish_owned(self, scored: Scored) -> Published | None:
        membership = self._source.membership()
        owned = tuple(message for message in scored.messages if membership.owns(message.event))  # step 3
        with self._watchdog.guard("committed offsets"):
            if not (membership.joined and self._source.began_in_this_topic(membership.epochs)):
                return self._put_off(scored, owned)  # the next poll joins again, or tells what we lost
            answering = _ends(owned)
            ends = self._source.progress.committable(membership.epochs, answering)
            if not ends:
                return self._done(scored, (), 0.0)
            windows = self._limit.check(owned)
            offsets = self._offsets(ends, windows, membership)
        if self._source.membership().epochs != membership.epochs:
            return self._put_off(scored, owned)  # what was committed says to read elsewhere: these may be read again
        started = time.monotonic()
        if not self._commit(scored, owned, offsets, membership):
            return None
        self._positions_due = time.monotonic() + POSITIONS_EVERY_S
        self._limit.accept(windows)
        self._source.progress.answered(answering, membership.epochs)
        self._source.committed.note(offsets, membership.epochs)
        return self._done(scored, owned, time.monotonic() - started)

    def _put_off(self, scored: Scored, owned: tuple[Message, ...]) -> Published | None:
        """Not now; where nothing of the batch is ours, there is nothing to wait for."""
        if not owned:
            return self._done(scored, (), 0.0)
        self._state = replace(self.held or Retrying(scored), due=time.monotonic() + FIRST_BACKOFF_S)
        return None

    def _offsets(
        self, ends: Mapping[TopicPartition, int], windows: Mapping[TopicPartition, Window], membership: Membership
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """What is committed: each offset with its note."""
        topic_id = self._source.topic_id
        offsets = {}
        for partition, end in ends.items():
            window = windows.get(partition) or self._limit.window(partition, membership.epochs[partition])
            # -1: of no leader epoch, which nobody asks for.
            note = OffsetMetadata(topic_id, window.bits, self._source.undecided(partition))
            offsets[partition] = OffsetAndMetadata(end, note.encode(), -1)
        return offsets

    def _commit(
        self,
        scored: Scored,
        owned: tuple[Message, ...],
        offsets: Mapping[TopicPartition, OffsetAndMetadata],
        membership: Membership,
    ) -> bool:
        """Step 4, and where it fails the state in which step 5 begins."""
        outgoing = with_copies(owned)
        trace = scored.trace
        try:
            with trace.attempt(len(outgoing)) if trace else nullcontext():
                self._sink.publish(outgoing, offsets, membership)
        except AbortedError as aborted:
            self._tell_first("transaction aborted, retrying", aborted, offsets)
            self._metrics.transaction_aborted()
            smaller = self._shrink(scored, [outgoing[position] for position in aborted.oversized])
            self._state = self._retry_later(smaller, aborted)
            return False
        except UnsettledError as error:
            self._tell_first("transaction unsettled", error, offsets)
            if trace:
                trace.unsettled = True
            self._state = Unsettled(self._retry_later(scored, error), owned, membership)
            return False
        return True

    def _shrink(self, scored: Scored, oversized: Sequence[Message]) -> Scored:
        """The batch with smaller forms of the messages that are too large for their topic."""
        too_large = {id(message) for message in oversized if message.copy_of is None}
        for_review = {id(message.copy_of) for message in oversized if message.copy_of is not None} - too_large
        if for_review:
            self._metrics.reviews_refused(len(for_review))
            log.warning(
                "preferences too large for the review topic are published without review",
                topic=self._config.review_topic,
                preferences=len(for_review),
                largest=max(message.size for message in oversized if message.copy_of is not None),
            )

        def mended(message: Message) -> Message:
            if id(message) in too_large:
                return _smaller(message)
            return unchoose(message) if id(message) in for_review else message

        return replace(scored, messages=tuple(map(mended, scored.messages)))

    def _settle(self, unsettled: Unsettled) -> Published | None:
        """Find out whether an unsettled transaction was committed, and with it its batch; None where it was not."""
        self._sink.open()
        partitions = _partitions(unsettled.sent)
        with self._watchdog.guard("committed offsets"):
            found = {partition: self._source.committed.ask(partition) for partition in partitions}
        self._state = unsettled.retrying
        self._limit.forget()
        self._source.committed.forget()
        ends = {partition: committed.offset for partition, committed in found.items() if committed}
        committed = all(
            message.event.record.offset < ends.get(message.event.partition, 0) for message in unsettled.sent
        )
        log.info("transaction settled", committed=committed, battles=len(unsettled.sent))
        if not committed:
            if trace := unsettled.retrying.scored.trace:
                trace.unsettled = False
            self._metrics.transaction_aborted()
            return None
        self._source.progress.answered(_ends(unsettled.sent), unsettled.membership.epochs)
        now = time.monotonic()
        return self._done(unsettled.retrying.scored, unsettled.sent, now - (unsettled.retrying.failing_since or now))

    def _tell_first(self, event: str, error: StreamError, partitions: Iterable[TopicPartition]) -> None:
        """A batch's first failure is a warning; those that follow from the same fault are told at debug."""
        held = self.held
        tell = log.warning if held is None or held.failing_since is None else log.debug
        names = [f"{partition.topic}/{partition.partition}" for partition in sorted(partitions)]
        tell(event, error=type(error.__cause__ or error).__name__, why=str(error), partitions=names)

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


def _ends(messages: Iterable[Message]) -> dict[TopicPartition, int]:
    """Per partition, the offset behind its last record."""
    ends: dict[TopicPartition, int] = {}
    for message in messages:
        partition = message.event.partition
        ends[partition] = max(ends.get(partition, 0), message.event.record.offset + 1)
    return ends


def _smaller(message: Message) -> Message:
    """The smaller form of a message that is too large for its topic."""
    smaller = shrink(message)
    if smaller is None:
        raise StreamError(
            f"the dead letter of {place_of(message.event.record)} is too large even without "
            "value, key and headers: raise max.message.bytes of the dead-letters topic"
        )
    return smaller
