"""The generator: reproducible, and every kind is what it says."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.schemas import InvalidEventError, Reason, decode_battle
from prefstream.schemas.dead_letter import NEVER_UNPACKED
from tests.fuzz.hostile import GIANT_TRACE, KINDS, MAX_ENVELOPE_BYTES, hostile_envelope, hostile_event, hostile_values
from tests.fuzz.kinds import RECORD_BYTES, Kind

NOT_BY_DECODING = {Reason.TOO_LARGE_FOR_JUDGE, Reason.PREFERENCE_TOO_LARGE, *NEVER_UNPACKED}
"""Reasons that decoding does not give."""


@given(seed=st.integers(0, 2**32 - 1), number=st.integers(0, 2**40))
def test_seed_and_number_make_the_same_event_again(seed: int, number: int) -> None:
    one, again = hostile_event(seed, number), hostile_event(seed, number)
    assert one == again
    assert hostile_envelope(one) == hostile_envelope(again)


def test_an_event_says_how_to_make_it_again_and_nothing_of_its_text() -> None:
    for number in range(100):
        event = hostile_event(1, number)
        assert repr(event) == f"hostile_event(seed=1, number={number})  # {event.kind.name}"


def test_the_kinds_have_names_of_their_own_and_cover_every_reason() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    certain = {reason for kind in KINDS if len(kind.fates) == 1 for reason in kind.fates}
    assert certain == {None, *Reason} - NOT_BY_DECODING


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_becomes_what_it_says(kind: Kind, seeded: random.Random) -> None:
    for _ in range(20):
        value = kind.build(seeded)
        try:
            decode_battle(value)
            fate = None
        except InvalidEventError as error:
            fate = error.reason
        assert fate in kind.fates, value and value[:200]


@given(case=hostile_values())
def test_under_hypothesis_too_an_event_becomes_what_its_kind_says(case: tuple[Kind, bytes | None]) -> None:
    kind, value = case
    try:
        decode_battle(value)
        fate = None
    except InvalidEventError as error:
        fate = error.reason
    assert fate in kind.fates


def test_an_envelope_leaves_a_record_room_for_its_value() -> None:
    for number in range(5_000):
        event = hostile_event(3, number)
        key, headers = hostile_envelope(event)
        assert event.value is not None or key is not None
        size = len(key or b"") + sum(len(name.encode()) + len(value) + 20 for name, value in headers)
        assert size + len(event.value or b"") < RECORD_BYTES if GIANT_TRACE in headers else size < MAX_ENVELOPE_BYTES
