"""Records as what the store takes in."""

from __future__ import annotations

import random
import time
from types import SimpleNamespace
from typing import Any

from prefstream.consumer.board.ingest.decode import LATEST_MS, decode
from prefstream.consumer.client.patches.unbounded_unpacking import Withheld
from prefstream.schemas import Reason, encode_preference
from tests.support.board import preference


def record(value: bytes | None, timestamp: int = 5) -> Any:
    return SimpleNamespace(topic="t", partition=1, offset=7, timestamp=timestamp, key=b"k", value=value, headers=[])


def test_what_was_not_unpacked_or_has_no_value_is_set_aside() -> None:
    too_large, damaged = Withheld("too large"), Withheld("damaged", damaged=True)
    values = [None, too_large, damaged, b"{}"]
    found = decode(map(record, values), map(record, values))
    assert not found.preferences
    assert not found.votes
    assert len(found.bad_preferences) == 4
    reasons = [bad.error.reason for bad in found.bad_votes]
    assert reasons == [Reason.NULL_VALUE, Reason.TOO_LARGE_UNPACKED, Reason.NOT_UNPACKED, Reason.MISSING_FIELD]


def test_timestamps_are_moments_that_a_date_can_say() -> None:
    value = encode_preference(preference("b", random.Random(1)))
    before = int(time.time() * 1000)
    found = decode([record(value, at) for at in (-1, 3, 2**62)], []).preferences
    assert before <= found[0].at <= int(time.time() * 1000)
    assert [one.at for one in found[1:]] == [3, LATEST_MS]
    assert [(one.partition, one.offset) for one in found] == [(1, 7)] * 3
