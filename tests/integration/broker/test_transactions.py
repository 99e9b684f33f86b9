"""Contract: transactions, from the wire's point of view and from a client's."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import CommitFailedError, KafkaError
from kafka.protocol.consumer import (
    FetchRequest,
    FetchResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
)
from kafka.protocol.metadata import FindCoordinatorRequest, FindCoordinatorResponse
from kafka.protocol.producer import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    EndTxnRequest,
    EndTxnResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    ProduceRequest,
    ProduceResponse,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)
from kafka.structs import OffsetAndMetadata

from tests.support.streams import poll
from tests.support.wire import NOT_YET, Member, patiently

UNKNOWN_TOPIC_OR_PARTITION = 3
ILLEGAL_GENERATION = 22
UNKNOWN_MEMBER_ID = 25
REBALANCE_IN_PROGRESS = 27
INVALID_PRODUCER_EPOCH = 47
INVALID_TXN_STATE = 48
INVALID_PRODUCER_ID_MAPPING = 49
INVALID_TRANSACTION_TIMEOUT = 50
OPERATION_NOT_ATTEMPTED = 55
UNSTABLE_OFFSET_COMMIT = 88
PRODUCER_FENCED = 90


@dataclass
class Writer:
    """A transactional producer in its bare requests. Each method gives the error code."""

    wire: Any
    transactional_id: str
    batch_of: Callable[..., bytes]
    producer_id: int = -1
    epoch: int = -1
    sequence: int = 0

    def init(self, *, timeout_ms: int = 60_000, known: tuple[int, int] = (-1, -1)) -> int:
        self.wire.call(
            FindCoordinatorRequest(key=self.transactional_id, key_type=1, coordinator_keys=[]),
            FindCoordinatorResponse,
            2,
        )
        return patiently(lambda: self._init(timeout_ms, known))

    def _init(self, timeout_ms: int, known: tuple[int, int]) -> int:
        response = self.wire.call(
            InitProducerIdRequest(
                transactional_id=self.transactional_id,
                transaction_timeout_ms=timeout_ms,
                producer_id=known[0],
                producer_epoch=known[1],
            ),
            InitProducerIdResponse,
            4,
        )
        if response.error_code == 0:
            self.producer_id, self.epoch, self.sequence = response.producer_id, response.producer_epoch, 0
        return int(response.error_code)

    def add(self, *topics: str, version: int = 3) -> int:
        return patiently(lambda: self.add_codes(*topics, version=version)[-1])

    def add_codes(self, *topics: str, version: int = 3) -> list[int]:
        topic_class = AddPartitionsToTxnRequest.AddPartitionsToTxnTopic
        response = self.wire.call(
            AddPartitionsToTxnRequest(
                v3_and_below_transactional_id=self.transactional_id,
                v3_and_below_producer_id=self.producer_id,
                v3_and_below_producer_epoch=self.epoch,
                v3_and_below_topics=[topic_class(name=topic, partitions=[0]) for topic in topics],
            ),
            AddPartitionsToTxnResponse,
            version,
        )
        return [
            part.partition_error_code
            for topic in sorted(response.results_by_topic_v3_and_below, key=lambda topic: str(topic.name))
            for part in topic.results_by_partition
        ]

    def add_offsets(self, group_id: str) -> int:
        # On a real broker the first one to look for a coordinator creates the topic of all offsets.
        self.wire.call(
            FindCoordinatorRequest(key=group_id, key_type=0, coordinator_keys=[]), FindCoordinatorResponse, 2
        )
        request = AddOffsetsToTxnRequest(
            transactional_id=self.transactional_id,
            producer_id=self.producer_id,
            producer_epoch=self.epoch,
            group_id=group_id,
        )
        return patiently(lambda: self.wire.call(request, AddOffsetsToTxnResponse, 3).error_code)

    def write(self, topic: str, value: bytes) -> int:
        data = self.batch_of(
            value,
            producer_id=self.producer_id,
            epoch=self.epoch,
            sequence=self.sequence,
            transactional=True,
        )
        topic_class = ProduceRequest.TopicProduceData
        part = topic_class.PartitionProduceData(index=0, records=data)
        request = ProduceRequest(
            transactional_id=self.transactional_id,
            acks=-1,
            timeout_ms=1000,
            topic_data=[topic_class(name=topic, partition_data=[part])],
        )

        def ask() -> int:
            answer = self.wire.call(request, ProduceResponse, 9)
            return int(answer.responses[0].partition_responses[0].error_code)

        code = patiently(ask)
        if code == 0:
            self.sequence += 1
        return code

    def commit_offset(
        self, group_id: str, topic: str, offset: int, *, generation: int = -1, member_id: str = ""
    ) -> int:
        topic_class = TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic
        part = topic_class.TxnOffsetCommitRequestPartition(
            partition_index=0, committed_offset=offset, committed_leader_epoch=-1, committed_metadata=""
        )
        request = TxnOffsetCommitRequest(
            transactional_id=self.transactional_id,
            group_id=group_id,
            producer_id=self.producer_id,
            producer_epoch=self.epoch,
            generation_id=generation,
            member_id=member_id,
            group_instance_id=None,
            topics=[topic_class(name=topic, partitions=[part])],
        )

        def ask() -> int:
            return int(self.wire.call(request, TxnOffsetCommitResponse, 3).topics[0].partitions[0].error_code)

        return patiently(ask)

    def end(self, *, commit: bool, version: int = 3) -> int:
        request = EndTxnRequest(
            transactional_id=self.transactional_id,
            producer_id=self.producer_id,
            producer_epoch=self.epoch,
            committed=commit,
        )
        return patiently(lambda: self.wire.call(request, EndTxnResponse, version).error_code)


@pytest.fixture
def new_writer(new_wire: Callable[[], Any], name: str, batch_of: Callable[..., bytes]) -> Callable[[], Writer]:
    """Makes producers with the same transactional id."""
    return lambda: Writer(new_wire(), name, batch_of)


@pytest.fixture
def writer(new_writer: Callable[[], Writer]) -> Writer:
    mine = new_writer()
    assert mine.init() == 0
    return mine


def stable_offset(wire: Any, topic: str) -> tuple[int, int]:
    """Last stable offset and high watermark of partition 0."""
    topic_class = FetchRequest.FetchTopic
    part = topic_class.FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)
    request = FetchRequest(
        max_wait_ms=0,
        min_bytes=0,
        max_bytes=1 << 20,
        isolation_level=1,
        session_id=0,
        session_epoch=-1,
        topics=[topic_class(topic=topic, partitions=[part])],
        forgotten_topics_data=[],
    )
    answer = wire.call(request, FetchResponse, 11).responses[0].partitions[0]
    return answer.last_stable_offset, answer.high_watermark


def committed(wire: Any, group_id: str, topic: str, *, stable: bool) -> tuple[int, int]:
    """Error code and committed offset of partition 0."""
    wire.call(FindCoordinatorRequest(key=group_id, key_type=0, coordinator_keys=[]), FindCoordinatorResponse, 2)
    topic_class = OffsetFetchRequest.OffsetFetchRequestTopic
    request = OffsetFetchRequest(
        group_id=group_id, topics=[topic_class(name=topic, partition_indexes=[0])], require_stable=stable
    )
    deadline = time.monotonic() + 20
    while True:
        response = wire.call(request, OffsetFetchResponse, 7)
        if response.error_code not in NOT_YET or time.monotonic() > deadline:
            part = response.topics[0].partitions[0]
            return part.error_code, part.committed_offset
        time.sleep(0.05)


# --- on the wire


def test_a_returning_id_keeps_its_producer_id_and_raises_the_epoch(new_writer: Callable[[], Writer]) -> None:
    first, second = new_writer(), new_writer()
    assert first.init() == second.init() == 0
    assert (second.producer_id, second.epoch) == (first.producer_id, first.epoch + 1)


@pytest.mark.parametrize("commit", [True, False])
def test_the_same_end_again_succeeds_and_the_opposite_is_refused(writer: Writer, topic: str, *, commit: bool) -> None:
    assert writer.add(topic) == writer.write(topic, b"v") == 0
    assert writer.end(commit=commit) == 0
    assert writer.end(commit=commit) == 0
    assert writer.end(commit=not commit) == INVALID_TXN_STATE


def test_ending_what_never_began_is_refused(writer: Writer) -> None:
    assert writer.end(commit=True) == INVALID_TXN_STATE
    assert writer.end(commit=False) == INVALID_TXN_STATE


def test_a_transaction_holds_back_the_stable_offset_until_it_ends(
    writer: Writer, topic: str, wire: Any, wait_until: Any
) -> None:
    assert writer.add(topic) == writer.write(topic, b"a") == writer.write(topic, b"b") == 0
    assert stable_offset(wire, topic) == (0, 2)
    assert writer.end(commit=True) == 0
    wait_until(lambda: stable_offset(wire, topic) == (3, 3))
    assert writer.add(topic) == writer.write(topic, b"c") == 0
    assert writer.end(commit=False) == 0
    wait_until(lambda: stable_offset(wire, topic) == (5, 5))


def test_writing_to_a_partition_that_was_not_added_is_refused(writer: Writer, topic: str) -> None:
    assert writer.write(topic, b"v") == INVALID_TXN_STATE


def test_a_successor_ends_the_transaction_and_fences(
    new_writer: Callable[[], Writer], topic: str, wire: Any, wait_until: Any
) -> None:
    old, new = new_writer(), new_writer()
    assert old.init() == old.add(topic) == old.write(topic, b"v") == 0
    assert new.init() == 0
    wait_until(lambda: stable_offset(wire, topic) == (2, 2))
    assert new.epoch == old.epoch + 2
    assert old.write(topic, b"late") == INVALID_PRODUCER_EPOCH
    assert old.add(topic) == PRODUCER_FENCED
    assert old.add_offsets("group") == PRODUCER_FENCED
    assert old.end(commit=True) == PRODUCER_FENCED
    assert old.end(commit=False) == PRODUCER_FENCED
    assert old.add(topic, version=1) == INVALID_PRODUCER_EPOCH
    assert old.end(commit=True, version=1) == INVALID_PRODUCER_EPOCH
    assert new.add(topic) == new.write(topic, b"w") == new.end(commit=True) == 0


def test_a_fenced_producer_can_not_recover_but_the_current_one_can(
    new_writer: Callable[[], Writer], topic: str
) -> None:
    old, new = new_writer(), new_writer()
    assert old.init() == new.init() == 0
    assert old.init(known=(old.producer_id, old.epoch)) == PRODUCER_FENCED
    before = (new.producer_id, new.epoch)
    assert new.init(known=before) == 0
    assert (new.producer_id, new.epoch) == (before[0], before[1] + 1)
    assert new.init(known=before) == 0, "the response to the first try may have been lost"
    assert (new.producer_id, new.epoch) == (before[0], before[1] + 1)


def test_a_strange_producer_id_is_refused(writer: Writer, topic: str) -> None:
    writer.producer_id += 1_000_000
    assert writer.add(topic) == INVALID_PRODUCER_ID_MAPPING
    assert writer.end(commit=True) == INVALID_PRODUCER_ID_MAPPING


def test_partitions_are_added_all_or_none(writer: Writer, topic: str) -> None:
    codes = writer.add_codes(topic, f"{topic}-missing")
    assert codes == [OPERATION_NOT_ATTEMPTED, UNKNOWN_TOPIC_OR_PARTITION]
    assert writer.end(commit=True) == INVALID_TXN_STATE


def test_a_timeout_beyond_the_brokers_is_refused(new_writer: Callable[[], Writer]) -> None:
    assert new_writer().init(timeout_ms=2**31 - 1) == INVALID_TRANSACTION_TIMEOUT


def test_a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced(
    new_writer: Callable[[], Writer], topic: str, wire: Any, wait_until: Any
) -> None:
    slow = new_writer()
    assert slow.init(timeout_ms=500) == slow.add(topic) == slow.write(topic, b"v") == 0
    wait_until(lambda: stable_offset(wire, topic) == (2, 2))
    assert slow.write(topic, b"late") == INVALID_PRODUCER_EPOCH
    assert slow.end(commit=True) == PRODUCER_FENCED
    assert slow.add(topic) == PRODUCER_FENCED
    before = slow.epoch
    assert slow.init(known=(slow.producer_id, slow.epoch)) == 0, "nobody has taken over yet"
    assert slow.epoch == before + 1
    assert slow.add(topic) == slow.write(topic, b"w") == slow.end(commit=True) == 0


def test_a_producer_that_recovers_with_an_open_transaction_aborts_it(
    writer: Writer, topic: str, wire: Any, wait_until: Any
) -> None:
    assert writer.add(topic) == writer.write(topic, b"v") == 0
    before = writer.epoch
    assert writer.init(known=(writer.producer_id, writer.epoch)) == 0
    assert writer.epoch == before + 1
    wait_until(lambda: stable_offset(wire, topic) == (2, 2))
    assert writer.end(commit=True) == INVALID_TXN_STATE
    assert writer.add(topic) == writer.write(topic, b"w") == writer.end(commit=True) == 0


def test_offsets_become_visible_only_when_the_transaction_commits(
    writer: Writer, topic: str, name: str, wire: Any, wait_until: Any
) -> None:
    group = f"{name}-group"
    assert writer.add_offsets(group) == 0
    assert writer.commit_offset(group, topic, 5) == 0
    assert committed(wire, group, topic, stable=True)[0] == UNSTABLE_OFFSET_COMMIT
    assert committed(wire, group, topic, stable=False) == (0, -1)
    assert writer.end(commit=True) == 0
    wait_until(lambda: committed(wire, group, topic, stable=True) == (0, 5))
    assert writer.add_offsets(group) == 0
    assert writer.commit_offset(group, topic, 9) == 0
    assert writer.end(commit=False) == 0
    wait_until(lambda: committed(wire, group, topic, stable=True) == (0, 5))


def test_offsets_need_the_group_to_be_part_of_the_transaction(writer: Writer, topic: str, name: str, wire: Any) -> None:
    group = f"{name}-group"
    committed(wire, group, topic, stable=True)
    assert writer.add(topic) == 0
    assert writer.commit_offset(group, topic, 5) == INVALID_TXN_STATE


def test_offsets_of_a_fenced_producer_are_refused(new_writer: Callable[[], Writer], topic: str, name: str) -> None:
    group = f"{name}-group"
    old, new = new_writer(), new_writer()
    assert old.init() == old.add_offsets(group) == 0
    assert new.init() == 0
    assert old.commit_offset(group, topic, 5) == INVALID_PRODUCER_EPOCH


def test_offsets_of_a_stranger_to_the_group_are_refused(
    writer: Writer, topic: str, name: str, new_consumer: Callable[..., Any], wait_until: Any
) -> None:
    """KIP-447: the group's own generation fences, not the producer's epoch."""
    group = f"{name}-group"
    consumer = new_consumer(topic, group_id=group)
    wait_until(consumer.assignment, consumer)
    metadata = consumer.group_metadata()
    assert writer.add_offsets(group) == 0
    me = {"generation": metadata.generation_id, "member_id": metadata.member_id}
    assert writer.commit_offset(group, topic, 1, **me) == 0
    assert writer.commit_offset(group, topic, 2, **{**me, "generation": me["generation"] + 1}) == ILLEGAL_GENERATION
    assert writer.commit_offset(group, topic, 2, **{**me, "member_id": "nobody"}) == UNKNOWN_MEMBER_ID
    assert writer.commit_offset(f"{group}-missing", topic, 2, **me) == INVALID_TXN_STATE
    assert writer.add_offsets(f"{group}-missing") == 0
    assert writer.commit_offset(f"{group}-missing", topic, 2, **me) == ILLEGAL_GENERATION
    assert writer.end(commit=True) == 0
    wait_until(lambda: consumer.committed(TopicPartition(topic, 0)) == 1, consumer)


def test_offsets_are_taken_while_a_rebalance_waits_and_refused_once_the_next_generation_has_begun(
    writer: Writer, topic: str, name: str, new_wire: Callable[[], Any]
) -> None:
    """Members that keep their partitions go on until then; who has them afterwards knows by the new generation."""
    group = f"{name}-group"
    first, second = (Member(new_wire(), group, 10_000) for _ in range(2))
    first.find()
    assert first.join() == first.sync()[0] == 0
    me: dict[str, Any] = {"generation": first.generation, "member_id": first.member_id}
    assert writer.add_offsets(group) == 0
    with ThreadPoolExecutor(1) as pool:
        joining = pool.submit(second.join)
        while first.heartbeat() != REBALANCE_IN_PROGRESS:
            time.sleep(0.02)
        assert writer.commit_offset(group, topic, 1, **me) == 0
        assert first.join() == joining.result() == 0
    assert first.generation > me["generation"]
    assert writer.commit_offset(group, topic, 2, **me) == ILLEGAL_GENERATION


# --- with a client


def test_committed_records_show_and_aborted_ones_do_not(
    topic: str, name: str, new_producer: Callable[..., Any], new_consumer: Callable[..., Any], read_values: Any
) -> None:
    producer = new_producer(transactional_id=name)
    for values, commit in (([b"a", b"b"], True), ([b"x", b"y"], False), ([b"c"], True)):
        producer.begin_transaction()
        for value in values:
            producer.send(topic, value)
        producer.flush()
        if commit:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    assert read_values(new_consumer(topic), 3) == [b"a", b"b", b"c"]
    everything = read_values(new_consumer(topic, isolation_level="read_uncommitted"), 5)
    assert everything == [b"a", b"b", b"x", b"y", b"c"]


def test_end_offsets_stop_at_an_open_transaction_for_read_committed(
    topic: str, name: str, new_producer: Callable[..., Any], new_consumer: Callable[..., Any]
) -> None:
    new_producer().send(topic, b"plain").get(100)
    producer = new_producer(transactional_id=name)
    producer.begin_transaction()
    producer.send(topic, b"open").get(100)
    part = TopicPartition(topic, 0)
    assert new_consumer().end_offsets([part]) == {part: 1}
    assert new_consumer(isolation_level="read_uncommitted").end_offsets([part]) == {part: 2}
    producer.abort_transaction()


def test_consume_process_produce_moves_records_and_offsets_together(
    topic: str,
    name: str,
    new_producer: Callable[..., Any],
    new_consumer: Callable[..., Any],
    read_values: Any,
    wait_until: Any,
) -> None:
    group, output = f"{name}-group", f"{name}-output"
    feeder = new_producer()
    for index in range(30):
        feeder.send(topic, b"%d" % index)
    feeder.flush()
    part = TopicPartition(topic, 0)
    consumer = new_consumer(topic, group_id=group, max_poll_records=10)
    producer = new_producer(transactional_id=name)
    aborted, done = False, 0
    deadline = time.monotonic() + 30
    while done < 30 and time.monotonic() < deadline:
        records = poll(consumer, timeout_ms=200)
        if not records:
            continue
        producer.begin_transaction()
        for record in records:
            producer.send(output, record.value)
        following = OffsetAndMetadata(records[-1].offset + 1, "", -1)
        producer.send_offsets_to_transaction({part: following}, consumer.group_metadata())
        if aborted:
            producer.commit_transaction()
            done = following.offset
        else:
            producer.abort_transaction()
            consumer.seek(part, 0)
            aborted = True
    moved = read_values(new_consumer(output, max_poll_records=500), 30)
    assert sorted(moved) == sorted(b"%d" % index for index in range(30))
    wait_until(lambda: consumer.committed(part) == 30, consumer)


def test_a_fenced_client_can_not_commit(topic: str, name: str, new_producer: Callable[..., Any]) -> None:
    old = new_producer(transactional_id=name)
    old.begin_transaction()
    old.send(topic, b"old").get(100)
    new_producer(transactional_id=name)
    with pytest.raises(KafkaError):
        old.commit_transaction()


def test_offsets_of_a_generation_past_fail_the_commit(
    wide_topic: str, name: str, new_producer: Callable[..., Any], new_consumer: Callable[..., Any], wait_until: Any
) -> None:
    group = f"{name}-group"
    first = new_consumer(wide_topic, group_id=group)
    wait_until(lambda: len(first.assignment()) == 4, first)
    stale = first.group_metadata()
    second = new_consumer(wide_topic, group_id=group)
    wait_until(lambda: len(first.assignment()) == len(second.assignment()) == 2, first, second)
    producer = new_producer(transactional_id=name)
    producer.begin_transaction()
    with pytest.raises(CommitFailedError):
        producer.send_offsets_to_transaction({TopicPartition(wide_topic, 0): OffsetAndMetadata(1, "", -1)}, stale)
    producer.abort_transaction()
    producer.begin_transaction()
    producer.send_offsets_to_transaction(
        {TopicPartition(wide_topic, 0): OffsetAndMetadata(1, "", -1)}, first.group_metadata()
    )
    producer.commit_transaction()
    wait_until(lambda: first.committed(TopicPartition(wide_topic, 0)) == 1, first, second)
