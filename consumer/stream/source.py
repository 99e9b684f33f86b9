"""Kafka in: records with the assignment epoch of their partition. The polling thread calls all here but `silence`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

import structlog

from prefstream.consumer.client.acl import GRANT, acls_of_stream
from prefstream.consumer.client.clients import patiently
from prefstream.consumer.client.connection_errors import explain
from prefstream.consumer.client.kafka_errors import KafkaError, Meaning, Translator, is_retriable, meaning_of
from prefstream.consumer.client.protocols import STABLE, ConsumerRecord, GroupConsumer, TopicPartition
from prefstream.consumer.client.silence import Silence
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import BrokersSilentError, BrokerUnreachableError, StreamError, TopicMissingError
from prefstream.consumer.stream.partitions.assignment import Assignment, Event, Membership
from prefstream.consumer.stream.partitions.committed_offsets import CommittedOffsets
from prefstream.consumer.stream.partitions.losses import Losses, SkipReason
from prefstream.consumer.stream.partitions.offset_metadata import OffsetMetadata
from prefstream.consumer.stream.partitions.progress import Progress
from prefstream.consumer.stream.partitions.start_positions import StartPositions
from prefstream.consumer.stream.partitions.topic_identity import TopicIdentity

log = structlog.get_logger(__name__)

BACKOFF_S: Final = 0.2
"""Wait after a passing fault of the broker: kafka-python has retried inside already."""

ASK_EVERY_S: Final = 1.0
"""How often brokers are asked about the topic while reading is paused, or while none has answered for as long; else
fetches tell that it was recreated. Results of the old one should be dropped then."""

SILENT_S: Final = 5.0
"""Brokers that answer nothing for so long are away, though one was asked each second: a leader that is busy is late,
a restarted one is back after longer."""


class Source:
    """Polls battles, with flow control; makes of kafka-python's errors what mends them, or ours.

    Args:
        consumer: a group consumer that is not subscribed yet; whoever made it closes it.
        config: the stream's settings.
        on_skipped: told how many offsets will get no answer, and why.
        starts: where to begin in partitions without a committed offset, if not at their first record.
        takes: which records are to be answered, if not all; the others count as read.
        heard: what kafka-python's log said lately: why it reaches nobody stands only there.

    Raises:
        BrokerUnreachableError: the broker does not tell about the topic.
    """

    def __init__(
        self,
        consumer: GroupConsumer,
        config: StreamConfig,
        on_skipped: Callable[[SkipReason, int], None] = lambda *_: None,
        starts: Mapping[TopicPartition, int] | None = None,
        *,
        takes: Callable[[ConsumerRecord], bool] | None = None,
        heard: Iterable[str] = (),
    ) -> None:
        self._consumer = consumer
        self._config = config
        self._takes = takes
        self._passed_over = 0
        self._heard = heard
        self._silence = Silence(consumer.heard_at)
        self._silent_s = 0.0
        self._translator = Translator(
            f"reading {config.battles_topic}",
            acls=acls_of_stream(config, [config.battles_topic]),
            remedies={
                Meaning.DENIED: GRANT,
                Meaning.RECORD_DAMAGED: f"move the offsets of group {config.group} past its record batch",
            },
        )
        self._assignment = Assignment()
        self._identity = TopicIdentity(consumer, config.battles_topic)
        self._on_skipped = on_skipped
        self._losses = Losses(consumer, config, self._assignment, on_skipped, starts or {})
        self._committed = CommittedOffsets(consumer, self._assignment, self._translator, self._losses.learned)
        self._positions = StartPositions(
            consumer, config, self._assignment, self._identity, self._committed, self._losses
        )
        self._progress = Progress(consumer, self._assignment, self._committed)
        self._paused = False
        self._ask_at = 0.0
        self._backoff_until = 0.0
        self._untold: BrokerUnreachableError | None = None  # why it is not known where to begin again
        self._unjudged: KafkaError | None = None  # told by the client once; what it means is not known yet
        # A consumer that joins its group before it knows the topic may stay without partitions for good (kafka-python
        # 3.0.12: 9 of 40 starts against Apache Kafka 4.3.1, none when it was asked first).
        asking = Translator(f"asking for {config.battles_topic}", otherwise=BrokerUnreachableError)
        with asking.translating():
            patiently(lambda: consumer.partitions_for_topic(config.battles_topic))
        consumer.subscribe([config.battles_topic], listener=self._assignment)

    @property
    def backoff_s(self) -> float:
        """Seconds until a poll makes sense again; 0 where it does now."""
        return max(0.0, self._backoff_until - time.monotonic())

    def poll(self, timeout_s: float, max_records: int) -> list[Event]:
        """Records that arrived; none when the time is up, reading is paused or the broker is away.

        Args:
            timeout_s: how long to wait for the first record, in seconds.
            max_records: at most so many.

        Raises:
            DataLossError: records were deleted before we read them, or the whole topic, and `on_data_loss` is `stop`.
            NotAuthorizedError: we may not read the topic or join the group.
            StreamError: any other fault that another poll can't mend.
        """
        self._untold = None
        self._passed_over = 0
        if self._paused:
            # Partitions that a rebalance brought meanwhile must be held back, too.
            self._consumer.pause(*self._consumer.assignment())
        self._listen(ask=self._paused)
        if self._restarted(self._restart_if_recreated):
            return []
        polled = self._poll(int(timeout_s * 1000), max_records)
        if self._restarted(self._restart_if_recreated, polled) or self._restarted(self._positions.restart_if_rejoined):
            return []
        epochs = self._assignment.epochs()
        ours = {
            partition: taken
            for partition, records in polled.items()
            if partition in epochs and not self._skipped_to_end(partition, records) and (taken := self._taken(records))
        }
        events: list[Event] = []
        for partition, records in ours.items():
            epoch = epochs[partition]
            self._progress.handed_out(partition, epoch, records[-1].offset + 1)
            events += [Event(record, epoch, partition) for record in records]
        return events

    @property
    def passed_over(self) -> int:
        """Records of the last poll that are not to be answered, by choice: neither lost nor in flight."""
        return self._passed_over

    def _taken(self, records: list[ConsumerRecord]) -> list[ConsumerRecord]:
        """Those that are to be answered. Behind the others is our position, which is committed as behind markers."""
        if self._takes is None:
            return records
        taken = [record for record in records if self._takes(record)]
        self._passed_over += len(records) - len(taken)
        return taken

    def _skipped_to_end(self, partition: TopicPartition, records: Sequence[ConsumerRecord]) -> bool:
        """Whether these records are too far behind for a shadow that may skip; then reading goes on at the end.

        Asks nobody: the end is that of the last fetch, which is older than the records' only where they were fetched
        before a pause. What was handed out before is answered.
        """
        if self._config.max_lag is None or partition not in self._consumer.assignment():
            return False
        first, end = records[0].offset, self._consumer.highwater(partition)
        if end is None or end - first <= self._config.max_lag:
            return False
        self._consumer.seek(partition, end)
        self._on_skipped("too_far_behind", end - first)
        log.warning(
            "too far behind, going on at the end",
            partition=f"{partition.topic}/{partition.partition}",
            offset=first,
            on_at=end,
            skipped=end - first,
            max_lag=self._config.max_lag,
        )
        return True

    def _poll(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[ConsumerRecord]]:
        error, self._unjudged = self._unjudged, None
        if error is None:
            try:
                return self._consumer.poll(timeout_ms=timeout_ms, max_records=max_records)
            except KafkaError as raised:
                error = raised
        self._mend(error)
        return {}

    def _restart_if_recreated(self) -> bool | None:
        return self._positions.restart_if_recreated(lambda: sum(self._progress.lag().values()))

    def _restarted(
        self, look: Callable[[], bool | None], polled: Mapping[TopicPartition, list[ConsumerRecord]] | None = None
    ) -> bool:
        """Look; True where what was polled must be dropped. Where nobody can tell yet, it is read again later."""
        try:
            restarted = look()
        except BrokerUnreachableError as error:  # what was committed was not told: asked again at the next poll
            self._untold = error
            return True
        if restarted:
            self._unjudged = None  # it was of positions that are no more
        if restarted is None:
            self._back_off(self._identity.due_s)
            for partition, records in (polled or {}).items():
                self._consumer.seek(partition, records[0].offset)
        return restarted is not False

    def pause(self) -> None:
        """Stop reading; polling goes on, so that we stay in the group however long scoring takes."""
        self._paused = True

    def resume(self) -> None:
        """Read again after `pause`."""
        if self._paused:
            self._paused = False
            self._consumer.resume(*self._consumer.paused())

    def silence(self) -> BrokersSilentError | None:
        """That no broker answers, found by asking once more: for any thread, while the polling one is in a call."""
        self._listen()
        return self._told_silence()

    def obstacle(self) -> StreamError | None:
        """What keeps us from reading, as far as we know: the error that it becomes if it lasts."""
        config = self._config
        if silence := self._told_silence():
            return silence
        if not self._consumer.has_topic(config.battles_topic):
            return TopicMissingError(
                f"topic {config.battles_topic} at {config.bootstrap_servers} is gone: was it deleted?"
            )
        if not self.membership().joined:
            return BrokerUnreachableError(
                f"not a member of group {config.group}; are the brokers at {config.bootstrap_servers} up?"
            )
        return self._untold

    def membership(self) -> Membership:
        """Our place in the group now: metadata first, then epochs, so that a rebalance in between is caught."""
        metadata = self._consumer.group_metadata()
        same_member = metadata.member_id == self._positions.member_id
        epochs = self._assignment.epochs() if same_member else {}
        return Membership(metadata, self._consumer.assigned_generation(), epochs)

    @property
    def topic_id(self) -> UUID | None:
        """Of the topic that we read; None where the brokers tell none."""
        return self._identity.id

    def began_in_this_topic(self, partitions: Iterable[TopicPartition]) -> bool:
        """As `StartPositions.began_in_this_topic`."""
        return self._positions.began_in_this_topic(partitions)

    @property
    def rebalancing(self) -> bool:
        """Whether partitions may be taken from us at one of the next polls."""
        return self._consumer.group_metadata().state != STABLE

    @property
    def progress(self) -> Progress:
        """How far we are in each partition."""
        return self._progress

    @property
    def committed(self) -> CommittedOffsets:
        """What the group has committed."""
        return self._committed

    def committed_metadata(self, partition: TopicPartition) -> OffsetMetadata:
        """As `StartPositions.committed_metadata`."""
        return self._positions.committed_metadata(partition)

    def lag(self) -> dict[TopicPartition, int]:
        """As `Progress.lag`; nothing is known while no broker answers."""
        return {} if self._silent_s > SILENT_S else self._progress.lag()

    def undecided(self, partition: TopicPartition) -> int:
        """As `Losses.undecided`."""
        return self._losses.undecided(partition)

    def _listen(self, *, ask: bool = False) -> None:
        """How long nobody has answered; asks brokers about the topic, if told to or where it has become quiet."""
        self._silent_s = self._silence.lasts_s()
        if (ask or self._silent_s > ASK_EVERY_S) and time.monotonic() > self._ask_at:
            self._ask_at = time.monotonic() + ASK_EVERY_S
            self._consumer.ask_for_topics()

    def _told_silence(self) -> BrokersSilentError | None:
        if self._silent_s <= SILENT_S:
            return None
        why = explain(self._heard, self._config) or "are they up?"
        return BrokersSilentError(f"no broker at {self._config.bootstrap_servers} answers: {why}")

    def _back_off(self, seconds: float) -> None:
        self._backoff_until = time.monotonic() + seconds

    def _mend(self, error: KafkaError) -> None:
        """Do what makes the next poll succeed, or raise our own error."""
        match meaning_of(error):
            case Meaning.NO_OFFSET:
                # Nothing of these partitions was scored yet: they start at their first record.
                self._asking(lambda: self._losses.begin(error.args[0]))
            case Meaning.OFFSET_OUT_OF_RANGE:
                self._meet_data_loss(error)
            case Meaning.LOG_TRUNCATED:
                if self._is_same_topic(error):
                    raise self._translator.error(error) from error
            case Meaning.RECORD_DAMAGED:
                raise self._translator.error(error) from None  # without the error itself: it quotes the record
            case _ if is_retriable(error):
                log.warning("reading failed, retrying", error=type(error).__name__)
                self._back_off(BACKOFF_S)
            case _:
                raise self._translator.error(error) from error

    def _is_same_topic(self, error: KafkaError) -> bool:
        """Whether an error of positions is one; if it may be of the topic, it is judged again at the next poll."""
        recreated = self._identity.confirm()
        if recreated is None:
            self._back_off(self._identity.due_s)
            self._unjudged = error
        return recreated is False

    def _meet_data_loss(self, error: KafkaError) -> None:
        """Records between our position and the topic's begin are gone: stop, or go on if told so."""
        positions: dict[TopicPartition, int] = error.args[0]
        if not self._is_same_topic(error):
            return
        epochs = self._assignment.epochs()
        try:
            if not self._positions.began_in_this_topic(positions):
                return
            committed = {partition: self._committed.of(partition) for partition in positions}
        except BrokerUnreachableError:  # the coordinator did not tell: the next poll fails in the same way
            return
        # Those that a note has not moved meanwhile.
        still = {p: offset for p, offset in positions.items() if self._assignment.epoch(p) == epochs.get(p, 0)}
        if still:
            self._asking(lambda: self._losses.meet(still, committed))

    def _asking(self, mend: Callable[[], None]) -> None:
        """Do what asks brokers; while they don't answer, the next poll fails in the same way."""
        try:
            mend()
        except KafkaError as error:
            if not is_retriable(error):
                raise self._translator.error(error) from error
            self._back_off(BACKOFF_S)
