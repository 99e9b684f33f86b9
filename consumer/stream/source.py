"""Kafka in: records with the assignment epoch of their partition. The polling thread calls everything here."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import structlog
from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.structs import MemberState

from prefstream.consumer.client.acl import denied_by
from prefstream.consumer.client.clients import patiently
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import BrokerUnreachableError, DataLossError, StreamError, TopicMissingError
from prefstream.consumer.stream.assignment import Assignment, Event, Membership
from prefstream.consumer.stream.offset_metadata import OffsetMetadata

log = structlog.get_logger(__name__)

RETRY_WAIT_S: Final = 0.2
"""Wait after a passing fault of the broker: kafka-python has retried inside already."""


JOIN_WAIT_S: Final = 0.5
"""Shortest poll while we join the group. kafka-python throws away a join that ends between two polls and begins anew:
with polls that don't wait it would join for ever. Longer than the round trips of a join."""


ASK_EVERY_S: Final = 1.0
"""How often brokers are asked about the topic while reading is paused; else fetches tell that it was made anew. Results
of the old one should be dropped then."""


HEARSAY_S: Final = 1.0
"""Brokers hear of a topic within milliseconds. One that lags behind tells of the topic before, and is not believed."""


COMMITTED_TIMEOUT_MS: Final = 10_000
"""A coordinator fails over in about 9 s; what is not known by then is asked again at the next poll."""


