"""Record batches as a producer would send them, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kafka.record.default_records import DefaultRecordBatchBuilder

from consumer.broker.batch import RecordBatch, parse_produced
from consumer.broker.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def produced() -> Callable[..., bytes]:
    """Makes the bytes of a batch; `values` or a number of records, timestamps from 1000 on."""

    def make(
        values: list[bytes] | int = 1,
        *,
        producer_id: int = -1,
        epoch: int = -1,
        sequence: int = -1,
        transactional: bool = False,
        compression: int = 0,
        timestamps: list[int] | None = None,
    ) -> bytes:
        records = [b"v%d" % i for i in range(values)] if isinstance(values, int) else values
        builder = DefaultRecordBatchBuilder(2, compression, transactional, producer_id, epoch, sequence, 1 << 20)
        for index, value in enumerate(records):
            timestamp = 1000 + index if timestamps is None else timestamps[index]
            builder.append(index, timestamp, None, value, [])
        return bytes(builder.build())

    return make


@pytest.fixture
def make_batch(produced: Callable[..., bytes]) -> Callable[..., RecordBatch]:
    """Makes a checked batch, with the arguments of `produced`."""
    return lambda *args, **kwargs: parse_produced(produced(*args, **kwargs))
