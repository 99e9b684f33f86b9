"""Epochs: what moved is not ours. And every error of the client becomes one of ours, a retry, or a clear end."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
import structlog
from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors

from prefstream.consumer.client import clients as kafka_client
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import (
    BrokersSilentError,
    BrokerUnreachableError,
    DataLossError,
    NotAuthorizedError,
    StreamError,
    TopicMissingError,
)
from prefstream.consumer.stream import source as source_module
from prefstream.consumer.stream.partitions import topic_identity
from prefstream.consumer.stream.partitions.losses import SkipReason
from prefstream.consumer.stream.partitions.offset_metadata import OffsetMetadata
from prefstream.consumer.stream.source import SILENT_S, Source
from tests.support.fake_clock import FakeClock
from tests.support.kafka_errors import kafka_error_classes
from tests.support.scripted_clients import NEW, OLD, ScriptedConsumer
from tests.support.streams import make_event

P0, P1 = TopicPartition("battles", 0), TopicPartition("battles", 1)
AT_3 = OffsetAndMetadata(3, "", -1)


@pytest.fixture(autouse=True)
def _no_hearsay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_identity, "HEARSAY_S", 0)


def make_source(consumer: ScriptedConsumer, **settings: Any) -> Source:
    return Source(consumer, StreamConfig.load(**settings))


def records(*offsets: int) -> list[Any]:
    return [make_event(offset=offset).record for offset in offsets]


def test_polled_records_carry_the_epoch_of_their_partition() -> None:
    consumer = ScriptedConsumer({P0: records(5, 6)})
    source = make_source(consumer)
    consumer.give(P0)
    events = source.poll(0.1, 10)
    assert [event.record.offset for event in events] == [5, 6]
    assert all(source.membership().owns(event) for event in events)


def test_a_partition_without_a_committed_offset_starts_at_its_beginning_and_no_other_is_moved() -> None:
    """Another one may be in flight: moved back it would be scored and published twice."""
    consumer = ScriptedConsumer(kafka_errors.NoOffsetForPartitionError({P1}))
    source = make_source(consumer)
    consumer.give(P0, P1)
    assert source.poll(0.1, 10) == []
    assert consumer.sought == [("offset 0", (P1,))]


def test_what_is_not_taken_is_no_event_and_where_nothing_is_in_flight_its_place_is_committed() -> None:
    """As markers of transactions are passed."""
    consumer = ScriptedConsumer({P0: records(5, 6, 7, 8)}, {P0: records(9, 10)})
    source = Source(consumer, StreamConfig.load(), takes=lambda record: record.offset in {5, 7})
    consumer.give(P0)
    events = source.poll(0.1, 10)
    assert ([event.record.offset for event in events], source.passed_over) == ([5, 7], 2)
    epochs = source.membership().epochs
    assert source.progress.committable(epochs, {}) == {}
    assert source.progress.committable(epochs, {P0: 8}) == {P0: 9}
    source.progress.answered({P0: 8}, epochs)
    assert (source.poll(0.1, 10), source.passed_over) == ([], 2)
    assert source.progress.committable(epochs, {}) == {P0: 11}
    assert (source.poll(0.1, 10), source.passed_over) == ([], 0)


def test_a_shadow_that_is_too_far_behind_goes_on_at_the_end_and_says_so() -> None:
    """What it has in flight it answers."""
    of_another = [make_event(partition=1, offset=2).record]
    consumer = ScriptedConsumer({P0: records(2), P1: of_another}, {P0: records(3)})
    source, skips = skipping(consumer, shadow=True, max_lag=7)
    consumer.give(P0, P1)
    with structlog.testing.capture_logs() as logs:
        # Of P1 nobody has told the end.
        assert [event.partition for event in source.poll(0.1, 10)] == [P1]
    assert (consumer.sought, skips) == ([("offset 10", (P0,))], [("too_far_behind", 8)])
    assert [(line["offset"], line["on_at"], line["log_level"]) for line in logs if "too far" in line["event"]] == [
        (2, 10, "warning")
    ]
    epochs = source.membership().epochs
    assert source.progress.committable(epochs, {}) == {P0: 10}
    assert [event.record.offset for event in source.poll(0.1, 10)] == [3], "no more than that is behind"
    assert skips == [("too_far_behind", 8)]


def test_who_serves_never_skips() -> None:
    consumer = ScriptedConsumer({P0: records(0)})
    source, skips = skipping(consumer)
    consumer.give(P0)
    assert [event.record.offset for event in source.poll(0.1, 10)] == [0]
    assert (consumer.sought, skips) == ([], [])


Skips = list[tuple[SkipReason, int]]


def skipping(consumer: ScriptedConsumer, **settings: Any) -> tuple[Source, Skips]:
    """A source, and what it tells of offsets that will get no answer."""
    skips: Skips = []
    return Source(consumer, StreamConfig.load(**settings), lambda why, count: skips.append((why, count))), skips


def test_what_was_gone_before_a_partition_was_first_read_is_counted_and_noted() -> None:
    consumer = ScriptedConsumer(kafka_errors.NoOffsetForPartitionError({P1}))
    source, skips = skipping(consumer)
    consumer.give(P0, P1)
    consumer.begins = {P1: 4}
    source.poll(0.1, 10)
    assert consumer.sought == [("offset 4", (P1,))]
    assert skips == [("deleted_before_first_read", 4)]
    assert (source.undecided(P0), source.undecided(P1)) == (0, 4)


def test_whoever_gets_the_partition_next_tells_it_again_until_a_start_decides() -> None:
    consumer = ScriptedConsumer()
    source, skips = skipping(consumer)
    consumer.give(P0)
    consumer.committed_offsets = {P0: OffsetAndMetadata(9, OffsetMetadata(OLD, 5, 4).encode(), -1)}
    assert source.committed_metadata(P0).dead_letters == 5
    assert skips == [("deleted_before_first_read", 4)]
    assert source.undecided(P0) == 4
    source.committed.forget()
    source.committed_metadata(P0)
    assert skips == [("deleted_before_first_read", 4)]
    deciding, skips = skipping(consumer, on_data_loss="latest")
    consumer.give(P0)
    consumer.positions = {P0: 9}
    assert deciding.committed_metadata(P0) == OffsetMetadata(OLD, 5)
    assert (skips, deciding.undecided(P0)) == ([], 0)
    assert deciding.progress.committable(deciding.membership().epochs, {}) == {}  # not a member yet
    deciding.poll(0.1, 10)
    assert deciding.progress.committable(deciding.membership().epochs, {}) == {P0: 9}


def test_what_another_member_has_decided_is_not_noted_again_when_the_partition_comes_back() -> None:
    consumer = ScriptedConsumer()
    source = make_source(consumer)
    consumer.give(P0)
    consumer.committed_offsets = {P0: OffsetAndMetadata(9, OffsetMetadata(OLD, 5, 4).encode(), -1)}
    source.committed_metadata(P0)
    assert source.undecided(P0) == 4
    consumer.committed_offsets = {P0: OffsetAndMetadata(9, OffsetMetadata(OLD, 5).encode(), -1)}
    consumer.give(P0)
    source.committed_metadata(P0)
    assert source.undecided(P0) == 0


def test_where_the_first_record_is_not_told_it_is_asked_again() -> None:
    no_offset = kafka_errors.NoOffsetForPartitionError({P0})
    consumer = ScriptedConsumer(no_offset, no_offset)
    source = make_source(consumer)
    consumer.give(P0)
    consumer.bounds_error = kafka_errors.KafkaTimeoutError()
    assert source.poll(0.1, 10) == []
    assert (consumer.sought, source.backoff_s > 0) == ([], True)
    consumer.bounds_error = None
    source.poll(0.1, 10)
    assert consumer.sought == [("offset 0", (P0,))]


@pytest.mark.parametrize(
    ("policy", "target", "skips"),
    [
        ("earliest", "offset 7", [("deleted_unread", 2)]),
        ("latest", "offset 10", [("deleted_unread", 2), ("skipped_to_end", 3)]),
    ],
)
def test_lost_records_are_skipped_only_when_told_so_and_counted(policy: str, target: str, skips: Skips) -> None:
    consumer = ScriptedConsumer(kafka_errors.OffsetOutOfRangeError({P0: 5}))
    consumer.begins = {P0: 7}
    source, found = skipping(consumer, on_data_loss=policy)
    assert source.poll(0.1, 10) == []
    assert consumer.sought == [(target, (P0,))]
    assert found == skips


@pytest.mark.parametrize(("policy", "on_at"), [("earliest", 2), ("latest", 10)])
def test_a_skip_that_is_met_again_before_it_was_committed_is_told_and_counted_once(policy: str, on_at: int) -> None:
    """As after a rebalance, or a transaction of which nobody knows how it ended."""
    halted = OffsetAndMetadata(0, OffsetMetadata(OLD, halted=True).encode(), -1)
    consumer = ScriptedConsumer(*[kafka_errors.OffsetOutOfRangeError({P0: 0}) for _ in range(2)])
    source, skips = skipping(consumer, on_data_loss=policy)
    consumer.committed_offsets = {P0: halted}
    consumer.begins = {P0: 2}
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            consumer.give(P0)
            source.poll(0.1, 10)
            source.committed.forget()
            source.committed_metadata(P0)
    [line] = [line for line in lines if line["event"] == "records lost, going on as told"]
    assert (line["deleted"], line["on_at"]) == (2, on_at)
    assert sum(count for _, count in skips) == on_at
    consumer.begins = {P0: 5}
    source.committed.forget()
    source.committed_metadata(P0)
    assert sum(count for _, count in skips) == max(5, on_at)  # what was lost since then counts, too


def test_a_partition_that_begins_twice_before_anything_is_committed_counts_what_was_gone_once() -> None:
    no_offset = kafka_errors.NoOffsetForPartitionError({P1})
    consumer = ScriptedConsumer(no_offset, no_offset)
    source, skips = skipping(consumer)
    consumer.begins = {P1: 4}
    for _ in range(2):
        consumer.give(P1)
        source.poll(0.1, 10)
    assert (skips, source.undecided(P1)) == ([("deleted_before_first_read", 4)], 4)


def test_a_stop_is_noted_so_that_the_next_start_stops_too() -> None:
    """The topic may have grown past the offset by then, and the offset be in range."""
    consumer = ScriptedConsumer(kafka_errors.OffsetOutOfRangeError({P0: 50}))
    source = make_source(consumer)
    consumer.give(P0)
    consumer.committed_offsets = {P0: OffsetAndMetadata(50, OffsetMetadata(OLD, 5).encode(), -1)}
    with pytest.raises(DataLossError, match="battles/0 offset 50"):
        source.poll(0.1, 10)
    halted = OffsetAndMetadata(50, OffsetMetadata(OLD, 5, halted=True).encode(), -1)
    assert consumer.committed_alone == {P0: halted}
    consumer.committed_offsets = {P0: halted}
    source = make_source(consumer)
    consumer.give(P0)
    with pytest.raises(DataLossError, match="battles/0 offset 50"):
        source.committed_metadata(P0)


def test_what_was_read_before_a_noted_stop_was_found_is_not_ours_where_reading_goes_on_elsewhere() -> None:
    consumer = ScriptedConsumer({P0: records(5)})
    source, skips = skipping(consumer, on_data_loss="earliest")
    consumer.give(P0)
    (event,) = source.poll(0.1, 10)
    consumer.begins = {P0: 2}
    consumer.committed_offsets = {P0: OffsetAndMetadata(5, OffsetMetadata(OLD, 1, halted=True).encode(), -1)}
    assert source.committed_metadata(P0) == OffsetMetadata(OLD, 1)
    assert consumer.sought == [("offset 2", (P0,))]
    assert consumer.forgot == 1
    assert not source.membership().owns(event)
    assert source.committed_metadata(P0) == OffsetMetadata(OLD, 1)
    assert (len(consumer.sought), skips) == (1, [])


def test_a_loss_that_was_noted_is_met_once_although_the_client_tells_it_too() -> None:
    consumer = ScriptedConsumer(kafka_errors.OffsetOutOfRangeError({P0: 5}))
    source, skips = skipping(consumer, on_data_loss="earliest")
    consumer.give(P0)
    consumer.begins = {P0: 8}
    consumer.committed_offsets = {P0: OffsetAndMetadata(5, OffsetMetadata(OLD, 1, halted=True).encode(), -1)}
    source.poll(0.1, 10)
    assert consumer.sought == [("offset 8", (P0,))]
    assert skips == [("deleted_unread", 3)]


def test_lost_records_stop_the_stream_by_default() -> None:
    consumer = ScriptedConsumer(kafka_errors.OffsetOutOfRangeError({P0: 5}))
    with pytest.raises(DataLossError, match="battles/0 offset 5"):
        make_source(consumer).poll(0.1, 10)
    assert consumer.sought == []


def test_a_topic_recreated_stops_the_stream_by_default() -> None:
    consumer = ScriptedConsumer({P0: records(5)}, {P0: records(6)})
    source = make_source(consumer)
    consumer.give(P0)
    source.poll(0.1, 10)
    consumer.known_topic_id = consumer.real_topic_id = NEW
    with pytest.raises(DataLossError, match="battles was deleted and recreated"):
        source.poll(0.1, 10)
    # Of the one before: whoever finds it stops, too.
    assert consumer.committed_alone == {P0: OffsetAndMetadata(0, OffsetMetadata(OLD).encode(), -1)}


@pytest.mark.parametrize("policy", ["earliest", "latest"])
def test_a_topic_recreated_is_read_from_its_beginning_and_what_was_read_before_is_not_ours(policy: str) -> None:
    """Nothing of it was answered yet, whatever is to be done about lost records."""
    consumer = ScriptedConsumer({P0: records(5)}, {P0: records(6)}, {P0: records(0)})
    source = make_source(consumer, on_data_loss=policy)
    consumer.give(P0)
    (before,) = source.poll(0.1, 10)
    consumer.known_topic_id = consumer.real_topic_id = NEW
    assert source.poll(0.1, 10) == []
    assert consumer.sought == [("beginning", (P0,))]
    assert not source.membership().owns(before)
    (after,) = source.poll(0.1, 10)
    assert source.membership().owns(after)


def test_where_the_group_was_in_the_topic_before_says_nothing_of_the_one_that_is_there_now() -> None:
    """A partition that comes to us in the new topic is read from its first record."""
    consumer = ScriptedConsumer({}, kafka_errors.NoOffsetForPartitionError({P0}))
    source = Source(consumer, StreamConfig.load(on_data_loss="earliest"), starts={P0: 4})
    source.poll(0.1, 10)
    consumer.known_topic_id = consumer.real_topic_id = NEW
    source.poll(0.1, 10)
    assert source.topic_id == NEW
    consumer.give(P0)
    source.poll(0.1, 10)
    assert consumer.sought == [("offset 0", (P0,))]


def test_who_falls_out_of_the_group_before_anything_is_committed_begins_again_behind_the_groups_answers() -> None:
    consumer = ScriptedConsumer(kafka_errors.NoOffsetForPartitionError({P0, P1}))
    source = Source(consumer, StreamConfig.load(), starts={P0: 4})
    consumer.give(P0, P1)
    source.poll(0.1, 10)
    consumer.sought.clear()
    consumer.member_id = "another"
    source.poll(0.1, 10)
    assert sorted(consumer.sought) == [("beginning", (P1,)), ("offset 4", (P0,))]


def test_what_a_topic_recreated_leaves_unanswered_is_counted_once_however_often_we_try_to_begin() -> None:
    consumer = ScriptedConsumer({P0: records(5)})
    source, skips = skipping(consumer, on_data_loss="earliest")
    consumer.give(P0)
    source.poll(0.1, 10)
    consumer.known_topic_id = consumer.real_topic_id = NEW
    consumer.committed_offsets = {P0: kafka_errors.KafkaTimeoutError()}
    assert source.poll(0.1, 10) == source.poll(0.1, 10) == []
    consumer.committed_offsets = {}
    source.poll(0.1, 10)
    assert skips == [("topic_recreated", 4)]


def test_a_topic_recreated_is_read_on_where_other_members_are_with_it() -> None:
    """What they answered is not answered again, although we hear of it later; nor while nobody tells where they are."""
    consumer = ScriptedConsumer({P0: records(5)}, {P0: records(6)}, {P0: records(7)})
    stream_source = make_source(consumer, on_data_loss="earliest")
    consumer.give(P0)
    stream_source.poll(0.1, 10)
    consumer.known_topic_id = consumer.real_topic_id = NEW
    consumer.committed_offsets = {P0: kafka_errors.KafkaTimeoutError()}
    assert stream_source.poll(0.1, 10) == []
    consumer.committed_offsets = {P0: AT_3}
    assert stream_source.poll(0.1, 10) == []
    assert consumer.sought == [("offset 3", (P0,))]


def test_while_it_is_too_early_to_tell_which_topic_it_is_nothing_is_read_and_nothing_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Brokers need a moment until they all have heard of a topic; nobody sleeps meanwhile."""
    monkeypatch.setattr(topic_identity, "HEARSAY_S", 60.0)

    class ToldByAFetch(ScriptedConsumer):
        def poll(self, *, timeout_ms: int, max_records: int | None = None) -> Any:
            polled = super().poll(timeout_ms=timeout_ms, max_records=max_records)
            self.known_topic_id = NEW if len(self.timeouts_ms) == 2 else self.known_topic_id
            return polled

    consumer = ToldByAFetch({P0: records(5)}, {P0: records(6, 7)})
    source = make_source(consumer)
    consumer.give(P0)
    source.poll(0.1, 10)
    assert source.poll(0.1, 10) == []
    assert consumer.sought == [("offset 6", (P0,))]
    assert source.backoff_s > 1.0
    assert source.poll(0.1, 10) == []
    assert len(consumer.timeouts_ms) == 2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Brokers need their moment, and it passes when the test says so."""
    clock = FakeClock()
    for module in (source_module, topic_identity):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(topic_identity, "HEARSAY_S", 1.0)
    return clock


def test_an_offset_beyond_the_end_of_a_recreated_topic_is_known_after_that_moment(clock: FakeClock) -> None:
    """What it means is asked twice in one turn: whether the topic is the same, and whether the offset is of it."""
    consumer = ScriptedConsumer({}, *[kafka_errors.OffsetOutOfRangeError({P0: 3})] * 5)
    source = make_source(consumer, on_data_loss="earliest")
    consumer.give(P0)
    consumer.committed_offsets = {P0: committed_at_3_of(NEW)}
    for _ in range(2):
        assert source.poll(0.1, 10) == []
    assert consumer.sought == []
    clock.now += 1.1
    assert source.poll(0.1, 10) == []
    assert consumer.sought == [("beginning", (P0,))]


def test_a_truncated_log_that_the_client_tells_once_is_not_forgotten_meanwhile(clock: FakeClock) -> None:
    consumer = ScriptedConsumer({P0: records(5)}, kafka_errors.LogTruncationError({P0: 6}), {P0: records(6)})
    source = make_source(consumer, on_data_loss="latest")
    consumer.give(P0)
    source.poll(0.1, 10)
    assert source.poll(0.1, 10) == []
    clock.now += 1.1
    with pytest.raises(DataLossError, match="truncated"):
        source.poll(0.1, 10)


def test_who_publishes_and_who_reads_do_not_take_the_answer_from_each_other(clock: FakeClock) -> None:
    """A batch of the old topic is held, and the poll adopts the new one, whoever asks first."""
    consumer = ScriptedConsumer({P0: records(5)})
    source = make_source(consumer, on_data_loss="earliest")
    consumer.give(P0)
    (event,) = source.poll(0.1, 10)
    consumer.known_topic_id = consumer.real_topic_id = NEW
    consumer.committed_offsets = {P0: committed_at_3_of(NEW)}
    assert not source.began_in_this_topic([P0])
    clock.now += 1.1
    assert not source.began_in_this_topic([P0])
    assert source.poll(0.1, 10) == []
    assert source.topic_id == NEW
    assert not source.membership().owns(event)


def test_a_topic_that_is_recreated_twice_gets_its_moment_twice(clock: FakeClock) -> None:
    consumer = ScriptedConsumer({P0: records(5)}, {P0: records(0)})
    source = make_source(consumer, on_data_loss="earliest")
    consumer.give(P0)
    source.poll(0.1, 10)
    for number in (2, 3):
        consumer.known_topic_id = consumer.real_topic_id = UUID(int=number)
        assert source.poll(0.1, 10) == []
        assert source.topic_id != UUID(int=number)
        clock.now += 1.1
        assert source.poll(0.1, 10) == []
        assert source.topic_id == UUID(int=number)


def test_a_passing_fault_is_told_as_a_time_to_wait() -> None:
    source = make_source(ScriptedConsumer(kafka_errors.KafkaTimeoutError()))
    assert source.backoff_s == 0
    assert source.poll(0.1, 10) == []
    assert source.backoff_s > 0


def test_a_broker_that_lags_behind_recreates_no_topic() -> None:
    """It tells of the topic before for a moment; asked again, brokers tell of the one that we read."""
    consumer = ScriptedConsumer({P0: records(5)}, {P0: records(6)})
    source = make_source(consumer)
    consumer.give(P0)
    source.poll(0.1, 10)
    consumer.known_topic_id = NEW
    assert len(source.poll(0.1, 10)) == 1


def committed_at_3_of(topic_id: UUID | None) -> OffsetAndMetadata:
    return OffsetAndMetadata(3, OffsetMetadata(topic_id).encode(), -1)


def test_an_offset_of_the_topic_before_skips_nothing_of_the_new_one() -> None:
    """It was committed too late to be deleted with it. What was read from there is not ours; the beginning is next."""
    consumer = ScriptedConsumer({P0: records(3), P1: records(3)}, {P0: records(0)})
    source = make_source(consumer, on_data_loss="earliest")
    consumer.give(P0, P1)
    consumer.committed_offsets = {P0: committed_at_3_of(NEW), P1: committed_at_3_of(OLD)}
    before = source.poll(0.1, 10)
    assert not source.began_in_this_topic([P0, P1])
    assert sorted(consumer.sought) == [("beginning", (P0,)), ("offset 3", (P1,))]
    assert not any(source.membership().owns(event) for event in before)
    (after,) = source.poll(0.1, 10)
    assert source.began_in_this_topic([P0, P1])
    assert source.membership().owns(after)


def test_an_offset_of_the_topic_before_stops_the_stream_by_default() -> None:
    """Nobody has decided yet what is to be done about the records of the topic before."""
    consumer = ScriptedConsumer({P0: records(3)})
    source = make_source(consumer)
    consumer.give(P0)
    consumer.committed_offsets = {P0: committed_at_3_of(NEW)}
    source.poll(0.1, 10)
    with pytest.raises(DataLossError, match="battles was deleted and recreated"):
        source.began_in_this_topic([P0])


def test_reading_begins_again_at_all_partitions_or_at_none() -> None:
    """One whose records are dropped, and that goes on behind them, would lose them."""
    consumer = ScriptedConsumer({P0: records(3), P1: records(3)})
    stream_source = make_source(consumer, on_data_loss="earliest")
    consumer.give(P0, P1)
    held = stream_source.poll(0.1, 10)
    consumer.committed_offsets = {P0: committed_at_3_of(NEW), P1: kafka_errors.KafkaTimeoutError()}
    with pytest.raises(BrokerUnreachableError):
        stream_source.began_in_this_topic([P0])
    assert consumer.sought == []
    assert all(stream_source.membership().owns(event) for event in held)
    consumer.committed_offsets[P1] = committed_at_3_of(OLD)
    assert not stream_source.began_in_this_topic([P0])
    assert sorted(consumer.sought) == [("beginning", (P0,)), ("offset 3", (P1,))]
    assert not any(stream_source.membership().owns(event) for event in held)


@pytest.mark.parametrize("topic_id", [OLD, None])
def test_an_offset_of_this_topic_or_of_one_that_nobody_tells_is_taken_as_it_is(topic_id: UUID | None) -> None:
    consumer = ScriptedConsumer({P0: records(3)})
    source = make_source(consumer)
    consumer.give(P0)
    consumer.committed_offsets = {P0: committed_at_3_of(topic_id)}
    source.poll(0.1, 10)
    assert source.began_in_this_topic([P0])
    assert consumer.sought == []


def test_what_is_committed_is_looked_at_once_per_assignment() -> None:
    """Afterwards it is ours."""
    consumer = ScriptedConsumer({P0: records(3)})
    source = make_source(consumer, on_data_loss="earliest")
    consumer.give(P0)
    source.poll(0.1, 10)
    assert source.began_in_this_topic([P0])
    consumer.committed_offsets = {P0: committed_at_3_of(NEW)}
    assert source.began_in_this_topic([P0])
    consumer.give(P0)
    assert not source.began_in_this_topic([P0])


def test_an_offset_of_the_topic_before_that_is_beyond_the_end_is_no_loss() -> None:
    consumer = ScriptedConsumer({}, kafka_errors.OffsetOutOfRangeError({P0: 3}))
    source = make_source(consumer, on_data_loss="earliest")
    consumer.give(P0)
    consumer.committed_offsets = {P0: committed_at_3_of(NEW)}
    source.poll(0.1, 10)
    assert source.poll(0.1, 10) == []
    assert consumer.sought == [("beginning", (P0,))]


def test_where_others_are_in_a_topic_recreated_reading_goes_on_and_where_they_were_in_the_old_one_it_begins() -> None:
    consumer = ScriptedConsumer({P0: records(5)}, {P0: records(6)})
    source = make_source(consumer, on_data_loss="earliest")
    consumer.give(P0, P1)
    source.poll(0.1, 10)
    consumer.known_topic_id = consumer.real_topic_id = NEW
    consumer.committed_offsets = {P0: committed_at_3_of(NEW), P1: committed_at_3_of(OLD)}
    assert source.poll(0.1, 10) == []
    assert sorted(consumer.sought) == [("beginning", (P1,)), ("offset 3", (P0,))]
    assert source.topic_id == NEW


@pytest.mark.parametrize("sign", [kafka_errors.OffsetOutOfRangeError, kafka_errors.LogTruncationError])
def test_records_are_lost_at_the_end_only_if_the_topic_is_the_same(sign: type[kafka_errors.KafkaError]) -> None:
    """A position out of range may be the first sign that the topic was recreated: then it is not skipped."""
    consumer = ScriptedConsumer({P0: records(5)}, sign({P0: 6}))
    source = make_source(consumer, on_data_loss="latest")
    consumer.give(P0)
    source.poll(0.1, 10)
    consumer.real_topic_id = NEW
    for _ in range(2):
        assert source.poll(0.1, 10) == []
    assert consumer.sought == [("beginning", (P0,))]


def test_a_topic_whose_id_nobody_tells_is_the_same() -> None:
    """Brokers that know it not for a moment, and old ones that have no ids."""
    consumer = ScriptedConsumer({P0: records(5)}, {}, {P0: records(6)})
    source = make_source(consumer)
    consumer.give(P0)
    source.poll(0.1, 10)
    consumer.known_topic_id = None
    source.poll(0.1, 10)
    consumer.known_topic_id = OLD
    assert len(source.poll(0.1, 10)) == 1


def test_while_reading_is_paused_brokers_are_asked_about_the_topic() -> None:
    """No fetch tells then that it was recreated."""
    consumer = ScriptedConsumer({P0: records(5)})
    source = make_source(consumer)
    consumer.give(P0)
    source.poll(0.1, 10)
    source.pause()
    consumer.real_topic_id = NEW
    with pytest.raises(DataLossError, match="recreated"):
        source.poll(0.1, 10)


def test_brokers_that_answer_nothing_are_told_with_the_reason_and_asked_and_nothing_is_known_of_the_lag() -> None:
    consumer = ScriptedConsumer()
    heard = ["<KafkaConnection>: Connection lost: ECONNREFUSED"]
    source = Source(consumer, StreamConfig(), heard=heard)
    consumer.give(P0)
    consumer.positions[P0] = 4
    assert source.lag() == {P0: 6}
    source._silence.lasts_s = lambda: SILENT_S + 1  # type: ignore[method-assign]
    consumer.known_topic_id, consumer.real_topic_id = OLD, NEW
    source._poll = lambda *_: {}  # type: ignore[method-assign]
    source.poll(0.1, 10)
    assert consumer.known_topic_id == NEW  # it was asked
    obstacle = source.obstacle()
    assert isinstance(obstacle, BrokersSilentError)
    assert "nothing listens there" in str(obstacle)
    assert source.lag() == {}


def test_what_keeps_us_from_reading_is_told() -> None:
    consumer = ScriptedConsumer()
    source = make_source(consumer)
    consumer.known_generation = -1
    assert isinstance(source.obstacle(), BrokerUnreachableError)
    consumer.known_generation = consumer.generation_id
    assert source.obstacle() is None
    consumer.known_topic_id = None
    assert isinstance(source.obstacle(), TopicMissingError)


def test_a_truncated_log_is_data_loss_too() -> None:
    """Records that were scored are gone, and others stand in their place."""
    with pytest.raises(DataLossError, match="truncated"):
        make_source(ScriptedConsumer(kafka_errors.LogTruncationError({P0: 5}))).poll(0.1, 10)


@pytest.mark.parametrize(
    ("error", "right"),
    [
        (kafka_errors.TopicAuthorizationFailedError({"battles"}), "Read on topic battles"),
        (kafka_errors.GroupAuthorizationFailedError("prefstream"), "Read on group prefstream"),
    ],
)
def test_a_denied_right_is_named(error: kafka_errors.KafkaError, right: str) -> None:
    with pytest.raises(NotAuthorizedError, match=right):
        make_source(ScriptedConsumer(error)).poll(0.1, 10)


@pytest.mark.parametrize("kind", kafka_error_classes(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_client_is_a_retry_or_one_of_ours(kind: type[kafka_errors.KafkaError]) -> None:
    """kafka-python may gain errors; none may end the process with a traceback, none that passes may end it at all."""
    consumer = ScriptedConsumer(kind({P0: 1}))
    stream_source = make_source(consumer)
    try:
        assert stream_source.poll(0.1, 10) == []
    except StreamError:
        assert not issubclass(kind, kafka_errors.RetriableError) or issubclass(
            kind, kafka_errors.AuthorizationError | kafka_errors.LogTruncationError
        )
    else:
        assert issubclass(kind, kafka_errors.RetriableError | kafka_errors.NoOffsetForPartitionError)


def test_under_another_member_id_nothing_read_before_is_ours_and_reading_starts_at_the_committed_offsets() -> None:
    """The coordinator had thrown us out: others may have read on, although nobody told the listener."""
    consumer = ScriptedConsumer({P0: records(5)}, {P0: records(6)}, {P0: records(3)})
    source = make_source(consumer)
    consumer.give(P0, P1)
    (before,) = source.poll(0.1, 10)
    consumer.member_id = "another"
    consumer.committed_offsets = {P0: AT_3}
    assert not source.membership().owns(before)
    assert source.poll(0.1, 10) == []
    assert sorted(consumer.sought) == [("beginning", (P1,)), ("offset 3", (P0,))]
    assert consumer.forgot == len(consumer.sought)
    assert not source.membership().owns(before)
    (after,) = source.poll(0.1, 10)
    assert source.membership().owns(after)


def test_reading_starts_again_once_we_are_back_in_the_group_and_not_before() -> None:
    """While we join, whoever has our partitions goes on; what is committed then is the place to begin."""
    consumer = ScriptedConsumer({P0: records(5)}, {}, {}, {P0: records(7)})
    source = make_source(consumer)
    consumer.give(P0)
    source.poll(0.1, 10)
    consumer.member_id, consumer.known_generation = "another", -1
    consumer.committed_offsets = {P0: AT_3}
    assert source.poll(0.1, 10) == []
    assert consumer.sought == []
    consumer.known_generation = consumer.generation_id
    consumer.committed_offsets = {P0: AT_3._replace(offset=7)}
    assert source.poll(0.1, 10) == []
    assert consumer.sought == [("offset 7", (P0,))]
    (event,) = source.poll(0.1, 10)
    assert source.membership().owns(event)


def test_what_is_read_in_the_first_moment_of_a_membership_is_ours_although_the_next_generation_has_begun() -> None:
    """Dropped as that of another name, it would be skipped: nobody reads it again."""
    consumer = ScriptedConsumer({P0: records(5)}, {})
    source = make_source(consumer)
    consumer.give(P0)
    consumer.known_generation = -1
    (event,) = source.poll(0.1, 10)
    assert source.membership().owns(event)
    assert not source.membership().joined
    consumer.known_generation = consumer.generation_id
    source.poll(0.1, 10)
    assert consumer.sought == []
    assert source.membership().owns(event)
    assert source.membership().joined


def test_a_coordinator_that_does_not_tell_whether_records_were_lost_is_asked_again_at_the_next_poll() -> None:
    """Whether the offset out of range is one of this topic can't be said without it."""
    out_of_range = kafka_errors.OffsetOutOfRangeError({P0: 3})
    consumer = ScriptedConsumer(out_of_range, out_of_range)
    stream_source = make_source(consumer)
    consumer.give(P0)
    consumer.committed_offsets = {P0: kafka_errors.KafkaTimeoutError()}
    assert stream_source.poll(0.1, 10) == []
    consumer.committed_offsets = {P0: AT_3}
    with pytest.raises(DataLossError, match="offset 3"):
        stream_source.poll(0.1, 10)


