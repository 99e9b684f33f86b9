"""Where reading begins: at what the group has committed in this very topic, and again whenever that may have moved on.

An offset is committed with the id of its topic. Where that is another one, the offset means nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from uuid import UUID

import structlog

from prefstream.consumer.client.kafka_errors import KafkaError
from prefstream.consumer.client.protocols import GroupConsumer, OffsetAndMetadata, TopicPartition
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import DataLossError
from prefstream.consumer.stream.partitions.assignment import Assignment
from prefstream.consumer.stream.partitions.committed_offsets import CommittedOffsets
from prefstream.consumer.stream.partitions.losses import REMEDY, Losses
from prefstream.consumer.stream.partitions.offset_metadata import OffsetMetadata
from prefstream.consumer.stream.partitions.topic_identity import TopicIdentity

log = structlog.get_logger(__name__)


class StartPositions:
    """Begins reading again where it must: after a topic was recreated, and after we fell out of the group.

    Args:
        consumer: whose positions are set.
        config: the settings.
        assignment: what is ours.
        identity: which topic it is.
        committed: what the group has committed.
        losses: meets what is lost.
    """

    def __init__(
        self,
        consumer: GroupConsumer,
        config: StreamConfig,
        assignment: Assignment,
        identity: TopicIdentity,
        committed: CommittedOffsets,
        losses: Losses,
    ) -> None:
        self._consumer = consumer
        self._config = config
        self._assignment = assignment
        self._identity = identity
        self._committed = committed
        self._losses = losses
        self._sure: dict[TopicPartition, int] = {}  # under which epoch reading began at an offset of this topic
        self._member_id = ""

    @property
    def member_id(self) -> str:
        """Under which id reading began; another one has been out of the group."""
        return self._member_id

    def committed_metadata(self, partition: TopicPartition) -> OffsetMetadata:
        """What was noted with the partition's committed offset; raises what `CommittedOffsets.of` does."""
        return _metadata(self._committed.of(partition))

    def began_in_this_topic(self, partitions: Iterable[TopicPartition]) -> bool:
        """Whether reading began at offsets of the topic that is there, and begin again where it did not.

        It may have begun at those of a topic that had its name before. Then it begins again at the right ones, now or
        at one of the next polls, and nothing we hold is ours.

        Raises:
            DataLossError: it has, and `on_data_loss` is `stop`.
            StreamError: what `CommittedOffsets.of` raises.
        """
        epochs = self._assignment.epochs()
        unsure = {partition: epochs[partition] for partition in partitions if partition in epochs}
        unsure = dict(unsure.items() - self._sure.items())
        if any(_is_of_another(self.committed_metadata(partition), self._identity.id) for partition in unsure):
            if self._identity.confirm() is False:  # else the next poll meets it
                self._start_again(self._identity.id)
            return False
        self._sure |= unsure
        return True

    def restart_if_recreated(self, unread: Callable[[], int]) -> bool | None:
        """Begin again in the new topic if ours was recreated since the last look; returns whether it was.

        Args:
            unread: how much of the topic before was not answered.

        Returns:
            None while it is too early to tell.

        Raises:
            DataLossError: it was, and `on_data_loss` is `stop`.
            BrokerUnreachableError: the coordinator did not tell where to begin; to be tried again.
        """
        if not self._identity.looks_recreated():
            return False
        if recreated := self._identity.confirm():
            self._begin_with_recreated_topic(unread())
        return recreated

    def restart_if_rejoined(self) -> bool:
        """Begin again where the group is if we fell out of it and are back under another name; returns whether we did.

        kafka-python tells the listener when it loses its partitions, but not when it is thrown out while it rejoins:
        a partition that somebody else read meanwhile would come back to us with its old position. While we join it is
        too early to ask what was committed: until all members have joined, they go on.

        Raises:
            BrokerUnreachableError: the coordinator did not tell where; to be tried again.
        """
        member_id = self._consumer.group_metadata().member_id
        if not self._member_id:
            # The first name, under which all was read that we hold, even if the next generation has begun by now:
            # dropped as another one's, it would be skipped.
            if self._assignment.epochs() or self._consumer.assigned_generation() >= 0:
                self._member_id = member_id
            return False
        if self._consumer.assigned_generation() < 0 or member_id in {"", self._member_id}:
            return False
        log.warning("rejoined the group as a new member, starting again from its offsets")
        self._start_again(self._identity.id)
        self._member_id = member_id  # only now: until every position is right, nothing we hold is ours
        return True

    def _begin_with_recreated_topic(self, unread: int) -> None:
        """Begin with a topic that was deleted and created again, where that is wanted.

        Its records have the offsets of others: our positions, and results that we hold, mean nothing any more. The
        group's offsets were deleted along; what is committed now is of members that began before us, or of none.
        """
        topic = self._config.battles_topic
        if self._config.on_data_loss == "stop":
            # Kafka forgets a topic's offsets with it. What is committed here is of the topic before: as long as nobody
            # has decided, a start finds it and stops. While there was no topic, its partitions were nobody's.
            with suppress(KafkaError):  # told by the commit, which fails as well
                self._consumer.see_join_through()
            of_the_one_before = OffsetAndMetadata(0, OffsetMetadata(self._identity.id).encode(), -1)
            self._losses.halt(dict.fromkeys(self._assignment.epochs(), of_the_one_before))
            raise self._recreated()
        self._losses.forget_starts()
        topic_id = self._consumer.topic_id(topic)
        self._start_again(topic_id)
        self._identity.adopt(topic_id)  # only now: until every position is right, we try again
        log.error("topic recreated, reading it from its beginning", topic=topic, unread=unread)
        self._losses.topic_recreated(unread)

    def _recreated(self) -> DataLossError:
        return DataLossError(
            f"topic {self._config.battles_topic} was deleted and recreated: what was not answered until then is lost. "
            f"{REMEDY}: either reads the new topic from its beginning"
        )

    def _start_again(self, topic_id: UUID | None) -> None:
        """Read every partition from where the group is in the topic of that id; nothing we hold is ours.

        All or none of them: one that was renewed and stays where it is would skip what we held of it.
        """
        epochs = self._assignment.epochs()
        committed = {
            partition: self._committed.ask(partition) for partition in epochs.keys() & self._consumer.assignment()
        }
        if self._config.on_data_loss == "stop" and any(
            _is_of_another(_metadata(start), topic_id) for start in committed.values()
        ):
            raise self._recreated()
        for partition, epoch in self._assignment.renew(epochs).items():
            if partition not in committed:
                continue  # about to be taken from us, or not ours to seek in yet
            start = committed[partition]
            offset = start.offset if start else self._losses.start(partition) or None
            if _is_of_another(_metadata(start), topic_id):
                log.error("offset is of a deleted topic, reading from the beginning", partition=partition.partition)
                offset = None
            if offset is None:
                self._consumer.seek_to_beginning(partition)
            else:
                self._consumer.seek(partition, offset)
            self._sure[partition] = epoch
        self._consumer.forget_fetched()


def _metadata(committed: OffsetAndMetadata | None) -> OffsetMetadata:
    return OffsetMetadata.decode((committed.metadata or "") if committed else "")


def _is_of_another(metadata: OffsetMetadata, topic_id: UUID | None) -> bool:
    """Whether an offset with this note means another topic than the one of that id, as far as both are known."""
    return None not in {metadata.topic_id, topic_id} and metadata.topic_id != topic_id
