"""Sends dead letters back to the topic they came from, and remembers which, so that none is sent twice unasked.

What was sent is remembered where Kafka itself can tie it to the sending: in the committed offsets of a consumer
group, which move in the same transaction as the records. A committed offset says "everything before is sent"; the
offsets beyond it that were sent as well (one reason may be retried before another) stand in its metadata. So the
group's lag is what was never retried, and resetting its offsets with any of Kafka's tools forgets what was sent.

One transactional id per group: of two retries at the same time the later one fences the earlier.
"""

from __future__ import annotations

import signal
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import Final

from prefstream.consumer.client.acl import acls_of, may_commit, may_publish
from prefstream.consumer.client.clients import admin_client, make_consumer, make_producer
from prefstream.consumer.client.kafka_errors import KafkaTimeoutError, Meaning, Translator
from prefstream.consumer.client.offsets import OFFSETS_TIMEOUT_MS
from prefstream.consumer.client.protocols import Consumer, OffsetAndMetadata, TopicPartition
from prefstream.consumer.client.topics import find_partitions, require_topic
from prefstream.consumer.client.transaction import AbortedError, Transaction, Transactions, UnsettledError
from prefstream.consumer.client.watchdog import Watchdog
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.dead_letters.ledger import Ledger
from prefstream.consumer.dead_letters.plan import Choice, PlannedRetry, Planner, RetryPlan
from prefstream.consumer.dead_letters.reader import (
    DeadLetter,
    RecordPosition,
    read_dead_letters,
    read_positions,
    reading,
    refuse_missing,
)
from prefstream.consumer.errors import StreamError, TransactionFailedError, UsageError
from prefstream.schemas.dead_letter import ERROR_HEADERS, HEADER_RETRIES, restore_original

DEFAULT_GROUP: Final = "prefstream-dead-letters"

MAX_TRANSACTION_RECORDS: Final = 10_000
MAX_TRANSACTION_BYTES: Final = 256 * 1024 * 1024
"""Bounds of one transaction: sent in seconds, well before its time-out. More is sent in several, each whole."""

TRANSACTION_TIMEOUT_MS: Final = 60_000
"""A retry that is killed holds up readers of the battles for so long, unless it is started again."""

PENDING_TIMEOUT_MS: Final = 5_000
"""How long a plan waits for another retry to end its transaction. One that was killed would keep it, and all readers of
the battles, until the time-out."""

CALL_TIMEOUT_S: Final = 90.0
"""Longer than the transaction's time-out: by then the broker has ended it, whatever the call was waiting for."""


def make_plan(
    connection: KafkaConnection,
    topic: str,
    group: str,
    choice: Choice,
    destination: str | None = None,
    *,
    dry_run: bool = False,
) -> RetryPlan:
    """Find out what a retry would send; sends nothing.

    A transaction that another retry has left open is ended: until then nobody knows what was sent.

    Args:
        connection: how to reach the brokers.
        topic: the dead letters' topic.
        group: the consumer group that remembers what was sent.
        choice: which ones.
        destination: topic to send to; None sends each one to where it came from.
        dry_run: change nothing at all; a transaction that was left open is an error then.

    Raises:
        UsageError: no dead letter stands at a chosen position, or the destination makes no sense.
        TopicMissingError: a topic does not exist.
        NotAuthorizedError: we may not read the topic or the group, or not write to where something would be sent.
        StreamError: reading failed.
    """
    if destination == topic:
        raise UsageError(f"{topic} is the dead letters' own topic; give --to another one")
    with admin_client(connection) as admin:
        require_topic(connection, admin, topic, "READ")
    with reading(topic, group), closing(make_consumer(connection, group_id=group)) as consumer:
        try:
            ledgers = _read_ledgers(consumer, topic, PENDING_TIMEOUT_MS)
        except KafkaTimeoutError:
            if dry_run:
                raise StreamError(
                    f"what group {group} remembers is not known: no broker answers in time, or another retry is under "
                    "way, or was killed. One that is no dry run ends it"
                ) from None
            with (
                closing(Watchdog(CALL_TIMEOUT_S)) as watchdog,
                closing(_open(connection, {topic: "READ"}, group, watchdog)),
            ):
                ledgers = _read_ledgers(consumer, topic)
        seen: dict[int, array[int]] = {}
        starts = {partition: ledger.offset for partition, ledger in ledgers.items()}
        if choice.positions:
            letters = read_positions(connection, topic, choice.positions, on_missing=refuse_missing)
        else:
            seen = {partition: array("q") for partition in ledgers}
            # Older ones than `since` are read, too: the ledger moves on only over what was looked at.
            letters = _noting(read_dead_letters(connection, topic, from_offsets=starts), seen)
            ends = consumer.end_offsets(find_partitions(consumer, topic), timeout_ms=OFFSETS_TIMEOUT_MS)
        planner = Planner(choice, destination, partial(_was_sent, ledgers=ledgers))
        planner.look_at(letters)
        if planner.found and not choice.positions:
            # A group that lags behind another writes its dead letter of a record after the other's was sent back.
            planner.note_sent(read_dead_letters(connection, topic, to_offsets=starts))
        for partition, offsets in seen.items():
            end = ends[TopicPartition(topic, partition)]
            if not offsets or offsets[-1] < end:
                offsets.append(end)
        plan = planner.plan(seen)
    with admin_client(connection) as admin:
        for name in sorted({entry.destination for entry in plan.entries}):
            require_topic(connection, admin, name, "DESCRIBE" if dry_run else "WRITE")
    return plan