def test_until_the_committed_offsets_are_known_nothing_is_ours() -> None:
    consumer = ScriptedConsumer({P0: records(5)}, {P0: records(6)}, {P0: records(7)}, {P0: records(3)})
    stream_source = make_source(consumer)
    consumer.give(P0)
    stream_source.poll(0.1, 10)
    consumer.member_id = "another"
    consumer.committed_offsets = {P0: kafka_errors.KafkaTimeoutError()}
    assert stream_source.poll(0.1, 10) == []
    assert stream_source.membership().epochs == {}
    assert isinstance(stream_source.obstacle(), BrokerUnreachableError)
    consumer.committed_offsets = {P0: AT_3}
    assert stream_source.poll(0.1, 10) == []
    assert stream_source.obstacle() is None
    (event,) = stream_source.poll(0.1, 10)
    assert stream_source.membership().owns(event)


def test_while_out_of_the_group_nothing_is_ours() -> None:
    consumer = ScriptedConsumer({P0: records(5)})
    source = make_source(consumer)
    consumer.give(P0)
    (event,) = source.poll(0.1, 10)
    consumer.member_id = ""
    assert not source.membership().owns(event)


def test_in_a_rebalance_we_are_a_member_until_the_next_generation_and_again_once_its_assignment_is_known() -> None:
    """kafka-python has the new generation before it tells what is ours: another member may have our partition in it."""
    consumer = ScriptedConsumer({P0: records(5)})
    source = make_source(consumer)
    consumer.give(P0)
    (event,) = source.poll(0.1, 10)
    assert source.membership().joined
    consumer.generation_id, consumer.known_generation = consumer.generation_id + 1, -1
    assert not source.membership().joined
    assert source.membership().owns(event)  # as far as we know: it is kept
    consumer.known_generation = consumer.generation_id
    assert source.membership().joined


