"""The transaction coordinator: ownership, fencing, ends, retries and time-outs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prefstream.consumer.broker.node.clock import ManualClock
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.offsets import TopicPartition
from prefstream.consumer.broker.node.transactions import ProducerIdentity, TransactionCoordinator, TransactionState

ID = "writer"
TP = ("topic", 0)


class Effects:
    """Writes down what the ends of transactions do."""

    def __init__(self) -> None:
        self.markers: list[tuple[TopicPartition, int, bool]] = []
        self.groups: list[tuple[str, bool]] = []

    def write_marker(self, partition: TopicPartition, *, producer_id: int, producer_epoch: int, commit: bool) -> None:
        del producer_id
        self.markers.append((partition, producer_epoch, commit))

    def settle_offsets(self, group_id: str, *, producer_id: int, commit: bool) -> None:
        del producer_id
        self.groups.append((group_id, commit))


@pytest.fixture
def effects() -> Effects:
    return Effects()


@pytest.fixture
def transactions(clock: ManualClock, effects: Effects) -> TransactionCoordinator:
    return TransactionCoordinator(clock, effects, max_timeout_ms=60_000)


def refusal(call: Callable[[], object]) -> ErrorCode:
    with pytest.raises(RequestRefusedError) as caught:
        call()
    return caught.value.code


def test_idempotent_producers_get_ids_of_their_own(transactions: TransactionCoordinator) -> None:
    first, second = transactions.init_idempotent(), transactions.init_idempotent()
    assert first.producer_id != second.producer_id
    assert first.epoch == second.epoch == 0


def test_a_returning_transactional_id_keeps_its_producer_id_and_raises_the_epoch(
    transactions: TransactionCoordinator,
) -> None:
    first = transactions.init_producer(ID, 1000)
    second = transactions.init_producer(ID, 1000)
    assert first.epoch == 0
    assert second == ProducerIdentity(first.producer_id, 1)


@pytest.mark.parametrize("timeout_ms", [0, -1, 60_001])
def test_a_timeout_out_of_bounds_is_refused(transactions: TransactionCoordinator, timeout_ms: int) -> None:
    code = refusal(lambda: transactions.init_producer(ID, timeout_ms))
    assert code is ErrorCode.INVALID_TRANSACTION_TIMEOUT


def test_an_empty_transactional_id_is_refused(transactions: TransactionCoordinator) -> None:
    assert refusal(lambda: transactions.init_producer("", 1000)) is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("commit", [True, False])
def test_the_end_reaches_all_partitions_and_groups(
    transactions: TransactionCoordinator, effects: Effects, *, commit: bool
) -> None:
    me = transactions.init_producer(ID, 1000)
    transactions.add_partitions(ID, me, [("b", 1), ("a", 0)])
    transactions.add_group(ID, me, "readers")
    transactions.end(ID, me, commit=commit)
    assert effects.markers == [(("a", 0), 0, commit), (("b", 1), 0, commit)]
    assert effects.groups == [("readers", commit)]
    outcome = TransactionState.COMPLETE_COMMIT if commit else TransactionState.COMPLETE_ABORT
    assert transactions.state(ID) is outcome


@pytest.mark.parametrize("commit", [True, False])
def test_the_same_end_again_succeeds_without_effect(
    transactions: TransactionCoordinator, effects: Effects, *, commit: bool
) -> None:
    me = transactions.init_producer(ID, 1000)
    transactions.add_partitions(ID, me, [TP])
    transactions.end(ID, me, commit=commit)
    transactions.end(ID, me, commit=commit)
    assert len(effects.markers) == 1


@pytest.mark.parametrize("commit", [True, False])
def test_the_opposite_end_afterwards_is_refused(transactions: TransactionCoordinator, *, commit: bool) -> None:
    me = transactions.init_producer(ID, 1000)
    transactions.add_partitions(ID, me, [TP])
    transactions.end(ID, me, commit=commit)
    assert refusal(lambda: transactions.end(ID, me, commit=not commit)) is ErrorCode.INVALID_TXN_STATE


def test_ending_what_never_began_is_refused(transactions: TransactionCoordinator) -> None:
    me = transactions.init_producer(ID, 1000)
    assert refusal(lambda: transactions.end(ID, me, commit=True)) is ErrorCode.INVALID_TXN_STATE


def test_a_successor_aborts_and_fences(transactions: TransactionCoordinator, effects: Effects) -> None:
    old = transactions.init_producer(ID, 1000)
    transactions.add_partitions(ID, old, [TP])
    new = transactions.init_producer(ID, 1000)
    assert effects.markers == [(TP, old.epoch + 1, False)]
    assert new.epoch == old.epoch + 2
    for call in (
        lambda: transactions.add_partitions(ID, old, [TP]),
        lambda: transactions.add_group(ID, old, "g"),
        lambda: transactions.end(ID, old, commit=True),
    ):
        assert refusal(call) is ErrorCode.PRODUCER_FENCED
    assert refusal(lambda: transactions.check_write(ID, old, TP)) is ErrorCode.INVALID_PRODUCER_EPOCH
    assert refusal(lambda: transactions.check_offsets(ID, old, "g")) is ErrorCode.INVALID_PRODUCER_EPOCH


def test_a_strange_producer_id_is_refused(transactions: TransactionCoordinator) -> None:
    me = transactions.init_producer(ID, 1000)
    stranger = ProducerIdentity(me.producer_id + 1, me.epoch)
    code = refusal(lambda: transactions.add_partitions(ID, stranger, [TP]))
    assert code is ErrorCode.INVALID_PRODUCER_ID_MAPPING
    assert refusal(lambda: transactions.end("other", me, commit=True)) is ErrorCode.INVALID_PRODUCER_ID_MAPPING


def test_writing_needs_the_partition_to_be_added(transactions: TransactionCoordinator) -> None:
    me = transactions.init_producer(ID, 1000)
    assert refusal(lambda: transactions.check_write(ID, me, TP)) is ErrorCode.INVALID_TXN_STATE
    transactions.add_partitions(ID, me, [TP])
    transactions.check_write(ID, me, TP)
    assert refusal(lambda: transactions.check_write(ID, me, ("topic", 1))) is ErrorCode.INVALID_TXN_STATE
    transactions.end(ID, me, commit=True)
    assert refusal(lambda: transactions.check_write(ID, me, TP)) is ErrorCode.INVALID_TXN_STATE


def test_offsets_need_the_group_to_be_added(transactions: TransactionCoordinator) -> None:
    me = transactions.init_producer(ID, 1000)
    assert refusal(lambda: transactions.check_offsets(ID, me, "g")) is ErrorCode.INVALID_TXN_STATE
    transactions.add_group(ID, me, "g")
    transactions.check_offsets(ID, me, "g")


def test_a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced(
    transactions: TransactionCoordinator, effects: Effects, clock: ManualClock
) -> None:
    me = transactions.init_producer(ID, 1000)
    clock.advance(5)
    transactions.add_partitions(ID, me, [TP])
    clock.advance(1)
    transactions.expire()
    assert effects.markers == []
    clock.advance(0.001)
    transactions.expire()
    assert effects.markers == [(TP, me.epoch + 1, False)]
    assert refusal(lambda: transactions.end(ID, me, commit=True)) is ErrorCode.PRODUCER_FENCED


def test_time_counts_from_the_first_partition_only(
    transactions: TransactionCoordinator, effects: Effects, clock: ManualClock
) -> None:
    me = transactions.init_producer(ID, 1000)
    transactions.add_partitions(ID, me, [TP])
    clock.advance(0.9)
    transactions.add_partitions(ID, me, [("topic", 1)])
    clock.advance(0.2)
    transactions.expire()
    assert len(effects.markers) == 2


def test_a_recovering_producer_raises_its_own_epoch(transactions: TransactionCoordinator) -> None:
    me = transactions.init_producer(ID, 1000)
    recovered = transactions.init_producer(ID, 1000, me)
    assert recovered.epoch == me.epoch + 1


def test_a_recovery_whose_response_was_lost_gets_the_same_epoch_again(
    transactions: TransactionCoordinator,
) -> None:
    me = transactions.init_producer(ID, 1000)
    recovered = transactions.init_producer(ID, 1000, me)
    assert transactions.init_producer(ID, 1000, me) == recovered


def test_a_fenced_producer_can_not_recover(transactions: TransactionCoordinator) -> None:
    me = transactions.init_producer(ID, 1000)
    transactions.init_producer(ID, 1000)
    assert refusal(lambda: transactions.init_producer(ID, 1000, me)) is ErrorCode.PRODUCER_FENCED


def test_an_exhausted_epoch_brings_a_new_producer_id(transactions: TransactionCoordinator) -> None:
    first = identity = transactions.init_producer(ID, 1000)
    while identity.producer_id == first.producer_id:
        last, identity = identity, transactions.init_producer(ID, 1000)
    assert last.epoch == 32_766
    assert identity.epoch == 0
