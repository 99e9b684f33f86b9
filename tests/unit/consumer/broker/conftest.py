"""Record batches and requests as a client would send them, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kafka.record.default_records import DefaultRecordBatchBuilder

from prefstream.consumer.broker.apis import Api
from prefstream.consumer.broker.node.batch import RecordBatch, parse_produced
from prefstream.consumer.broker.node.clock import ManualClock


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


@pytest.fixture
def sample_request() -> Callable[[Api, int], Any]:
    """Makes a request of any API with one element in every list."""

    def make(api: Api, version: int) -> Any:
        fields = _fields(api.request_class, api.request_class.json["fields"])
        return api.request_class(version=version, **fields)

    return make


def _fields(message_class: Any, fields: list[dict[str, Any]]) -> dict[str, Any]:
    snake = {field.replace("_", ""): field for field in message_class.fields}
    return {
        snake[field["name"].replace("_", "").lower()]: _value(message_class, field)
        for field in fields
        if "tag" not in field
    }


def _value(message_class: Any, field: dict[str, Any]) -> Any:
    kind = field["type"]
    if kind.startswith("[]"):
        element = kind[2:]
        if "fields" in field:
            nested = getattr(message_class, element)
            return [nested(**_fields(nested, field["fields"]))]
        if element in PLAIN:
            return [PLAIN[element]]
        return []
    return PLAIN[kind]


PLAIN: dict[str, Any] = {
    "string": "x",
    "bool": False,
    "bytes": b"",
    "records": b"",
    "int8": 1,
    "int16": 1,
    "int32": 1,
    "int64": 1,
    "uuid": None,
}
