"""Records as what the store takes in."""

from __future__ import annotations

import json
import random
import time
from types import SimpleNamespace
from typing import Any

import pytest

from prefstream.consumer.board.ingest.decode import LATEST_MS, decode
from prefstream.consumer.board.store.store import Store
from prefstream.consumer.client.patches.unbounded_unpacking import Withheld
from prefstream.schemas import Reason, encode_preference
from prefstream.schemas.preference import Style, StyleCounts
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


def with_number(place: tuple[str, ...], number: int) -> bytes:
    """A preference's JSON, one of its numbers another one."""
    none = StyleCounts(
        characters=0, lines=0, headings=0, list_items=0, bold=0, code_blocks=0, tables=0, links=0, digits=0
    )
    said = preference("b", random.Random(1), style=Style(a=none, b=none))
    fields = inner = json.loads(encode_preference(said))
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = number
    return json.dumps(fields).encode()  # orjson writes no integer beyond 64 bits


@pytest.mark.parametrize(
    ("place", "largest"),
    [
        (("source", "offset"), 2**63 - 1),
        (("source", "partition"), 2**63 - 1),
        (("style", "a", "characters"), 2**31),
        (("style", "b", "headings"), 2**31),
        (("style", "b", "bold"), 2**31),
        (("style", "a", "lines"), 2**31),
        (("style", "b", "digits"), 2**31),
    ],
)
def test_numbers_that_no_table_holds_make_no_preference(place: tuple[str, ...], largest: int) -> None:
    found = decode([record(with_number(place, number)) for number in (largest, largest + 1, 10**30)], [])
    assert len(found.bad_preferences) == 2
    with Store() as store:
        assert store.apply(found.preferences).counted["preferences"] == 1
