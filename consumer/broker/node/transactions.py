"""The transaction coordinator: who may write under a transactional id, and how a transaction ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from prefstream.consumer.broker.node.clock import Clock
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.offsets import TopicPartition

# Epochs are int16; Kafka keeps the last one back for fencing.
_LAST_EPOCH: Final = 32_766
_NO_EPOCH: Final = -1


class TransactionState(StrEnum):
    """Where a transactional id stands. Markers are written at once here, so nothing is ever "preparing"."""

    EMPTY = "Empty"
    ONGOING = "Ongoing"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"


class TransactionEffects(Protocol):
    """What the end of a transaction does to logs and groups."""

    def write_marker(self, partition: TopicPartition, *, producer_id: int, producer_epoch: int, commit: bool) -> None:
        """Write the marker that ends the transaction on one partition."""

    def settle_offsets(self, group_id: str, *, producer_id: int, commit: bool) -> None:
        """Publish or forget the offsets that the transaction would commit for one group."""


@dataclass(frozen=True, slots=True)
class ProducerIdentity:
    """Producer id and epoch: the newest epoch of an id is the only one that may write."""

    producer_id: int
    epoch: int


NO_IDENTITY: Final = ProducerIdentity(-1, _NO_EPOCH)


@dataclass(slots=True)
class _Transaction:
    """One transactional id and its current transaction."""

    producer_id: int
    timeout_ms: int
    epoch: int = _NO_EPOCH
    # The epoch before the last one handed out: a producer whose response was lost asks with it again.
    previous_epoch: int = _NO_EPOCH
    state: TransactionState = TransactionState.EMPTY
    started_s: float = 0.0
    partitions: set[TopicPartition] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)


class TransactionCoordinator:
    """State of all transactional ids. Raises `RequestRefusedError` with the code that the client gets.

    The promise: of all producers with one transactional id only the latest can write or commit, and every
    transaction ends, by its producer, by its successor or by its time-out.
    """

    def __init__(self, clock: Clock, effects: TransactionEffects, *, max_timeout_ms: int) -> None:
        self._clock = clock
        self._effects = effects
        self._max_timeout_ms = max_timeout_ms
        self._transactions: dict[str, _Transaction] = {}
        self._last_producer_id = 999

    def state(self, transactional_id: str) -> TransactionState | None:
        """State of a transactional id; None if it was never used."""
        transaction = self._transactions.get(transactional_id)
        return None if transaction is None else transaction.state

    def init_idempotent(self) -> ProducerIdentity:
        """An identity for a producer without transactions."""
        return ProducerIdentity(self._next_producer_id(), 0)

    def init_producer(
        self, transactional_id: str, timeout_ms: int, known: ProducerIdentity = NO_IDENTITY
    ) -> ProducerIdentity:
        """Make the caller the one producer of a transactional id, fencing its predecessor.

        Args:
            transactional_id: stable name of the producer.
            timeout_ms: after how long its transactions are aborted.
            known: the identity the caller has already, if it recovers from an error.
        """
        if not transactional_id:
            raise RequestRefusedError(ErrorCode.INVALID_REQUEST, "empty transactional id")
        if not 0 < timeout_ms <= self._max_timeout_ms:
            raise RequestRefusedError(
                ErrorCode.INVALID_TRANSACTION_TIMEOUT,
                f"transaction time-out of {timeout_ms} ms: must be 1 to {self._max_timeout_ms}",
            )
        transaction = self._transactions.get(transactional_id)
        if transaction is None:
            transaction = _Transaction(self._next_producer_id(), timeout_ms)
            self._transactions[transactional_id] = transaction
        self._check_recovering(transaction, known)
        recovering = known != NO_IDENTITY
        # The epoch was raised for this caller before: it never saw the response, or its transaction timed out.
        raised = recovering and known.epoch == transaction.previous_epoch
        if transaction.state is TransactionState.ONGOING and not raised:
            self._abort_fencing(transaction)
            raised = recovering
        if not raised:
            self._bump_epoch(transaction, previous_epoch=transaction.epoch if recovering else _NO_EPOCH)
        if transaction.state is not TransactionState.ONGOING:
            transaction.state = TransactionState.EMPTY
        transaction.timeout_ms = timeout_ms
        return ProducerIdentity(transaction.producer_id, transaction.epoch)

    def add_partitions(
        self, transactional_id: str, identity: ProducerIdentity, partitions: Iterable[TopicPartition]
    ) -> None:
        """Make partitions part of the transaction; the first ones begin it."""
        transaction = self._owned(transactional_id, identity)
        self._begin(transaction)
        transaction.partitions.update(partitions)

    def add_group(self, transactional_id: str, identity: ProducerIdentity, group_id: str) -> None:
        """Make a group's offsets part of the transaction."""
        transaction = self._owned(transactional_id, identity)
        self._begin(transaction)
        transaction.groups.add(group_id)

    def check_write(self, transactional_id: str, identity: ProducerIdentity, partition: TopicPartition) -> None:
        """Allow a transactional batch only into a partition that is part of the open transaction."""
        transaction = self._writable(transactional_id, identity)
        if transaction.state is not TransactionState.ONGOING or partition not in transaction.partitions:
            raise RequestRefusedError(
                ErrorCode.INVALID_TXN_STATE, f"{partition[0]}/{partition[1]} is not part of the transaction"
            )

    def check_offsets(self, transactional_id: str, identity: ProducerIdentity, group_id: str) -> None:
        """Allow transactional offsets only for a group that is part of the open transaction."""
        transaction = self._writable(transactional_id, identity)
        if transaction.state is not TransactionState.ONGOING or group_id not in transaction.groups:
            raise RequestRefusedError(ErrorCode.INVALID_TXN_STATE, f"group {group_id} is not part of the transaction")

    def end(self, transactional_id: str, identity: ProducerIdentity, *, commit: bool) -> None:
        """Commit or abort the open transaction.

        A client that lost the response asks again: the same wish for a transaction that has ended that way
        succeeds, the opposite one is refused.
        """
        transaction = self._owned(transactional_id, identity)
        outcome = TransactionState.COMPLETE_COMMIT if commit else TransactionState.COMPLETE_ABORT
        if transaction.state is TransactionState.ONGOING:
            self._finish(transaction, commit=commit)
        elif transaction.state is not outcome:
            raise RequestRefusedError(
                ErrorCode.INVALID_TXN_STATE,
                f"cannot {'commit' if commit else 'abort'}: the transaction's state is {transaction.state}",
            )

    def expire(self) -> None:
        """Abort transactions that outlived their time-out, and fence their producers."""
        now = self._clock.monotonic_s()
        for transaction in self._transactions.values():
            if (
                transaction.state is TransactionState.ONGOING
                and now - transaction.started_s > transaction.timeout_ms / 1000
            ):
                self._abort_fencing(transaction)

    def _owned(self, transactional_id: str, identity: ProducerIdentity) -> _Transaction:
        """The transaction of an id, if `identity` is its current producer."""
        if not transactional_id:
            raise RequestRefusedError(ErrorCode.INVALID_REQUEST, "empty transactional id")
        transaction = self._transactions.get(transactional_id)
        if transaction is None or transaction.producer_id != identity.producer_id:
            raise RequestRefusedError(
                ErrorCode.INVALID_PRODUCER_ID_MAPPING,
                f"transactional id {transactional_id} doesn't belong to producer {identity.producer_id}",
            )
        if transaction.epoch != identity.epoch:
            raise RequestRefusedError(
                ErrorCode.PRODUCER_FENCED,
                f"{transactional_id} is fenced: epoch {identity.epoch}, newest {transaction.epoch}",
            )
        return transaction

    def _writable(self, transactional_id: str, identity: ProducerIdentity) -> _Transaction:
        """As `_owned`, but where data is written a fenced producer hears of its epoch."""
        try:
            return self._owned(transactional_id, identity)
        except RequestRefusedError as refusal:
            if refusal.code is ErrorCode.PRODUCER_FENCED:
                raise RequestRefusedError(ErrorCode.INVALID_PRODUCER_EPOCH, str(refusal)) from refusal
            raise

    def _check_recovering(self, transaction: _Transaction, known: ProducerIdentity) -> None:
        """Refuse a producer that recovers with an identity that is no longer the current one."""
        if known == NO_IDENTITY or transaction.epoch == _NO_EPOCH:
            return
        current = known.producer_id == transaction.producer_id and known.epoch in {
            transaction.epoch,
            transaction.previous_epoch,
        }
        if not current:
            raise RequestRefusedError(
                ErrorCode.PRODUCER_FENCED,
                f"producer {known.producer_id} with epoch {known.epoch} is fenced: another one took over",
            )

    def _begin(self, transaction: _Transaction) -> None:
        if transaction.state is not TransactionState.ONGOING:
            transaction.state = TransactionState.ONGOING
            transaction.started_s = self._clock.monotonic_s()

    def _abort_fencing(self, transaction: _Transaction) -> None:
        """Abort with a marker of a new epoch, so that late batches of the old one are refused."""
        transaction.previous_epoch = transaction.epoch
        transaction.epoch += 1
        self._finish(transaction, commit=False)

    def _finish(self, transaction: _Transaction, *, commit: bool) -> None:
        for partition in sorted(transaction.partitions):
            self._effects.write_marker(
                partition,
                producer_id=transaction.producer_id,
                producer_epoch=transaction.epoch,
                commit=commit,
            )
        for group_id in sorted(transaction.groups):
            self._effects.settle_offsets(group_id, producer_id=transaction.producer_id, commit=commit)
        transaction.partitions.clear()
        transaction.groups.clear()
        transaction.state = TransactionState.COMPLETE_COMMIT if commit else TransactionState.COMPLETE_ABORT

    def _bump_epoch(self, transaction: _Transaction, *, previous_epoch: int) -> None:
        if transaction.epoch >= _LAST_EPOCH:
            transaction.producer_id = self._next_producer_id()
            transaction.epoch = 0
            transaction.previous_epoch = _NO_EPOCH
        else:
            transaction.epoch += 1
            transaction.previous_epoch = previous_epoch

    def _next_producer_id(self) -> int:
        self._last_producer_id += 1
        return self._last_producer_id