def test_while_paused_new_partitions_are_held_back_too() -> None:
    consumer = ScriptedConsumer()
    source = make_source(consumer)
    consumer.give(P0)
    source.pause()
    source.poll(0, 1)
    consumer.give(P1)
    source.poll(0, 1)
    assert consumer.held == {P0, P1}
    source.resume()
    assert consumer.held == set()


def test_a_member_polls_as_long_as_it_is_asked_to() -> None:
    consumer = ScriptedConsumer()
    make_source(consumer).poll(0.01, 1)
    assert consumer.timeouts_ms == [10]


@pytest.mark.parametrize(
    ("committed", "note"),
    [
        (None, OffsetMetadata()),
        (OffsetAndMetadata(3, OffsetMetadata(OLD, 5).encode(), -1), OffsetMetadata(OLD, 5)),
        (OffsetAndMetadata(3, None, -1), OffsetMetadata()),
    ],
)
def test_the_note_is_what_was_committed_with_the_offset(
    committed: OffsetAndMetadata | None, note: OffsetMetadata
) -> None:
    consumer = ScriptedConsumer()
    consumer.committed_offsets = {P0: committed}
    assert make_source(consumer).committed_metadata(P0) == note


@pytest.mark.parametrize("kind", kafka_error_classes(), ids=lambda kind: kind.__name__)
def test_a_note_that_can_not_be_had_is_unreachable_for_now_or_an_error_of_ours(
    kind: type[kafka_errors.KafkaError],
) -> None:
    """Only what passes may be asked again."""
    consumer = ScriptedConsumer()
    consumer.committed_offsets = {P0: kind({P0: 1})}
    with pytest.raises(StreamError) as error:
        make_source(consumer).committed_metadata(P0)
    if type(error.value) is BrokerUnreachableError:
        assert issubclass(kind, kafka_errors.RetriableError | kafka_errors.NoOffsetForPartitionError)


