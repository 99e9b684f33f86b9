"""The seam to kafka-python, typed: what the rest of prefstream sees of its records, clients and structs.

kafka-python has no types. Here each thing that is used of it has one, so that nothing above this folder needs to guess;
the tests hold their own stand-ins against the same protocols.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias
from uuid import UUID

if TYPE_CHECKING:

    class TopicPartition(NamedTuple):
        """A partition of a topic."""

        topic: str
        partition: int

    class OffsetAndMetadata(NamedTuple):
        """A committed offset, and what was noted with it."""

        offset: int
        metadata: str
        leader_epoch: int

    class ConsumerRebalanceListener(Protocol):
        """Told about partitions that come and go, on the thread that polls."""

        @abstractmethod
        def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
            """These are ours from now on."""

        @abstractmethod
        def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
            """Another member gets these."""

        def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
            """These may be another member's already."""

else:
    from kafka import ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition

__all__ = [
    "STABLE",
    "Consumer",
    "ConsumerRebalanceListener",
    "ConsumerRecord",
    "Delivery",
    "GroupConsumer",
    "GroupMetadata",
    "Header",
    "OffsetAndMetadata",
    "Placed",
    "Producer",
    "TopicPartition",
    "TransactionalProducer",
]

Header: TypeAlias = tuple[str, bytes | None]

STABLE: Final = "<stable>"
"""`GroupMetadata.state` of a member that waits for no join (kafka.structs.MemberState.STABLE)."""


class Placed(Protocol):
    """What stands at a place of a topic, or is about what stands there."""

    @property
    def topic(self) -> str:
        """Where it stands."""

    @property
    def partition(self) -> int:
        """Its number."""

    @property
    def offset(self) -> int:
        """Within the partition."""


class ConsumerRecord(Placed, Protocol):
    """A record as it was read."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch; negative where it has none."""

    @property
    def key(self) -> bytes | None:
        """As it was sent."""

    @property
    def value(self) -> bytes | None:
        """As it was sent; None is a tombstone."""

    @property
    def headers(self) -> Sequence[Header]:
        """In the order in which they were sent; a key may occur twice."""


class GroupMetadata(Protocol):
    """A member's place in its group, as the broker fences by it (KIP-447)."""

    @property
    def generation_id(self) -> int:
        """Of the group; -1 for who has not joined."""

    @property
    def member_id(self) -> str:
        """Ours; empty for who has not joined."""

    @property
    def state(self) -> str:
        """`STABLE`, or that a join is pending."""


class Delivery(Protocol):
    """A record under way."""

    @property
    def is_done(self) -> bool:
        """Whether it was delivered, or never will be."""

    @property
    def exception(self) -> Exception | None:
        """Why it was not delivered."""

    def get(self, timeout: float | None = None) -> object:
        """Wait until it is done, for so many seconds at most; raises what kept it from its topic."""


class Consumer(Protocol):
    """A KafkaConsumer that is told what to read."""

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """None where there is no such topic, or it may not be seen."""

    def beginning_offsets(self, partitions: Iterable[TopicPartition], *, timeout_ms: int) -> dict[TopicPartition, int]:
        """The first offset of each partition that is still there."""

    def end_offsets(self, partitions: Iterable[TopicPartition], *, timeout_ms: int) -> dict[TopicPartition, int]:
        """The offset behind the last record; of committed ones, where only these are read."""

    def offsets_for_times(
        self, timestamps: Mapping[TopicPartition, int], *, timeout_ms: int
    ) -> Mapping[TopicPartition, OffsetAndMetadata | None]:
        """The first record of each partition that is as young; None where there is none."""

    def committed(self, partition: TopicPartition, *, metadata: bool, timeout_ms: int) -> OffsetAndMetadata | None:
        """What the group has committed."""

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these, without a group."""

    def pause(self, *partitions: TopicPartition) -> None:
        """Hand nothing of these out."""

    def resume(self, *partitions: TopicPartition) -> None:
        """Hand them out again."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from here."""

    def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        """Read on from the first record that is there."""

    def position(self, partition: TopicPartition, *, timeout_ms: int | None = None) -> int | None:
        """The offset that is read next."""

    def poll(self, *, timeout_ms: int, max_records: int | None = None) -> dict[TopicPartition, list[ConsumerRecord]]:
        """What has come; waits for the first record."""

    def topic_id(self, topic: str) -> UUID | None:
        """What tells a topic from another one of the same name; None where nobody says."""

    def close(self, *, autocommit: bool = True) -> None:
        """Leave the group, if there is one; a static member stays in it."""


class GroupConsumer(Consumer, Protocol):
    """A member of a consumer group; belongs to the polling thread alone."""

    def subscribe(self, topics: Sequence[str], *, listener: ConsumerRebalanceListener) -> None:
        """Join the group with these."""

    def assignment(self) -> set[TopicPartition]:
        """What the group gave us."""

    def paused(self) -> set[TopicPartition]:
        """What is held back."""

    def group_metadata(self) -> GroupMetadata:
        """Our place in the group now."""

    def assigned_generation(self) -> int:
        """The group's generation, if our partitions are those that we have in it; -1 where that is not known."""

    def highwater(self, partition: TopicPartition) -> int | None:
        """The partition's end as the last fetch told it; asks nobody."""

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], *, timeout_ms: int) -> None:
        """Commit the group's offsets, outside of any transaction."""

    def see_join_through(self) -> None:
        """Wait until a join that is under way, or due, has ended, but not for ever."""

    def known_position(self, partition: TopicPartition) -> int | None:
        """The offset that is read next, as far as it is known now; asks nobody, unlike `position`."""

    def topics(self) -> set[str]:
        """Ask the brokers which topics there are."""

    def has_topic(self, topic: str) -> bool:
        """Whether the brokers knew the topic when they were asked last."""

    def heard_at(self) -> float:
        """When a broker has answered anything last, on the monotonic clock; 0 where none has. Asks nobody."""

    def ask_for_topics(self) -> None:
        """Ask the brokers again; does not wait for the answer."""

    def forget_fetched(self) -> None:
        """Drop what was fetched and not handed out yet."""


class Producer(Protocol):
    """A KafkaProducer. Thread-safe."""

    def send(
        self,
        topic: str,
        *,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
        partition: int | None = None,
    ) -> Delivery:
        """Put a record on its way."""

    def partitions_for(self, topic: str) -> set[int]:
        """The partitions of a topic."""

    def flush(self) -> None:
        """Wait until everything that was sent is delivered, or never will be."""

    def close(self, *, timeout: float) -> None:
        """Stop; waits so many seconds for what is under way."""


class TransactionalProducer(Producer, Protocol):
    """A KafkaProducer with a transactional id."""

    def init_transactions(self) -> None:
        """Take over the transactional id: fences who had it, and ends what they left open."""

    def begin_transaction(self) -> None:
        """From here on what is sent becomes visible together, or not at all."""

    def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group: GroupMetadata | str
    ) -> None:
        """Commit a group's offsets together with what was sent."""

    def commit_transaction(self) -> None:
        """Make it visible."""

    def abort_transaction(self) -> None:
        """Make it never happen."""
