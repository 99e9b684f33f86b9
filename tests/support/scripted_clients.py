"""Clients of Kafka that do what they are told to: real ones can't be made to raise every error at every step."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from kafka.future import Future
from kafka.structs import ConsumerGroupMetadata, MemberState

from prefstream.consumer.client.protocols import ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition

OLD, NEW = UUID(int=1), UUID(int=2)
JOINED = ConsumerGroupMetadata("g", 3, "member", None, MemberState.STABLE)


class ScriptedConsumer:
    """A group consumer that polls what it is told to."""

    def __init__(self, *polls: Any) -> None:
        self.polls = list(polls)
        self.timeouts_ms: list[int] = []
        self.assigned: set[TopicPartition] = set()
        self.held: set[TopicPartition] = set()
        self.sought: list[tuple[str, tuple[TopicPartition, ...]]] = []
        self.listener: ConsumerRebalanceListener | None = None
        self.member_id = JOINED.member_id
        self.generation_id = JOINED.generation_id
        self.known_generation: int = self.generation_id
        self.committed_offsets: dict[TopicPartition, Any] = {}
        self.known_topic_id: UUID | None = OLD
        self.real_topic_id = OLD
        self.forgot = 0
        self.heard: float | None = None
        self.positions: dict[TopicPartition, int | None] = {}
        self.begins: dict[TopicPartition, int] = {}
        self.bounds_error: Exception | None = None
        self.committed_alone: dict[TopicPartition, OffsetAndMetadata] = {}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0, 1}

    def has_topic(self, topic: str) -> bool:
        return self.known_topic_id is not None

    def topic_id(self, topic: str) -> UUID | None:
        return self.known_topic_id

    def heard_at(self) -> float:
        return time.monotonic() if self.heard is None else self.heard

    def ask_for_topics(self) -> None:
        self.known_topic_id = self.real_topic_id

    def forget_fetched(self) -> None:
        self.forgot = len(self.sought)

    def topics(self) -> set[str]:
        self.known_topic_id = self.real_topic_id
        return {"battles"}

    def subscribe(self, topics: Sequence[str], *, listener: ConsumerRebalanceListener) -> None:
        self.listener = listener

    def give(self, *partitions: TopicPartition) -> None:
        """The group gives us these."""
        assert self.listener
        self.assigned |= set(partitions)
        self.listener.on_partitions_assigned(partitions)

    def poll(self, *, timeout_ms: int, max_records: int | None = None) -> Any:
        self.timeouts_ms.append(timeout_ms)
        polled = self.polls.pop(0) if self.polls else {}
        if isinstance(polled, Exception):
            raise polled
        self.positions |= {partition: records[-1].offset + 1 for partition, records in polled.items()}
        return polled

    def group_metadata(self) -> ConsumerGroupMetadata:
        return JOINED._replace(member_id=self.member_id, generation_id=self.generation_id)

    def see_join_through(self) -> None:
        """It has joined."""

    def assigned_generation(self) -> int:
        return self.known_generation

    def committed(self, partition: TopicPartition, *, metadata: bool, timeout_ms: int) -> Any:
        committed = self.committed_offsets.get(partition)
        if isinstance(committed, Exception):
            raise committed
        return committed

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought.append((f"offset {offset}", (partition,)))
        self.positions[partition] = offset

    def assignment(self) -> set[TopicPartition]:
        return set(self.assigned)

    def paused(self) -> set[TopicPartition]:
        return set(self.held)

    def pause(self, *partitions: TopicPartition) -> None:
        self.held |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.held -= set(partitions)

    def beginning_offsets(self, partitions: Iterable[TopicPartition], *, timeout_ms: int) -> dict[TopicPartition, int]:
        if self.bounds_error:
            raise self.bounds_error
        return {partition: self.begins.get(partition, 0) for partition in partitions}

    def end_offsets(self, partitions: Iterable[TopicPartition], *, timeout_ms: int) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 10)

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], *, timeout_ms: int) -> None:
        self.committed_alone |= offsets

    def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        self.sought.append(("beginning", partitions))

    def highwater(self, partition: TopicPartition) -> int | None:
        return {0: 10, 1: None}[partition.partition]

    def known_position(self, partition: TopicPartition) -> int | None:
        return self.positions.get(partition)

    def position(self, partition: TopicPartition, *, timeout_ms: int | None = None) -> int | None:
        raise AssertionError("it may ask the brokers")

    def assign_alone(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a member of a group asks the group")

    assign = offsets_for_times = close = assign_alone


class ScriptedProducer:
    """A transactional producer that raises what it is told to, and remembers what it was asked."""

    def __init__(self, step: str | None = None, error: Exception | None = None) -> None:
        self.step = step
        self.error = error
        self.calls: list[str] = []
        self.abort_error: Exception | None = None
        self.offsets: list[dict[TopicPartition, Any]] = []

    def _call(self, step: str) -> None:
        self.calls.append(step)
        if step == self.step and self.error:
            raise self.error

    def init_transactions(self) -> None:
        self._call("init_transactions")

    def begin_transaction(self) -> None:
        self._call("begin_transaction")

    def send(self, topic: str, **message: Any) -> Any:
        self._call("send")
        future = DeliveredFuture()
        if self.step == "delivery" and self.error:
            future.failure(self.error)
        else:
            future.success(None)
        return future

    def send_offsets_to_transaction(self, offsets: Any, metadata: Any) -> None:
        self._call("send_offsets_to_transaction")
        self.offsets.append(dict(offsets))

    def flush(self) -> None:
        self._call("flush")

    def commit_transaction(self) -> None:
        self._call("commit_transaction")

    def abort_transaction(self) -> None:
        self.calls.append("abort_transaction")
        if self.abort_error:
            raise self.abort_error

    def partitions_for(self, topic: str) -> set[int]:
        return {0}

    def close(self, *, timeout: float) -> None:
        self.calls.append("close")


class DeliveredFuture(Future):  # type: ignore[misc]
    def get(self, timeout: float | None = None) -> None:
        del timeout
        if self.failed():
            raise self.exception
