"""Each record that is sent has a lock, two lists and two callbacks of its own, to hear what became of its batch.

What goes wrong: what `send` returns registers itself with its record batch, and is told when that is done, by a call
and a tuple of nine fields, in the client's own thread; meanwhile nobody else has the interpreter. Few ask a record for
more than whether it arrived, and that is what became of its batch. Here a record asks its batch when it is asked.
Where somebody wants to be called back, kafka-python's own future does that.

Versions: 3.0.12; others were not looked at. In master the producer was written anew (pull
request 3110 of dpkp/kafka-python) and was not tried.

Upstream: no issue known.

Remove when: a record whose future is only asked costs kafka-python no callback.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from kafka import errors as kafka_errors
from kafka.producer.future import FutureProduceResult, FutureRecordMetadata
from kafka.producer.producer_batch import ProducerBatch
from kafka.util import Timer

from prefstream.consumer.client.patches.patch import Method, Patch
from prefstream.consumer.client.patches.slow_sends import WrittenHeaders


class AskedDelivery(FutureRecordMetadata):  # type: ignore[misc]  # kafka-python has no types
    """What became of a record, asked of its batch."""

    __slots__ = ("_calling",)

    def __init__(self, produce_future: FutureProduceResult, *args: Any) -> None:
        """Nothing is registered; arguments are those of the class that this is one of."""
        self._produce_future = produce_future  # type: ignore[misc]  # a slot of the class that has no types
        self.args = args  # type: ignore[misc]  # likewise
        self._calling: FutureRecordMetadata | None = None

    @property
    def is_done(self) -> bool:
        """Whether the batch is."""
        return bool(self._produce_future.is_done)

    @property
    def exception(self) -> Exception | None:
        """What kept the record from its topic."""
        batch = self._produce_future
        if not batch.is_done:
            return None
        if batch.exception is not None:
            failed: Exception = batch.exception
            return failed
        if batch.value[2] is None:
            return None
        of_record: Exception | type[Exception] = batch.value[2](self.args[0])
        return of_record() if isinstance(of_record, type) else of_record

    @property
    def value(self) -> Any:
        """Where the record is; None where it is nowhere, or not yet."""
        return FutureRecordMetadata(self._produce_future, *self.args).value if self.is_done else None

    def get(self, timeout: float | None = None) -> Any:
        """Wait for so many seconds at most; as kafka-python's, over batches that are split meanwhile."""
        if not self.is_done:
            timer = Timer(None if timeout is None else timeout * 1000)
            while not self.is_done:
                if timer.expired or not self._produce_future.wait(timer.timeout_secs):
                    raise kafka_errors.KafkaTimeoutError(f"Timeout after waiting for {timeout} secs.")
        if (exception := self.exception) is not None:
            raise exception
        return self.value

    def rebind(self, new_produce_future: FutureProduceResult, new_batch_index: int) -> None:
        """The batch was split, and the record is in another one now."""
        with _moving:
            split = self._produce_future
            self.args = (new_batch_index, *self.args[1:])  # type: ignore[misc]  # likewise
            self._produce_future = new_produce_future
            if self._calling is not None:
                self._calling.rebind(new_produce_future, new_batch_index)
        split._latch.set()  # who waits asks the new one

    def add_callback(self, f: Any, *args: Any, **kwargs: Any) -> Any:
        """As kafka-python's."""
        self._caller().add_callback(f, *args, **kwargs)
        return self

    def add_errback(self, f: Any, *args: Any, **kwargs: Any) -> Any:
        """As kafka-python's."""
        self._caller().add_errback(f, *args, **kwargs)
        return self

    def _add_cb_eb(self, cb: Any, eb: Any) -> Any:
        self._caller()._add_cb_eb(cb, eb)
        return self

    def _caller(self) -> FutureRecordMetadata:
        with _moving:
            if self._calling is None:
                self._calling = FutureRecordMetadata(self._produce_future, *self.args)
        return self._calling


_moving = threading.Lock()
"""Held while a record gets another batch, or somebody to call back: both are rare."""


def _asked(_: Method) -> Method:
    def try_append(
        self: Any, timestamp_ms: int | None, key: Any, value: Any, headers: Any, now: float | None = None
    ) -> AskedDelivery | None:
        metadata = self.records.append(timestamp_ms, key, value, headers)
        if metadata is None:
            return None
        self.max_record_size = max(self.max_record_size, metadata.size)
        self.last_append = time.monotonic() if now is None else now
        delivery = AskedDelivery(
            self.produce_future,
            metadata.offset,
            metadata.timestamp,
            metadata.crc,
            -1 if key is None else len(key),
            -1 if value is None else len(value),
            headers.size if type(headers) is WrittenHeaders else _size_of(headers),
        )
        self._record_futures.append(delivery)
        return delivery

    return try_append


def _size_of(headers: Any) -> int:
    return sum(len(name.encode("utf-8")) + len(value) for name, value in headers) if headers else -1


PATCHES = (
    Patch(
        ProducerBatch,
        "try_append",
        ("timestamp_ms", "key", "value", "headers", "now"),
        _asked,
        needs=("_record_futures", "last_append", "max_record_size", "produce_future", "records"),
    ),
)