class Source:
    """Polls battles, with flow control; translates kafka-python's errors into ours.

    Args:
        consumer: a group consumer that is not subscribed yet; whoever made it closes it.
        config: the stream's settings.

    Raises:
        BrokerUnreachableError: the broker does not tell about the topic.
    """

    def __init__(self, consumer: Any, config: StreamConfig) -> None:
        self._consumer = consumer
        self._config = config
        self._assignment = Assignment()
        self._paused = False
        self._member_id = ""
        self._generation = -1
        self._topic_id: UUID | None = None
        self._sure: dict[TopicPartition, int] = {}  # under which epoch reading began at an offset of this topic
        self._ask_at = 0.0
        # A consumer that joins its group before it knows the topic may stay without partitions for good (kafka-python
        # 3.0.12: 9 of 40 starts against Apache Kafka 4.3.1, none when it was asked first).
        try:
            patiently(lambda: consumer.partitions_for_topic(config.battles_topic))
        except kafka_errors.KafkaError as error:
            raise BrokerUnreachableError(f"asking for {config.battles_topic} failed: {type(error).__name__}") from error
        consumer.subscribe([config.battles_topic], listener=self._assignment)

    def poll(self, timeout_s: float, max_records: int) -> list[Event]:
        """Records that arrived; none when the time is up, reading is paused or the broker is away.

        Args:
            timeout_s: how long to wait for the first record, in seconds; longer while we join the group.
            max_records: at most so many.

        Raises:
            DataLossError: records were deleted before we read them, or the whole topic, and `on_data_loss` is `stop`.
            NotAuthorizedError: we may not read the topic or join the group.
            StreamError: any other fault that another poll can't mend.
        """
        if self._paused:
            # Partitions that a rebalance brought meanwhile must be held back, too.
            self._consumer.pause(*self._consumer.assignment())
            if time.monotonic() > self._ask_at:
                self._ask_at = time.monotonic() + ASK_EVERY_S
                self._consumer.ask_for_topics()
        if self._learn_generation().state != MemberState.STABLE:
            timeout_s = max(timeout_s, JOIN_WAIT_S)
        try:
            polled = self._poll_mending(int(timeout_s * 1000), max_records)
        except BrokerUnreachableError:  # the coordinator did not tell what was committed: asked again at the next poll
            return []
        epochs = self._assignment.epochs()
        return [
            Event(record, epochs[partition])
            for partition, records in polled.items()
            if partition in epochs
            for record in records
        ]

    def _poll_mending(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        """What came; nothing where we start again, or where something had to be mended."""
        try:
            if self._began_anew():
                return {}
            polled: dict[TopicPartition, list[Any]] = self._consumer.poll(
                timeout_ms=timeout_ms, max_records=max_records
            )
            return {} if self._began_anew() or self._came_back() else polled
        except kafka_errors.KafkaError as error:
            self._mend(error)
            return {}

    def pause(self) -> None:
        """Stop reading; polling goes on, so that we stay in the group however long scoring takes."""
        self._paused = True

    def resume(self) -> None:
        """Read again after `pause`."""
        if self._paused:
            self._paused = False
            self._consumer.resume(*self._consumer.paused())

    def obstacle(self) -> StreamError | None:
        """What keeps us from reading, as far as we know: the error that it becomes if it lasts."""
        config = self._config
        if not self._consumer.has_topic(config.battles_topic):
            return TopicMissingError(
                f"topic {config.battles_topic} at {config.bootstrap_servers} is gone: was it deleted?"
            )
        if self._consumer.group_metadata().state != MemberState.STABLE:
            return BrokerUnreachableError(
                f"not a member of group {config.group_id}; are the brokers at {config.bootstrap_servers} up?"
            )
        return None

    def membership(self) -> Membership:
        """Our place in the group now: metadata first, then epochs, so that a rebalance in between is caught."""
        metadata = self._learn_generation()
        same_member = metadata.member_id == self._member_id
        return Membership(metadata, self._generation, self._assignment.epochs() if same_member else {})

    @property
    def topic_id(self) -> UUID | None:
        """Of the topic that we read; None where the brokers tell none."""
        return self._topic_id

    def began_in_this_topic(self, partitions: Iterable[TopicPartition]) -> bool:
        """Whether reading began at offsets of the topic that is there, and not of one that had its name before.

        If not, reading begins again at the right ones, and nothing we hold is ours.

        Raises:
            BrokerUnreachableError: the group's coordinator did not tell in time; it may be asked again.
            StreamError: a fault that asking again can't mend.
        """
        epochs = self._assignment.epochs()
        unsure = {partition: epochs[partition] for partition in partitions if partition in epochs}
        unsure = dict(unsure.items() - self._sure.items())
        if any(_is_of_another(self.committed_note(partition), self._topic_id) for partition in unsure):
            if not self._is_new_now():  # else the next poll meets it
                self._start_again(self._topic_id)
            return False
        self._sure |= unsure
        return True

    def committed_note(self, partition: TopicPartition) -> OffsetMetadata:
        """What was committed with the partition's offset; raises what `began_in_this_topic` does."""
        return _note(self._committed(partition))

    def committed_offset(self, partition: TopicPartition) -> int:
        """The offset behind the last record of the partition that the group has answered; 0 where none is.

        Raises what `began_in_this_topic` does.
        """
        committed = self._committed(partition)
        return committed.offset if committed else 0

    def lag(self) -> dict[TopicPartition, int]:
        """Records behind the end of each of our partitions, as far as the client knows; asks no broker."""
        lags = {}
        for partition in self._assignment.epochs():
            end = self._consumer.highwater(partition)
            if end is None:
                continue
            with suppress(kafka_errors.KafkaError):  # just after a rebalance there are no positions
                position = self._consumer.position(partition, timeout_ms=0)
                if position is not None:
                    lags[partition] = max(0, end - position)
        return lags

    def _learn_generation(self) -> Any:
        """The metadata of our membership, and with it the generation whose assignment we know.

        kafka-python joins on its IO thread: a new generation may be there while the assignment waits for the next poll.
        Only that makes it stable.
        """
        metadata = self._consumer.group_metadata()
        if metadata.state == MemberState.STABLE:
            self._generation = metadata.generation_id
        return metadata

    def _came_back(self) -> bool:
        """Whether we fell out of the group and are back under another name; if so, start again where it stands.

        kafka-python tells the listener when it loses its partitions, but not when it is thrown out while it rejoins:
        a partition that somebody else read meanwhile would come back to us with its old position. While we join it is
        too early to ask what was committed: until all members have joined, they go on.
        """
        metadata = self._consumer.group_metadata()
        member_id = metadata.member_id
        if metadata.state != MemberState.STABLE or member_id in {"", self._member_id}:
            return False
        known = bool(self._member_id)
        if known:
            log.warning("was out of the group, starting again from its offsets")
            self._start_again(self._topic_id)
        self._member_id = member_id  # only now: until every position is right, nothing we hold is ours
        return known

    def _start_again(self, topic_id: UUID | None) -> None:
        """Read every partition from where the group is in the topic of that id; nothing we hold is ours.

        All or none of them: one that was renewed and stays where it is would skip what we held of it.
        """
        epochs = self._assignment.epochs()
        committed = {partition: self._committed(partition) for partition in epochs.keys() & self._consumer.assignment()}
        for partition, epoch in self._assignment.renew(epochs).items():
            if partition not in committed:
                continue  # about to be taken from us, or not ours to seek in yet
            start = committed[partition]
            if start is not None and _is_of_another(_note(start), topic_id):
                log.error(
                    "offset is of a topic that is gone, reading from the beginning", partition=partition.partition
                )
                start = None
            if start is None:
                self._consumer.seek_to_beginning(partition)
            else:
                self._consumer.seek(partition, start.offset)
            self._sure[partition] = epoch
        self._consumer.forget_fetched()

    def _committed(self, partition: TopicPartition) -> OffsetAndMetadata | None:
        """What the group has committed for the partition; raises what `committed_offset` says."""
        try:
            return self._consumer.committed(partition, metadata=True, timeout_ms=COMMITTED_TIMEOUT_MS)
        except kafka_errors.KafkaError as error:
            self._mend(error)
            raise BrokerUnreachableError(
                f"the coordinator of group {self._config.group_id} does not tell what was committed for "
                f"{partition.topic}/{partition.partition}: {type(error).__name__}"
            ) from error

    def _topic_is_new(self) -> bool:
        """Whether the topic is another one of the same name than when we looked first."""
        found = self._consumer.topic_id(self._config.battles_topic)
        if self._topic_id is None:
            self._topic_id = found
        return found not in {None, self._topic_id}

    def _is_new_now(self) -> bool:
        """The same, and the brokers are asked first, once they all have heard of it."""
        time.sleep(HEARSAY_S)
        with suppress(kafka_errors.KafkaError):
            self._consumer.topics()
        return self._topic_is_new()

    def _began_anew(self) -> bool:
        """Whether the topic was deleted and made anew; if so, begin with it where that is wanted.

        Its records have the offsets of others: our positions, and results that we hold, mean nothing any more. The
        group's offsets were deleted along; what is committed now is of members that began before us, or of none.
        """
        if not (self._topic_is_new() and self._is_new_now()):
            return False
        topic = self._config.battles_topic
        if self._config.on_data_loss == "stop":
            raise DataLossError(
                f"topic {topic} was deleted and made anew: what was not answered until then is lost, and with it "
                f"Kafka forgot the offsets of group {self._config.group_id}. A new start reads the new one from its "
                "beginning"
            )
        log.error("topic was deleted and made anew, reading it from its beginning", topic=topic)
        topic_id = self._consumer.topic_id(topic)
        self._start_again(topic_id)
        self._topic_id = topic_id  # only now: until every position is right, we try again
        return True

    def _mend(self, error: kafka_errors.KafkaError) -> None:
        """Do what makes the next try succeed, or raise our own error."""
        config = self._config
        if isinstance(error, kafka_errors.NoOffsetForPartitionError):
            # Nothing of these partitions was scored yet: they start at their first record.
            self._consumer.seek_to_beginning(*error.args[0])
        elif isinstance(error, kafka_errors.OffsetOutOfRangeError):
            self._meet_data_loss(error)
        elif isinstance(error, kafka_errors.LogTruncationError):
            if self._is_new_now():
                return  # no loss of records, but of the topic: the next poll meets it
            raise DataLossError(
                f"{config.battles_topic} was truncated behind our position (an unclean leader election?); "
                "compare the topic with the preferences before starting again"
            ) from error
        elif isinstance(error, kafka_errors.AuthorizationError):
            raise denied_by(error, config, [config.battles_topic]) from error
        elif isinstance(error, kafka_errors.CorruptRecordError):
            # Without the error itself: it quotes the record.
            raise StreamError(
                f"a record on {config.battles_topic} is damaged and can't be decoded; "
                f"move the offsets of group {config.group_id} past its record batch"
            ) from None
        elif isinstance(error, kafka_errors.RetriableError):
            log.warning("reading failed, trying again", error=type(error).__name__)
            time.sleep(RETRY_WAIT_S)
        else:
            raise StreamError(f"reading {config.battles_topic} failed: {type(error).__name__}") from error

    def _meet_data_loss(self, error: kafka_errors.OffsetOutOfRangeError) -> None:
        """Records between our position and the topic's begin are gone: stop, or go on if told so."""
        positions: dict[TopicPartition, int] = error.args[0]
        if self._is_new_now() or not self.began_in_this_topic(positions):
            return  # no loss of records, but of the topic: the next poll meets it
        lost = ", ".join(
            f"{partition.topic}/{partition.partition} offset {offset}" for partition, offset in positions.items()
        )
        policy = self._config.on_data_loss
        if policy == "stop":
            raise DataLossError(
                f"{lost}: the record is no longer on the topic (retention, or the topic was made anew). "
                "Find out what was lost, then start once with --on-data-loss earliest or latest"
            ) from error
        log.error("records lost, going on as told", lost=lost, on_data_loss=policy)
        seek = self._consumer.seek_to_beginning if policy == "earliest" else self._consumer.seek_to_end
        seek(*positions)


def _note(committed: OffsetAndMetadata | None) -> OffsetMetadata:
    return OffsetMetadata.decode((committed.metadata or "") if committed else "")


def _is_of_another(note: OffsetMetadata, topic_id: UUID | None) -> bool:
    """Whether an offset with this note means another topic than the one of that id, as far as both are known."""
    return None not in {note.topic_id, topic_id} and note.topic_id != topic_id
