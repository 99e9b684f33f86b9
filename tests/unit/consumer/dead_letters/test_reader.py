"""Dead letters whose headers anybody wrote."""

from __future__ import annotations

import pytest

from prefstream.consumer.dead_letters.reader import DeadLetter, RecordPosition
from prefstream.schemas.dead_letter import (
    HEADER_OFFSET,
    HEADER_PARTITION,
    HEADER_RETRIES,
    HEADER_TOPIC,
    HEADER_VALUE_SHA256,
    HEADER_VALUE_SIZE,
)

ENDLESS = b"9" * 5_000
"""More digits than `int` takes."""


def letter(**headers: bytes) -> DeadLetter:
    named = {
        "topic": HEADER_TOPIC,
        "partition": HEADER_PARTITION,
        "offset": HEADER_OFFSET,
        "retries": HEADER_RETRIES,
        "size": HEADER_VALUE_SIZE,
        "digest": HEADER_VALUE_SHA256,
    }
    told = tuple((named[name], value) for name, value in headers.items())
    return DeadLetter(RecordPosition("d", 0, 1), 5, None, b"abc", told)


@pytest.mark.parametrize(("partition", "offset"), [(b"", b"5"), (b"5", b""), (b"5", ENDLESS), (b"-1", b"5")])
def test_an_origin_that_is_no_position_is_none(partition: bytes, offset: bytes) -> None:
    assert letter(topic=b"votes", partition=partition, offset=offset).original is None


def test_numbers_without_end_are_none() -> None:
    strange = letter(retries=ENDLESS, size=ENDLESS, digest=b"another")
    assert (strange.retries, strange.size) == (0, 3)