def test_lag_is_told_for_partitions_of_which_the_end_is_known() -> None:
    consumer = ScriptedConsumer()
    source = make_source(consumer)
    consumer.give(P0, P1)
    consumer.positions = {P0: 4, P1: 4}
    assert source.lag() == {P0: 6}


def test_lag_counts_from_what_is_committed_once_that_is_known() -> None:
    """As for any other client that asks: what is read and not answered yet is behind."""
    consumer = ScriptedConsumer()
    source = make_source(consumer)
    consumer.give(P0)
    consumer.positions = {P0: 4}
    consumer.committed_offsets = {P0: AT_3}
    source.committed.of(P0)
    assert source.lag() == {P0: 7}


def test_a_lag_that_can_not_be_known_now_is_left_out() -> None:
    """Just after a rebalance the client has no positions; metrics must not end the stream."""
    consumer = ScriptedConsumer()
    source = make_source(consumer)
    consumer.give(P0)
    assert source.lag() == {}


def test_a_broker_that_does_not_tell_about_the_topic_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_client, "PATIENCE_S", 0)

    class Mute(ScriptedConsumer):
        def partitions_for_topic(self, topic: str) -> set[int]:
            raise kafka_errors.KafkaTimeoutError

    with pytest.raises(BrokerUnreachableError, match="battles"):
        make_source(Mute())