def resubmit(
    connection: KafkaConnection,
    topic: str,
    group: str,
    plan: RetryPlan,
    *,
    on_sent: Callable[[int], None] = lambda _: None,
) -> int:
    """Do what a plan says, in transactions: each is sent whole and remembered, or not at all.

    Args:
        connection: how to reach the brokers.
        topic: the dead letters' topic.
        group: the consumer group that remembers what was sent.
        plan: made for the same topic and group.
        on_sent: told how many records each committed transaction sent.

    Returns:
        How many were sent: fewer than planned where another retry was faster.

    Raises:
        FencedError: another retry with the same group began.
        NotAuthorizedError: we may not write the destination, the group or the transactional id.
        UsageError: a dead letter is larger than its destination takes.
        StreamError: sending failed; nothing of the open transaction is visible, or nobody knows.
        KeyboardInterrupt: nothing of the open transaction is visible.
    """
    sent = 0
    operations = {topic: "READ"} | {entry.destination: "WRITE" for entry in plan.entries}
    with (
        closing(Watchdog(CALL_TIMEOUT_S)) as watchdog,
        closing(_open(connection, operations, group, watchdog)) as transactions,
        reading(topic, group),
        closing(make_consumer(connection, group_id=group)) as consumer,
    ):
        # From here on no other retry changes what is remembered: the plan is checked against it once more.
        ledgers = _read_ledgers(consumer, topic)
        due = [retry for retry in plan.entries if plan.again or not _was_sent(retry.position, ledgers)]
        for chunk in _chunks(due):
            offsets = _note(topic, ledgers, plan.dealt_with(chunk), plan.seen)
            letters = read_positions(connection, topic, [retry.position for retry in chunk], on_missing=refuse_missing)
            destinations = {retry.position: retry.destination for retry in chunk}
            with send_back(
                transactions, ((letter, destinations[letter.position]) for letter in letters), offsets, group
            ):
                sent += len(chunk)
                on_sent(len(chunk))
    return sent


@contextmanager
def send_back(
    transactions: Transactions,
    letters: Iterable[tuple[DeadLetter, str]],
    offsets: Mapping[TopicPartition, OffsetAndMetadata],
    group: str,
) -> Iterator[None]:
    """Send dead letters back in one transaction; the block runs once they are visible, and before Ctrl-C is heard.

    Args:
        transactions: open.
        letters: each with the topic that it goes to.
        offsets: what the group remembers from then on.
        group: the consumer group that remembers.

    Raises:
        UsageError: a dead letter is larger than its destination takes; nothing was sent.
        StreamError: nothing of it is visible; it may be tried again.
        TransactionFailedError: nobody knows.
    """
    with _told_to_a_person(transactions), ExitStack() as until_the_end, transactions.begin() as transaction:
        for letter, destination in letters:
            _send(transaction, letter, destination)
        until_the_end.enter_context(_interrupts_put_off())  # that of an abort, too, where the commit fails
        transaction.commit(offsets, group)
        yield


def _open(connection: KafkaConnection, operations: Mapping[str, str], group: str, watchdog: Watchdog) -> Transactions:
    """The transactions of a group's retries, taken over: what another one has left open is ended."""
    transactional_id = f"{group}-~retry"  # no instance of the stream can have this name: ~ is not allowed there
    make = partial(
        make_producer, connection, transactional_id=transactional_id, transaction_timeout_ms=TRANSACTION_TIMEOUT_MS
    )
    transactions = Transactions(make, watchdog, retry_translator(operations, group, transactional_id))
    try:
        transactions.open()
    except BaseException:
        transactions.close()
        raise
    return transactions


