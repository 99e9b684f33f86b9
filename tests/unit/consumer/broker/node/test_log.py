"""A partition's log: order, duplicates, transactions, isolation, deletion and who is woken."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from prefstream.consumer.broker.node.batch import RecordBatch, parse_produced
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.log import PartitionLog

MakeBatch = Callable[..., RecordBatch]
PRODUCER = 7


@pytest.fixture
def log() -> PartitionLog:
    return PartitionLog()


def offsets_read(log: PartitionLog, offset: int = 0, *, read_committed: bool = False) -> list[int]:
    """Offsets of the records a client would be shown, control records and aborted ones left out."""
    found = log.read(offset, max_bytes=1 << 30, read_committed=read_committed)
    shown = []
    for data in found.batches:
        batch = DefaultRecordBatch(data)
        hidden = batch.is_control_batch or any(
            entry.producer_id == batch.producer_id and entry.first_offset <= batch.base_offset < entry.marker_offset
            for entry in found.aborted
        )
        if not hidden:
            shown += [record.offset for record in batch if record.offset >= offset]
    return shown


def end(log: PartitionLog, *, commit: bool, producer_id: int = PRODUCER, epoch: int = 0) -> None:
    log.end_transaction(producer_id=producer_id, producer_epoch=epoch, commit=commit, timestamp_ms=0)


def refusal(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(RequestRefusedError) as caught:
        call()
    return caught.value.code


# --- appending


def test_offsets_follow_one_another(log: PartitionLog, make_batch: MakeBatch) -> None:
    assert [log.append(make_batch(n)) for n in (1, 3, 2)] == [0, 1, 4]
    assert log.end_offset == 6
    assert offsets_read(log) == [0, 1, 2, 3, 4, 5]


def test_a_repeated_batch_gets_its_first_offset_and_is_stored_once(log: PartitionLog, make_batch: MakeBatch) -> None:
    batches = [make_batch(2, producer_id=PRODUCER, epoch=0, sequence=2 * i) for i in range(5)]
    assert [log.append(batch) for batch in batches] == [0, 2, 4, 6, 8]
    assert [log.append(batch) for batch in batches] == [0, 2, 4, 6, 8]
    assert log.end_offset == 10


def test_a_repetition_of_more_than_five_batches_ago_is_out_of_order(log: PartitionLog, make_batch: MakeBatch) -> None:
    batches = [make_batch(producer_id=PRODUCER, epoch=0, sequence=i) for i in range(6)]
    for batch in batches:
        log.append(batch)
    assert refusal(lambda: log.append(batches[0])) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_gap_is_out_of_order(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch(producer_id=PRODUCER, epoch=0, sequence=0))
    gap = make_batch(producer_id=PRODUCER, epoch=0, sequence=2)
    assert refusal(lambda: log.append(gap)) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert log.end_offset == 1


def test_sequences_go_on_at_zero_after_the_largest(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch(producer_id=PRODUCER, epoch=0, sequence=2**31 - 1))
    assert log.append(make_batch(producer_id=PRODUCER, epoch=0, sequence=0)) == 1


def test_a_new_epoch_starts_at_zero_and_fences_the_old_one(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch(producer_id=PRODUCER, epoch=0, sequence=0))
    wrong_start = make_batch(producer_id=PRODUCER, epoch=1, sequence=1)
    assert refusal(lambda: log.append(wrong_start)) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    log.append(make_batch(producer_id=PRODUCER, epoch=1, sequence=0))
    late = make_batch(producer_id=PRODUCER, epoch=0, sequence=1)
    assert refusal(lambda: log.append(late)) is ErrorCode.INVALID_PRODUCER_EPOCH


def test_an_unknown_producer_may_start_anywhere(log: PartitionLog, make_batch: MakeBatch) -> None:
    """Its earlier records may have been deleted."""
    assert log.append(make_batch(producer_id=PRODUCER, epoch=0, sequence=17)) == 0


# --- transactions


def test_read_committed_stops_at_the_oldest_open_transaction(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch(2))
    log.append(make_batch(2, producer_id=PRODUCER, epoch=0, sequence=0, transactional=True))
    log.append(make_batch(2))
    assert log.last_stable_offset == 2
    assert offsets_read(log, read_committed=True) == [0, 1]
    assert offsets_read(log) == [0, 1, 2, 3, 4, 5]
    end(log, commit=True)
    assert log.last_stable_offset == log.end_offset == 7
    assert offsets_read(log, read_committed=True) == [0, 1, 2, 3, 4, 5]


def test_aborted_records_are_named_to_read_committed_only(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch(2, producer_id=PRODUCER, epoch=0, sequence=0, transactional=True))
    end(log, commit=False)
    log.append(make_batch(1))
    assert offsets_read(log, read_committed=True) == [3]
    assert log.read(0, max_bytes=1 << 20, read_committed=False).aborted == []


def test_only_aborted_transactions_that_touch_the_slice_are_named(log: PartitionLog, make_batch: MakeBatch) -> None:
    for sequence in range(3):
        log.append(make_batch(producer_id=PRODUCER, epoch=0, sequence=sequence, transactional=True))
        end(log, commit=False)
    one_batch = log.read(2, max_bytes=1, read_committed=True, at_least_one=True)
    assert [entry.first_offset for entry in one_batch.aborted] == [2]


def test_the_stable_offset_waits_for_every_transaction(log: PartitionLog, make_batch: MakeBatch) -> None:
    for producer_id in (1, 2):
        log.append(make_batch(producer_id=producer_id, epoch=0, sequence=0, transactional=True))
    end(log, commit=True, producer_id=2)
    assert log.last_stable_offset == 0
    end(log, commit=True, producer_id=1)
    assert log.last_stable_offset == log.end_offset


def test_a_marker_of_a_newer_epoch_fences_late_batches(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch(producer_id=PRODUCER, epoch=0, sequence=0, transactional=True))
    end(log, commit=False, epoch=1)
    late = make_batch(producer_id=PRODUCER, epoch=0, sequence=1, transactional=True)
    assert refusal(lambda: log.append(late)) is ErrorCode.INVALID_PRODUCER_EPOCH


def test_a_producers_sequence_goes_on_after_its_transaction(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch(producer_id=PRODUCER, epoch=0, sequence=0, transactional=True))
    end(log, commit=True)
    assert log.append(make_batch(producer_id=PRODUCER, epoch=0, sequence=1, transactional=True)) == 2


# --- reading


def test_reading_starts_with_the_batch_that_holds_the_offset(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch(3))
    log.append(make_batch(3))
    assert len(log.read(2, max_bytes=1 << 20, read_committed=False).batches) == 2
    assert len(log.read(3, max_bytes=1 << 20, read_committed=False).batches) == 1


def test_reading_at_the_end_finds_nothing(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch())
    assert log.read(1, max_bytes=1 << 20, read_committed=False).batches == []


@pytest.mark.parametrize("offset", [-1, 2])
def test_reading_outside_the_log_is_refused(log: PartitionLog, make_batch: MakeBatch, offset: int) -> None:
    log.append(make_batch())
    read = lambda: log.read(offset, max_bytes=1, read_committed=False)  # noqa: E731
    assert refusal(read) is ErrorCode.OFFSET_OUT_OF_RANGE


def test_reading_stops_before_the_limit(log: PartitionLog, make_batch: MakeBatch) -> None:
    for _ in range(3):
        log.append(make_batch())
    size = len(make_batch().data)
    assert log.read(0, max_bytes=2 * size, read_committed=False).size_bytes == 2 * size
    assert log.read(0, max_bytes=2 * size - 1, read_committed=False).size_bytes == size


def test_a_large_batch_is_read_only_if_one_is_owed(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch())
    assert log.read(0, max_bytes=1, read_committed=False).batches == []
    assert len(log.read(0, max_bytes=1, read_committed=False, at_least_one=True).batches) == 1


def test_finds_offsets_by_timestamp(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch(2, timestamps=[100, 110]))
    log.append(make_batch(2, timestamps=[50, 60]))
    log.append(make_batch(2, timestamps=[200, 210]))
    assert log.find_offset_at(0) == (0, 100)
    assert log.find_offset_at(105) == (1, 110)
    assert log.find_offset_at(150) == (4, 200)
    assert log.find_offset_at(211) is None
    assert log.find_newest() == (5, 210)


def test_an_empty_log_has_no_newest_record(log: PartitionLog) -> None:
    assert log.find_newest() is None


# --- deleting


def test_deleting_moves_the_start(log: PartitionLog, make_batch: MakeBatch) -> None:
    for _ in range(3):
        log.append(make_batch(2))
    log.delete_before(3)
    assert log.start_offset == 3
    assert refusal(lambda: offsets_read(log, 2)) is ErrorCode.OFFSET_OUT_OF_RANGE
    assert offsets_read(log, 3) == [3, 4, 5]
    assert log.append(make_batch()) == 6


def test_deleting_never_moves_the_start_back(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch(4))
    log.delete_before(3)
    log.delete_before(1)
    assert log.start_offset == 3


@pytest.mark.parametrize("offset", [-1, 3])
def test_deleting_outside_the_log_is_refused(log: PartitionLog, make_batch: MakeBatch, offset: int) -> None:
    log.append(make_batch(2))
    assert refusal(lambda: log.delete_before(offset)) is ErrorCode.OFFSET_OUT_OF_RANGE


def test_timestamps_of_deleted_records_are_forgotten(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch(timestamps=[1000]))
    log.append(make_batch(timestamps=[500]))
    log.delete_before(1)
    assert log.find_offset_at(600) is None
    assert log.find_offset_at(400) == (1, 500)


# --- waking


def test_each_append_wakes_a_read_uncommitted_reader(log: PartitionLog, make_batch: MakeBatch) -> None:
    woken: list[str] = []
    listener = lambda: woken.append("x")  # noqa: E731
    log.subscribe(listener, read_committed=False)
    log.append(make_batch(producer_id=PRODUCER, epoch=0, sequence=0, transactional=True))
    assert woken == ["x"]
    log.unsubscribe(listener, read_committed=False)
    log.append(make_batch())
    assert woken == ["x"]


def test_an_open_transaction_wakes_no_read_committed_reader(log: PartitionLog, make_batch: MakeBatch) -> None:
    woken: list[str] = []
    log.subscribe(lambda: woken.append("x"), read_committed=True)
    log.append(make_batch(producer_id=PRODUCER, epoch=0, sequence=0, transactional=True))
    log.append(make_batch())
    assert woken == []
    end(log, commit=True)
    assert woken == ["x"]


def test_a_repetition_wakes_nobody(log: PartitionLog, make_batch: MakeBatch) -> None:
    batch = make_batch(producer_id=PRODUCER, epoch=0, sequence=0)
    log.append(batch)
    woken: list[str] = []
    log.subscribe(lambda: woken.append("x"), read_committed=False)
    log.append(batch)
    assert woken == []


def test_batches_go_whole_once_all_their_records_are_old(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch(2, timestamps=[10, 20]))
    log.append(make_batch(2, timestamps=[10, 40]))
    log.append(make_batch(1, timestamps=[5]))
    log.delete_older_than(20)
    assert log.start_offset == 0
    log.delete_older_than(30)
    assert log.start_offset == 2
    log.delete_older_than(50)
    assert (log.start_offset, log.end_offset) == (5, 5)


def test_what_was_deleted_of_an_open_transaction_holds_no_reader_up(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch(2, producer_id=PRODUCER, epoch=0, sequence=0, transactional=True))
    log.delete_before(1)
    assert log.last_stable_offset == 1
    log.delete_before(2)
    assert log.last_stable_offset == 2


def test_the_last_record_may_go_and_only_the_abort_stay(log: PartitionLog, make_batch: MakeBatch) -> None:
    log.append(make_batch(2, producer_id=PRODUCER, epoch=0, sequence=0, transactional=True))
    end(log, commit=False)
    log.delete_before(1)
    assert offsets_read(log, 1, read_committed=True) == []
    log.delete_before(3)
    assert (log.start_offset, log.last_stable_offset) == (3, 3)


# --- a model


STEPS = st.lists(st.tuples(st.sampled_from(["append", "commit", "abort", "plain"]), st.integers(1, 3)), max_size=40)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, start=st.integers(0, 60))
def test_read_committed_shows_exactly_the_committed_records_below_the_stable_offset(
    steps: list[tuple[str, int]], start: int
) -> None:
    log = PartitionLog()
    sequences = dict.fromkeys((1, 2, 3), 0)
    open_records: dict[int, list[int]] = {}
    committed: list[int] = []
    for action, producer_id in steps:
        if action == "plain":
            committed.append(log.append(_one_record()))
        elif action == "append":
            offset = log.append(_one_record(producer_id, sequences[producer_id]))
            sequences[producer_id] += 1
            open_records.setdefault(producer_id, []).append(offset)
        elif producer_id in open_records:
            end(log, commit=action == "commit", producer_id=producer_id)
            records = open_records.pop(producer_id)
            committed += records if action == "commit" else []
    stable = min((records[0] for records in open_records.values()), default=log.end_offset)
    assert log.last_stable_offset == stable
    start = min(start, log.end_offset)
    expected = sorted(offset for offset in committed if start <= offset < stable)
    assert offsets_read(log, start, read_committed=True) == expected


def _one_record(producer_id: int = -1, sequence: int = -1) -> RecordBatch:
    epoch = 0 if producer_id >= 0 else -1
    builder = DefaultRecordBatchBuilder(2, 0, producer_id >= 0, producer_id, epoch, sequence, 1 << 20)
    builder.append(0, 1000, None, b"v", [])
    return parse_produced(builder.build())
