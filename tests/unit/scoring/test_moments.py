"""Moments and milliseconds: one is read back from the other, and none is moved into another second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from prefstream.scoring.moments import milliseconds, moment_of

AN_HOUR_EAST = timezone(timedelta(hours=1))


@given(st.integers(0, 253_402_300_799_999))
def test_a_moment_is_its_milliseconds(ms: int) -> None:
    assert milliseconds(moment_of(ms)) == ms
    assert moment_of(ms).tzinfo is UTC


@given(st.datetimes(timezones=st.just(AN_HOUR_EAST)))
def test_milliseconds_are_never_of_what_is_still_to_come(moment: datetime) -> None:
    before = moment_of(milliseconds(moment))
    assert timedelta() <= moment - before < timedelta(milliseconds=1)