def retry_translator(operations: Mapping[str, str], group: str, transactional_id: str) -> Translator:
    """What kafka-python's errors mean to who sends dead letters back.

    Args:
        operations: what is needed on each topic, as kafka-python spells it; the dead letters' own comes first.
        group: the consumer group that remembers what was sent.
        transactional_id: of the retries.
    """
    return Translator(
        "sending dead letters back",
        acls=acls_of(operations, may_commit(group), may_publish(transactional_id), list(operations)[1:]),
        remedies={
            Meaning.FENCED: f"another retry with the transactional id {transactional_id} began: wait for its end"
        },
    )


@contextmanager
def _told_to_a_person(transactions: Transactions) -> Iterator[None]:
    """Say of a transaction that failed what the person who asked for the retry can do; end it where it is unsettled."""
    try:
        yield
    except AbortedError as aborted:
        if aborted.oversized:
            raise UsageError(
                "a dead letter is larger than its destination takes (max.message.bytes); nothing of this "
                "transaction was sent"
            ) from aborted
        raise StreamError(f"sending failed: {aborted}. Nothing of the transaction is visible; try again") from aborted
    except UnsettledError as unsettled:
        # A new producer ends it now; else the next retry would have to wait until the broker does.
        with suppress(StreamError):
            transactions.open()
        raise TransactionFailedError(
            f"{unsettled}. The broker ends it within {TRANSACTION_TIMEOUT_MS // 1000} s: run the same again, what was "
            "sent is remembered"
        ) from unsettled


def _read_ledgers(consumer: Consumer, topic: str, timeout_ms: int = OFFSETS_TIMEOUT_MS) -> dict[int, Ledger]:
    partitions = find_partitions(consumer, topic)
    begins = consumer.beginning_offsets(partitions, timeout_ms=OFFSETS_TIMEOUT_MS)
    return {
        partition.partition: Ledger.decode(
            consumer.committed(partition, metadata=True, timeout_ms=timeout_ms), begins[partition]
        )
        for partition in partitions
    }


def _noting(letters: Iterable[DeadLetter], seen: Mapping[int, array[int]]) -> Iterator[DeadLetter]:
    """Pass dead letters on, noting their offsets."""
    for letter in letters:
        seen[letter.position.partition].append(letter.position.offset)
        yield letter


def _was_sent(position: RecordPosition, ledgers: Mapping[int, Ledger]) -> bool:
    return position.offset in ledgers[position.partition]


def _chunks(entries: Iterable[PlannedRetry]) -> Iterator[list[PlannedRetry]]:
    """What goes into one transaction each."""
    chunk: list[PlannedRetry] = []
    size = 0
    for entry in entries:
        if chunk and (len(chunk) == MAX_TRANSACTION_RECORDS or size + entry.size > MAX_TRANSACTION_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += entry.size
    if chunk:
        yield chunk


def _note(
    topic: str, ledgers: Mapping[int, Ledger], sent: Iterable[RecordPosition], seen: Mapping[int, Sequence[int]]
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Note dead letters as sent; returns the offsets to commit with them."""
    changed = set()
    for position in sent:
        ledgers[position.partition].add(position.offset)
        changed.add(position.partition)
    for partition in changed:
        ledgers[partition].advance(seen.get(partition, ()))
    return {TopicPartition(topic, partition): ledgers[partition].encode() for partition in changed}


def _send(transaction: Transaction, letter: DeadLetter, destination: str) -> None:
    """Send the original record: its key, its value, its headers by the names that they had."""
    headers = [
        (restore_original(name), value or b"")
        for name, value in letter.headers
        if name not in ERROR_HEADERS and name != HEADER_RETRIES
    ]
    headers.append((HEADER_RETRIES, b"%d" % (letter.retries + 1)))
    partition = None
    origin = letter.origin
    if origin and origin.topic == destination and origin.partition in transaction.partitions_for(destination):
        # Its key may have been assigned by another client's rule; what belongs together must stay so.
        partition = origin.partition
    transaction.send(destination, value=letter.value, key=letter.key, headers=headers, partition=partition)


@contextmanager
def _interrupts_put_off() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block: in the middle of a commit nobody could say what was sent."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Ctrl-C reaches the main thread alone
        return
    asked: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if asked:
        raise KeyboardInterrupt
