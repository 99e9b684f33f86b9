"""The log of one partition: record batches, open and aborted transactions, and who waits for more."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

from prefstream.consumer.broker.node.batch import RecordBatch, build_marker, find_timestamp
from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.producers import ProducerStates

Listener = Callable[[], None]


@dataclass(frozen=True, slots=True)
class AbortedTransaction:
    """A transaction whose records a `read_committed` reader must skip on this partition.

    Attributes:
        producer_id: who wrote it.
        first_offset: its first record.
        marker_offset: the marker that ended it.
    """

    producer_id: int
    first_offset: int
    marker_offset: int


@dataclass(frozen=True, slots=True)
class LogSlice:
    """What one read of a log gives.

    Attributes:
        batches: whole record batches, in order.
        size_bytes: their size.
        aborted: aborted transactions that touch them; empty for `read_uncommitted`.
    """

    batches: list[bytes] = field(repr=False)
    size_bytes: int
    aborted: list[AbortedTransaction]


class PartitionLog:
    """An append-only sequence of record batches, in memory.

    It knows no sockets and belongs to one thread, the broker's event loop. As there is a single replica, a
    record that is appended is committed: the high watermark is the end of the log.
    """

    def __init__(self) -> None:
        self._batches: list[RecordBatch] = []
        # Two sorted keys beside the batches, for bisection: last offsets, and newest timestamps so far.
        self._last_offsets: list[int] = []
        self._newest_ms: list[int] = []
        self._producers = ProducerStates()
        # First offset by producer. Insertion order is offset order, so the first entry is the oldest.
        self._open: dict[int, int] = {}
        self._aborted: list[AbortedTransaction] = []
        self._listeners: dict[bool, set[Listener]] = {False: set(), True: set()}
        self.start_offset = 0
        self.end_offset = 0

    @property
    def last_stable_offset(self) -> int:
        """First offset of the oldest open transaction; the end of the log if none is open."""
        # What was deleted of an open transaction is no longer there to wait for.
        return max(self.start_offset, next(iter(self._open.values()), self.end_offset))

    def upper_bound(self, *, read_committed: bool) -> int:
        """The offset that a reader of this isolation level can't pass yet."""
        return self.last_stable_offset if read_committed else self.end_offset

    def append(self, batch: RecordBatch) -> int:
        """Append a batch that a client produced.

        Returns:
            The offset of its first record; for a repetition the one it got the first time.

        Raises:
            RequestRefusedError: it is from a fenced producer or out of order.
        """
        if batch.idempotent:
            known_offset = self._producers.check(batch)
            if known_offset is not None:
                return known_offset
        stable_before = self.last_stable_offset
        stored = batch.at_offset(self.end_offset)
        if batch.transactional:
            self._open.setdefault(batch.producer_id, stored.base_offset)
        self._store(stored)
        if batch.idempotent:
            self._producers.record(stored)
        self._notify(stable_before)
        return stored.base_offset

    def end_transaction(self, *, producer_id: int, producer_epoch: int, commit: bool, timestamp_ms: int) -> None:
        """Write the marker that commits or aborts a producer's open transaction on this partition."""
        stable_before = self.last_stable_offset
        marker = build_marker(
            producer_id=producer_id, producer_epoch=producer_epoch, commit=commit, timestamp_ms=timestamp_ms
        ).at_offset(self.end_offset)
        self._store(marker)
        self._producers.fence(producer_id, producer_epoch)
        first_offset = self._open.pop(producer_id, None)
        if first_offset is not None and not commit:
            self._aborted.append(AbortedTransaction(producer_id, first_offset, marker.base_offset))
        self._notify(stable_before)

    def read(self, offset: int, *, max_bytes: int, read_committed: bool, at_least_one: bool = False) -> LogSlice:
        """Read whole batches from the one that holds `offset` on.

        Args:
            offset: where to start.
            max_bytes: stop before the batch that would exceed this.
            read_committed: stop at the last stable offset and name aborted transactions.
            at_least_one: return the first batch even if it is larger than `max_bytes`, so that a reader
                with a small limit is never stuck.

        Raises:
            RequestRefusedError: there is nothing at this offset any more, or not yet.
        """
        if not self.start_offset <= offset <= self.end_offset:
            raise RequestRefusedError(
                ErrorCode.OFFSET_OUT_OF_RANGE, f"offset {offset} is not in {self.start_offset}..{self.end_offset}"
            )
        bound = self.upper_bound(read_committed=read_committed)
        found: list[bytes] = []
        size = 0
        next_offset = offset
        for index in range(bisect_left(self._last_offsets, offset), len(self._batches)):
            batch = self._batches[index]
            fits = size + len(batch.data) <= max_bytes or (at_least_one and not found)
            if batch.base_offset >= bound or not fits:
                break
            found.append(batch.data)
            size += len(batch.data)
            next_offset = batch.last_offset + 1
        aborted = self._aborted_between(offset, next_offset) if read_committed and found else []
        return LogSlice(found, size, aborted)

    def find_offset_at(self, timestamp_ms: int) -> tuple[int, int] | None:
        """Offset and timestamp of the first record that is not older than `timestamp_ms`, if there is one."""
        index = bisect_left(self._newest_ms, timestamp_ms)
        if index == len(self._batches):
            return None
        offset, found_ms = find_timestamp(self._batches[index], timestamp_ms)
        return max(offset, self.start_offset), found_ms

    def find_newest(self) -> tuple[int, int] | None:
        """Offset and timestamp of the record with the newest timestamp, if there is any record."""
        return self.find_offset_at(self._newest_ms[-1]) if self._batches else None

    def delete_before(self, offset: int) -> None:
        """Delete all records before `offset`; batches that it cuts through are kept whole.

        Raises:
            RequestRefusedError: the offset is past the end of the log.
        """
        if offset > self.end_offset or offset < 0:
            raise RequestRefusedError(
                ErrorCode.OFFSET_OUT_OF_RANGE, f"cannot delete up to {offset}: the log ends at {self.end_offset}"
            )
        self.start_offset = max(self.start_offset, offset)
        gone = bisect_left(self._last_offsets, self.start_offset)
        del self._batches[:gone]
        del self._last_offsets[:gone]
        self._newest_ms = list(accumulate((batch.max_timestamp_ms for batch in self._batches), max))
        self._aborted = [entry for entry in self._aborted if entry.marker_offset >= self.start_offset]

    def delete_older_than(self, timestamp_ms: int) -> None:
        """Delete batches from the start of the log on, up to the first that has a newer record."""
        index = next(
            (n for n, batch in enumerate(self._batches) if batch.max_timestamp_ms >= timestamp_ms), len(self._batches)
        )
        if index:
            self.delete_before(self._last_offsets[index - 1] + 1)

    def subscribe(self, listener: Listener, *, read_committed: bool) -> None:
        """Call `listener` whenever a reader of this isolation level can read further."""
        self._listeners[read_committed].add(listener)

    def unsubscribe(self, listener: Listener, *, read_committed: bool) -> None:
        """Stop calling `listener`."""
        self._listeners[read_committed].discard(listener)

    def wake_all(self) -> None:
        """Call every listener: the log itself is going away."""
        for listeners in self._listeners.values():
            _call_all(listeners)

    def _store(self, batch: RecordBatch) -> None:
        self._batches.append(batch)
        self._last_offsets.append(batch.last_offset)
        newest_before = self._newest_ms[-1] if self._newest_ms else batch.max_timestamp_ms
        self._newest_ms.append(max(newest_before, batch.max_timestamp_ms))
        self.end_offset = batch.last_offset + 1

    def _notify(self, stable_before: int) -> None:
        """Wake those who can read on. Records of an open transaction wake no `read_committed` reader."""
        _call_all(self._listeners[False])
        if self.last_stable_offset > stable_before:
            _call_all(self._listeners[True])

    def _aborted_between(self, offset: int, end: int) -> list[AbortedTransaction]:
        """Aborted transactions with records in `offset` .. `end`, found by their markers, which are in order."""
        first = bisect_left(self._aborted, offset, key=lambda entry: entry.marker_offset)
        return [entry for entry in self._aborted[first:] if entry.first_offset < end]


def _call_all(listeners: set[Listener]) -> None:
    for listener in list(listeners):
        listener()
